"""The page in a real Chromium, against a venue: what it shows is what the venue says, through every failure."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import psycopg2
import pytest
from selenium.webdriver.common.keys import Keys

from app import api_keys
from app.local.venue import Venue
from app.models.api_keys import KeyRole, new_key
from app.models.decimals import units
from tests.page.accessibility import LOW_CONTRAST, nameless
from tests.page.browser import DESKTOP, PHONE, Page
from tests.until import until
from tests.web.conftest import Api, list_market

GATE_SLOT = 1
LADDER = "[...document.querySelectorAll('#ladder .levels button:not(:disabled)')].map((row) => row.innerText)"
TAPE = "[...document.querySelectorAll('#tape li[data-trade]')].map((row) => [row.dataset.trade, row.innerText])"
CANDLE = "document.querySelector('#candles .chart').dataset.last"
STATE = "document.body.dataset.link"
PLACES = (
    "[...document.querySelectorAll('.panel, .heading, .columns, .levels li, .spread, .trades li, .strip, dt')]"
    ".map((box) => { const r = box.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })"
)
LARGEST_SHIFT = 0.01  # Chromium's layout shift; it counts numbers that grow to the left, and 0.1 is called good
TOO_WIDE = (
    "[...document.querySelectorAll('body *')].filter((box) => box.getBoundingClientRect().right > innerWidth + 1)"
    ".filter((box) => !box.closest('.scroll, .facts, #candles, [hidden]'))"
    ".map((box) => `${box.tagName} ${box.className}`)"
)

CUT_INTERVALS = (
    "[...document.querySelectorAll('#candles .switch button')].map((button) => [button.innerText, "
    "button.getBoundingClientRect().right, document.querySelector('#candles').getBoundingClientRect().right])"
    ".filter(([, right, edge]) => right > edge)"
)
WIDTH = "return document.querySelector(arguments[0]).getBoundingClientRect().width"
SMALL_PHONE, TABLET = (320, 640), (768, 1024)


async def opened(page: Page, api: Api, client: str = "me", size: tuple[int, int] = DESKTOP, **rules: Any) -> str:
    """A market of the test's own, shown live by the page."""
    market = str(rules.get("instrument") or await list_market(api))
    if rules:
        await list_market(api, **rules)
    await show(page, api.url, market, client, size)
    return market


async def show(page: Page, url: str, market: str, client: str = "me", size: tuple[int, int] = DESKTOP) -> None:
    """Open the page with this market, and wait until it is live."""
    await page.open(f"{url}/?instrument={market}&client={client}&theme=dark", size)
    await page.until(STATE, lambda state: state == "live")
    await page.until("document.querySelector('#ladder .empty').hidden ? 'orders' : 'empty'")
    if size == DESKTOP:
        await page.sees(".headline .instrument", market)


async def placed(api: Api, market: str, **terms: Any) -> dict[str, Any]:
    """An order from elsewhere, as the engine left it."""
    answer = await api.place(**({"instrument": market, "client_id": "ann"} | terms))
    assert answer.status == 201, answer
    body: dict[str, Any] = answer.body
    return body


async def order_by_ticket(page: Page, side: str, quantity: str, price: str | None) -> None:
    """Fill in the ticket and send it."""
    await page.js("document.querySelector(`#ticket input[value=${arguments[0]}]`).click()", side)
    await page.js(
        "document.querySelector(`#ticket input[value=${arguments[0]}]`).click()", "limit" if price else "market"
    )
    if price:
        await page.fill("#ticket [name=price]", price)
    await page.fill("#ticket [name=quantity]", quantity)
    await page.click("#ticket .send")


def recorded(venue: Venue, query: str, *given: Any) -> Any:
    """The first row that Postgres has."""
    connection = psycopg2.connect(venue.servers.database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, given)
            return cursor.fetchone()
    finally:
        connection.close()


async def test_an_order_of_the_ticket_is_in_the_ladder_and_in_postgres(page: Page, api: Api, venue: Venue) -> None:
    """And among the own orders, marked in the book; with the venue's checksum over the copy in the page."""
    market = await opened(page, api)
    await order_by_ticket(page, "buy", "0.5", "99.50")

    await page.sees("#ticket .outcome", "new")
    await page.until(LADDER, lambda rows: rows and "99.50" in rows[0] and "0.5000" in rows[0])
    await page.until("document.querySelectorAll('#ladder [data-own]').length", lambda count: count == 1)
    assert "99.50" in await page.sees("#account tbody", "limit")
    assert await page.text("#ladder .checked") == "✓"
    query = "SELECT client_id, side, status FROM orders WHERE instrument = %s"
    row = await until(lambda: recorded(venue, query, market))
    assert row == ("me", "buy", "new")


async def test_a_trade_is_on_the_tape_in_a_candle_in_the_fills_and_in_the_position(page: Page, api: Api) -> None:
    """As the venue tells it: with its fee, and average cost from the ledger; the ticker has it, too."""
    market = await opened(page, api, client="pia")
    await api("PUT", f"/instruments/{market}/fees", {"maker": "0", "taker": "10"})
    await placed(api, market, side="sell", price="100.00", quantity="2")
    await order_by_ticket(page, "buy", "0.5", None)

    await page.sees("#ticket .outcome", "filled, 0.5000 at 100")
    rows = await page.until(TAPE)
    assert "100.00" in rows[0][1] and "0.5000" in rows[0][1]
    await page.until(CANDLE, lambda candle: candle == "100.00 100.00 100.00 100.00 0.5000")
    await page.sees(".headline", "0.5000")
    await page.click("#tab-1")
    fill = await page.sees("#tabpanel-1 tbody", "taker")
    assert "50.00" in fill and "0.05" in fill
    await page.click("#tab-2")
    assert "100" in await page.sees("#tabpanel-2 tbody", market)


async def test_a_busted_trade_stays_struck_through(page: Page, api: Api) -> None:
    """On the tape and among the fills; the others stay as they are."""
    market = await opened(page, api, client="bea")
    await placed(api, market, side="sell", price="100.00", quantity="2")
    for _ in range(2):
        await placed(api, market, client_id="bea", side="buy", type="market", price=None, quantity="0.5")
    await page.until(TAPE, lambda rows: len(rows) == 2)
    await api("POST", f"/trades/{market}-1/bust", {"reason": "<b>wrong</b>"})

    busted = "[...document.querySelectorAll('[data-busted=true]')].map((row) => row.dataset.trade ?? row.innerText)"
    found = await page.until(busted, lambda rows: len(rows) == 2)
    assert found[0] == f"{market}-1" or f"{market}-1" in found[1]
    await page.until("document.querySelector('#candles .chart').dataset.revision", lambda revision: revision == "1")
    assert await page.js(f"return {CANDLE}") == "100.00 100.00 100.00 100.00 0.5000"
    style = await page.js("return getComputedStyle(document.querySelector('#tape [data-busted]')).textDecorationLine")
    assert style == "line-through"


async def test_own_orders_are_amended_and_canceled_in_the_page(page: Page, api: Api) -> None:
    """The book follows; what was canceled is gone from the list."""
    await opened(page, api)
    await order_by_ticket(page, "sell", "2", "101.00")
    await page.sees("#account tbody", "101.00")
    await page.click("#account tbody button:nth-child(1)")
    await page.fill("#account .amend [name=price]", "102.00")
    await page.click("#account .amend [type=submit]")

    await page.until(LADDER, lambda rows: rows and "102.00" in rows[0])
    await page.sees("#account tbody", "102.00")
    await page.click("#account tbody button:nth-child(2)")
    await page.until(LADDER, lambda rows: rows == [])
    await page.until("document.querySelectorAll('#account tbody tr').length", lambda count: count == 0)


async def test_a_refusal_is_said_in_the_venues_words_and_never_as_markup(page: Page, api: Api) -> None:
    """The API quotes what was sent: the page shows it as text, also where it would be an element."""
    await opened(page, api)
    evil = "<img src=x onerror=document.title='owned'>"
    await order_by_ticket(page, "buy", evil, "99.00")

    assert "onerror" in await page.sees("#ticket .outcome", "quantity is not a decimal")
    assert await page.js("return document.querySelectorAll('main img, dialog img').length") == 0
    await order_by_ticket(page, "buy", "0.00001", "99.00")
    await page.sees("#ticket .outcome", "multiple of 0.0001")
    assert "owned" not in await page.js("return document.title")
    await page.errors()  # a browser notes each refusal of a request as an error


async def test_names_of_others_are_text_and_do_not_break_the_page(page: Page, api: Api) -> None:
    """The longest names that the venue takes, and addresses that name what the page must not use."""
    longest = f"{'W' * 20}{uuid4().hex}".ljust(64, "M")
    market = await opened(page, api, client="x" * 64, instrument=longest, base_asset="B" * 64, quote_asset="Q" * 64)
    await order_by_ticket(page, "buy", "1", "99.00")
    await page.sees("#ticket .outcome", "new")
    assert await page.js("return document.documentElement.scrollWidth") <= DESKTOP[0]
    assert await page.js(WIDTH, "#ticket [name=price]") >= 60  # the asset's name had left no room to type
    assert await page.js(WIDTH, ".instruments [aria-current] .name") >= 60
    assert await page.js(WIDTH, ".headline .instrument") >= 80
    await page.open(f"{api.url}/?instrument=%3Cscript%3Ealert(1)%3C/script%3E&client=%3Csvg/onload=alert(1)%3E&theme=x")
    await page.until(STATE, lambda state: state == "live")
    assert await page.js("return document.querySelector('.who input').value") == "me"
    assert await page.js("return document.scripts.length") == 2
    assert market == longest


async def test_the_page_recovers_when_the_gateway_is_killed(page: Page, api: Api, venue: Venue) -> None:
    """Without a reload: it greys what is old, resumes each channel where it was, and misses nothing."""
    market = await opened(page, api)
    await placed(api, market, price="99.00")
    await page.until(LADDER)
    await page.js("window.isTheSame = true")
    await page.js(
        "window.seen = []; new MutationObserver(() => window.seen.push(document.body.dataset.link))"
        ".observe(document.body, { attributes: true })"
    )
    await venue.kill("gateway")

    await page.until("window.seen.includes('lost') || document.body.dataset.link === 'lost'")
    await venue.wait_ready("gateway")
    await until(lambda: api("GET", "/instruments"), lambda answer: answer.status == 200)
    await page.until(STATE, lambda state: state == "live")
    await placed(api, market, price="98.00")
    await page.until(LADDER, lambda rows: len(rows) == 2)
    assert await page.js("return window.isTheSame") is True
    counts = await page.text(".counts")
    assert "gaps 0" in counts and "resumed 0" not in counts
    await page.errors()  # the sockets that could not be had


async def test_the_page_follows_when_matching_is_killed(page: Page, api: Api, venue: Venue) -> None:
    """An order that Kafka has meanwhile appears as soon as the engine is back; the connection was never lost."""
    market = await opened(page, api)
    await venue.kill("matching")
    await api.place(path="/orders", instrument=market, price="97.00")
    await page.until(LADDER, lambda rows: rows and "97.00" in rows[0])
    assert "gaps 0" in await page.text(".counts")
    await venue.wait_ready("matching")


async def test_a_halted_market_says_so(page: Page, api: Api) -> None:
    """In the bar, in the list and on the button, as it happens; an order is refused in the venue's words."""
    market = await opened(page, api)
    await api("POST", f"/instruments/{market}/halt")
    await page.sees(".headline .status", "halted")
    await page.sees("#ticket .send", "halted")
    await order_by_ticket(page, "buy", "1", "99.00")
    await page.sees("#ticket .outcome", "market_closed")
    await api("POST", f"/instruments/{market}/resume")
    await page.sees(".headline .status", "open")
    await page.errors()


async def test_a_key_is_asked_for_once_and_kept_in_memory_only(page: Page, api: Api, venue: Venue) -> None:
    """401 opens the dialog; a wrong key is said to be wrong; the right one opens all, also the socket."""
    market = await list_market(api)
    await venue.start_worker("gateway", GATE_SLOT, {"AUTH": "keys"})
    await venue.wait_ready("gateway", GATE_SLOT)
    key = new_key("kim", KeyRole.TRADER, 1)
    await api_keys.keep(venue.servers.broker, key.kept)
    gate = Api(api.session, venue.web_url("gateway", GATE_SLOT), key.text)
    await until(lambda: gate("GET", f"/orderbook?instrument={market}"), lambda answer: answer.status == 200)

    await page.open(f"{gate.url}/?instrument={market}")
    await page.sees("#key", "API key")
    await page.fill("#key input", "ms_000000000000_wrong")
    await page.press(Keys.ENTER)
    await page.sees("#key-why", "unknown, revoked or expired")
    await page.fill("#key input", key.text)
    await page.press(Keys.ENTER)
    await page.until(STATE, lambda state: state == "live")
    await page.sees(".who strong", "kim")
    await order_by_ticket(page, "buy", "1", "99.00")
    await page.sees("#account tbody", "99.00")

    kept = "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, document.body.innerHTML])"
    assert key.text not in await page.js(f"return {kept}")
    await page.open("about:blank")
    await venue.stop_worker("gateway", GATE_SLOT)
    await page.errors()  # the 401s


async def test_everything_has_a_name_and_enough_contrast(page: Page, api: Api) -> None:
    """For those who hear the page, and for those who see little; light and dark."""
    market = await opened(page, api)
    await placed(api, market, client_id="me", price="99.00")
    await placed(api, market, side="sell", price="101.00")
    await placed(api, market, side="buy", type="market", price=None, quantity="0.5", client_id="bob")
    await page.until(TAPE)
    await page.until("document.querySelectorAll('#account tbody tr').length")

    assert await nameless(page) == []
    for theme in ("dark", "light"):
        await page.js("document.documentElement.dataset.theme = arguments[0]", theme)
        assert await page.js(LOW_CONTRAST) == [], theme
    await page.press("?")
    await page.until("document.querySelector('#help').open")
    assert "channel book" in await page.text("#help")
    assert await page.js(LOW_CONTRAST) == []
    await page.press(Keys.ESCAPE)


async def test_an_order_needs_no_mouse(page: Page, api: Api) -> None:
    """The book by its arrows, the price by Enter, the quantity by `b`; what has the focus is seen to have it."""
    market = await opened(page, api)
    await placed(api, market, side="sell", price="101.00")
    await placed(api, market, side="sell", price="102.00")
    await page.until(LADDER, lambda rows: len(rows) == 2)
    await page.press("o")
    await page.press(Keys.ARROW_UP, Keys.ENTER)
    assert await page.js("return document.querySelector('#ticket [name=price]').value") == "102.00"
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert await page.js(outline) == "solid"
    await page.press("b")
    await page.press("1.5", Keys.ENTER)
    await page.sees("#ticket .outcome", "filled, 1.5000 at 101.33333333")
    await page.press(Keys.ESCAPE)
    await page.press("/")
    await page.press("no such", Keys.ESCAPE)
    await page.press("a")
    await page.press(Keys.ARROW_RIGHT)
    await page.sees('#account [aria-selected="true"]', "Fills")


async def test_a_burst_of_changes_paints_once_a_frame_and_moves_nothing(page: Page, api: Api) -> None:
    """Fifty orders, one after the other: no layout shift, at most a paint a frame, and the last state is right."""
    market = await opened(page, api)
    await placed(api, market, side="sell", price="100.00", quantity="100")
    await page.until(LADDER)
    await page.js(
        """window.shifts = []; window.frames_ = 0;
        new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((e) => e.value)))
          .observe({ type: "layout-shift", buffered: false });
        const tick = () => { window.frames_ += 1; requestAnimationFrame(tick); }; requestAnimationFrame(tick);
        window.changes = 0;
        new MutationObserver(() => { window.changes += 1; })
          .observe(document.querySelector("#ladder .seq"), { childList: true, characterData: true, subtree: true });"""
    )
    places = await page.js(f"return {PLACES}")
    for number in range(50):
        terms = {"client_order_id": f"b{number}", "instrument": market, "client_id": "bob", "side": "buy"}
        terms |= {"type": "limit", "price": f"{99 - number / 100:.2f}" if number % 2 else "100.00", "quantity": "1"}
        await api("POST", "/orders", terms)
        await asyncio.sleep(0.02)
    book = (await api("GET", f"/orderbook?instrument={market}")).body
    await page.until(LADDER, lambda rows: len(rows) == min(len(book["bids"]), 10) + len(book["asks"]) or len(rows) > 20)
    shifts, changes, frames = await page.js("return [window.shifts, window.changes, window.frames_]")
    assert sum(shifts) < LARGEST_SHIFT
    assert await page.js(f"return {PLACES}") == places
    assert 0 < changes <= frames + 1
    assert await page.text("#ladder .checked") == "✓"
    title = await page.js("return document.querySelector('#ladder .checked').title")
    assert "differs: 0" in title


@pytest.mark.parametrize("size", [SMALL_PHONE, PHONE, TABLET], ids=str)
async def test_the_page_fits_a_small_screen(size: tuple[int, int], page: Page, api: Api) -> None:
    """Nothing is wider than the screen, each interval can be chosen; the instrument is in a list of its own."""
    market = await opened(page, api, size=size)
    await placed(api, market, price="99.00")
    await page.until(LADDER)
    assert await page.js(f"return {TOO_WIDE}") == []
    assert await page.js("return document.documentElement.scrollWidth") <= size[0]
    assert await page.js("return document.querySelector('#instrument-select').value") == market
    assert await page.js(f"return {CUT_INTERVALS}") == []
    if size != TABLET:
        assert await page.js("return document.querySelector('#ticket .send').getBoundingClientRect().height") >= 36


async def test_nothing_comes_from_elsewhere(page: Page, api: Api) -> None:
    """Scripts, styles, calls: all of them are this gateway's."""
    await opened(page, api)
    origins = "[...new Set(performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin))]"
    assert await page.js(f"return {origins}") == [api.url]


async def test_the_pages_arithmetic_is_exact(page: Page, api: Api) -> None:
    """Its decimals and its CRC-32 give what Python's give, at the edges of what the venue allows."""
    await opened(page, api)
    numbers = ["0", "0.00000001", "999999999999.99999999", "70000.00", "0.1", "123456789.87654321"]
    text = "#".join(f"{number}:{number}" for number in numbers)
    script = """const [d, c] = [await import("/static/page/decimals.js"), await import("/static/page/crc32.js")];
        const [numbers, text] = arguments;
        return [numbers.map((n) => String(d.units(n))), numbers.map((n) => d.plain(d.units(n), 8)), c.crc32(text),
          d.grouped("1234567.5"), d.plain(d.times(d.units("70000.01"), d.units("0.0003")), 8),
          ["-0.004", "-0.01", "-12.3"].map((n) => d.plain(d.units(n), 2))];"""
    exact, back, checksum, grouped, product, negative = await page.later(script, numbers, text)
    assert exact == [str(units(number)) for number in numbers]
    assert back == [f"{Decimal(number):.8f}" for number in numbers]
    assert negative == ["0.00", "-0.01", "-12.30"]  # a market that fell a little was at -0.00%
    assert (checksum, grouped, product) == (crc32(text.encode()), "1,234,567.5", "21.00000300")


def test_every_module_says_what_it_is_for_and_writes_no_markup() -> None:
    """Its first line; text reaches the page as text only."""
    folder = Path(__file__).parents[2] / "web" / "static" / "page"
    modules = sorted(folder.rglob("*.js"))
    assert len(modules) > 20
    for module in modules:
        source = module.read_text()
        assert source.startswith("// "), module
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"):
            assert word not in source, (module, word)
