"""Table A of the requirements, request for request: what clients of the reference system send still works."""

import socket
from uuid import uuid4

import aiohttp
import orjson

from app.local.venue import Venue
from tests.until import until
from tests.web.conftest import Api, public

SLOT = 6


async def test_an_order_with_the_references_body_is_created(api: Api, market: str) -> None:
    """A1: the header, the six fields, and 201 with an order_id."""
    body = {"client_id": "c1", "instrument": market, "side": "buy", "type": "limit", "price": 70000.5, "quantity": 0.1}
    answer = await api("POST", "/orders", body, headers={"Idempotency-Key": str(uuid4())})

    assert answer.status == 201
    assert answer.headers["Location"] == f"/api/v1/orders/{answer.body['order_id']}"
    assert answer.body["status"] == "pending_new"


async def test_letter_case_trailing_slash_and_numbers_as_text_are_free(api: Api, market: str) -> None:
    """A1: `SELL`, `Limit`, "1.5" or 1.5, /orders or /orders/."""
    answer = await api.place(
        path="/orders/?wait=matched", instrument=market, side="SELL", type="Limit", price=101, quantity="0.25"
    )

    assert answer.status == 201
    order = answer.body
    assert (order["side"], order["type"], order["price"], order["quantity"]) == ("sell", "limit", "101.00", "0.2500")


async def test_a_number_is_read_exactly(api: Api, market: str) -> None:
    """0.1 + 0.2 is no float here: what was written is what is stored."""
    key = str(uuid4())
    raw = f'{{"client_id":"c","instrument":"{market}","side":"buy","type":"limit","price":70000.10,"quantity":0.3}}'
    answer = await api("POST", "/orders?wait=matched", raw, headers={"Idempotency-Key": key})

    assert (answer.body["price"], answer.body["quantity"]) == ("70000.10", "0.3000")


async def test_a_market_order_may_carry_a_price_that_says_nothing(api: Api, market: str) -> None:
    """The reference requires one."""
    await api.place(instrument=market, side="sell", price="100.00", quantity="2", client_id="maker")
    answer = await api.place(instrument=market, type="MARKET", price=1, quantity="3", client_id="taker")

    order = answer.body
    assert (order["status"], order["reason"]) == ("expired", "insufficient_liquidity")
    assert (order["filled_quantity"], order["remaining_quantity"], order["price"]) == ("2.0000", "1.0000", None)


async def test_orders_are_listed_newest_first_ten_by_default(api: Api, market: str) -> None:
    """A2: a plain array, `limit` and `page`."""
    placed = [(await api.place(instrument=market)).body["order_id"] for _ in range(12)]
    path = f"/orders?instrument={market}"
    first = await until(lambda: api("GET", path), lambda found: found.body and found.body[0]["order_id"] == placed[-1])
    second = await api("GET", f"{path}&page=2")

    assert [order["order_id"] for order in first.body] == placed[:1:-1]
    assert [order["order_id"] for order in second.body] == placed[1::-1]
    assert set(first.body[0]) == set((await api("GET", f"/orders/{placed[-1]}")).body)


async def test_trades_are_listed_newest_first_fifty_by_default(api: Api, market: str) -> None:
    """A2: the last 50 of 60, each with both order ids, price, quantity, time."""
    await api.place(instrument=market, side="sell", quantity="60", client_id="maker")
    for _ in range(60):
        await api.place(instrument=market, quantity="1", client_id="taker")
    trades = (await api("GET", f"/trades?instrument={market}")).body
    third = (await api("GET", f"/trades?instrument={market}&limit=25&page=3")).body

    assert [trade["seq"] for trade in trades] == list(range(60, 10, -1))
    assert [trade["seq"] for trade in third] == list(range(10, 0, -1))
    assert trades[0]["trade_id"] == f"{market}-60"
    assert {"buy_order_id", "sell_order_id", "price", "quantity", "executed_at"} < set(trades[0])


async def test_the_order_book_shows_levels_best_first_with_sums(api: Api, market: str) -> None:
    """A3 and B8: totals and cumulative depth."""
    for price, quantity in (("99.00", "1"), ("98.00", "2"), ("99.00", "0.5"), ("97.00", "4")):
        await api.place(instrument=market, price=price, quantity=quantity)
    await api.place(instrument=market, side="sell", price="101.00", quantity="3")
    book = (await api("GET", f"/orderbook?instrument={market}&levels=2")).body

    assert book["bids"] == [
        {"price": "99.00", "quantity": "1.5000", "orders": 2, "cumulative": "1.5000"},
        {"price": "98.00", "quantity": "2.0000", "orders": 1, "cumulative": "3.5000"},
    ]
    assert book["asks"] == [{"price": "101.00", "quantity": "3.0000", "orders": 1, "cumulative": "3.0000"}]
    assert (book["instrument"], book["seq"]) == (market, 6)


async def test_a_socket_carries_each_trade_in_a_text_frame(api: Api, market: str) -> None:
    """A4: of one instrument, in order, as GET /trades shows them."""
    async with api.session.ws_connect(f"{api.url}/ws/trades?instrument={market}") as socket:
        await api.place(instrument=market, side="sell", quantity="3", client_id="maker")
        for _ in range(3):
            await api.place(instrument=market, quantity="1", client_id="taker")
        frames = [orjson.loads(await socket.receive_str(timeout=10)) for _ in range(3)]

    assert frames == [public(trade) for trade in (await api("GET", f"/trades?instrument={market}")).body[::-1]]


async def test_a_socket_without_an_instrument_carries_all(api: Api, market: str) -> None:
    """A4: the reference's client opens it like this."""
    async with api.session.ws_connect(f"{api.url}/ws/trades") as socket:
        await api.place(instrument=market, side="sell", client_id="maker")
        await api.place(instrument=market, client_id="taker")
        while orjson.loads(await socket.receive_str(timeout=10))["instrument"] != market:
            pass


async def test_a_second_port_carries_the_trades_where_it_is_free(
    venue: Venue, session: aiohttp.ClientSession, api: Api, market: str
) -> None:
    """A4: the reference has them on 8081. A port that somebody else has is no reason not to start."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        other.listen()
        await venue.start_worker("gateway", SLOT, {"TRADES_PORT": str(port)})
        await venue.wait_ready("gateway", SLOT)
        await venue.stop_worker("gateway", SLOT)
    await venue.start_worker("gateway", SLOT, {"TRADES_PORT": str(port)})
    try:
        await venue.wait_ready("gateway", SLOT)
        async with session.ws_connect(f"http://127.0.0.1:{port}/ws/trades?instrument={market}") as stream:
            await api.place(instrument=market, side="sell", client_id="maker")
            await api.place(instrument=market, client_id="taker")
            assert orjson.loads(await stream.receive_str(timeout=20))["instrument"] == market
    finally:
        await venue.stop_worker("gateway", SLOT)
