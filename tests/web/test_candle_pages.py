"""`/candles` a page at a time: every bar once, while bars on both sides of a page's end change.

The test writes the updates of a market's bars to the topic, because real ones would take minutes.
"""

from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from msgspec import to_builtins

from app import app
from app.analytics.intervals import MINUTE_MS, Interval
from app.engine import partition_of
from app.kafka.one_shot import ToSend, send
from app.local.venue import Venue
from app.models.bars import candle_answer
from app.models.candles import Candle, CandlesUpdate, encode_update, update_message
from app.models.decimals import Scale
from app.models.http import rfc3339
from app.topics import CANDLES
from tests.analytics.markets import carry, history_of
from tests.until import until
from tests.web.conftest import Answer, Api

SCALE = Scale(1_000_000, 10_000)  # of `market`
LENGTH = 400


class Restated(NamedTuple):
    """Updates of a market; the bust of the last one changes this old minute."""

    before: list[CandlesUpdate]
    bust: CandlesUpdate
    minute: int


class Page(NamedTuple):
    """A page of minutes, newest first."""

    bars: list[dict[str, Any]]
    next_cursor: str | None
    seq: int


def updates_of(market: str, seed: int = 1) -> list[CandlesUpdate]:
    """What analytics would write about a market of trades, busts and quiet times, over months."""
    return [update_message(market, update, SCALE) for update in carry(history_of(seed, LENGTH)).updates if update]


def restated(market: str) -> Restated:
    """The updates up to one that changes a minute with many others before and after it."""
    updates = updates_of(market)
    for number, update in enumerate(updates):
        times = sorted(newest(updates[:number]), reverse=True)
        for bar in update.bars:
            if bar.interval is Interval.M1 and bar.revision and bar.open_time in times[5:-5] and bar.trades:
                return Restated(updates[:number], update, bar.open_time)
    raise AssertionError("no bust of an old trade")


def newest(updates: list[CandlesUpdate]) -> dict[int, Candle]:
    """Opening time -> the minute after these updates."""
    return {bar.open_time: bar for update in updates for bar in update.bars if bar.interval is Interval.M1}


def as_answered(bars: dict[int, Candle]) -> list[dict[str, Any]]:
    """As a page has them."""
    return [to_builtins(candle_answer(bars[time])) for time in sorted(bars, reverse=True)]


async def told(venue: Venue, api: Api, market: str, updates: list[CandlesUpdate]) -> None:
    """Write these updates; return once Postgres has recorded them and the gateway knows them."""
    where = CANDLES.name, partition_of(market, app.conf.topic_partitions), market.encode()
    await send(venue.servers.broker, [ToSend(*where, encode_update(update)) for update in updates])

    async def ask() -> Answer:
        return await api("GET", f"/candles?instrument={market}&interval=1m&fill=previous&limit=1")  # waits for Postgres

    await until(ask, lambda found: found.status == 200 and int(found.headers["X-Seq"]) == updates[-1].seq)


async def page(api: Api, market: str, limit: int, cursor: str = "", more: str = "") -> Page:
    path = f"/candles?instrument={market}&interval=1m&limit={limit}&cursor={quote(cursor)}{more}"
    body = (await until(lambda: api("GET", path), lambda found: found.status == 200)).body
    assert len(body["candles"]) <= limit
    return Page(body["candles"], body["next_cursor"], body["seq"])


async def pages(api: Api, market: str, limit: int, more: str = "") -> list[Page]:
    """All of them, from the newest bar to the oldest."""
    found = [await page(api, market, limit, "", more)]
    while found[-1].next_cursor is not None:
        found.append(await page(api, market, limit, found[-1].next_cursor, more))
    return found


async def test_pages_have_every_bar_once_whatever_their_size(
    venue: Venue, api: Api, other_api: Api, market: str
) -> None:
    """From either gateway, also where the last page is full; and consecutive spans have them from the oldest on."""
    updates = updates_of(market)
    await told(venue, api, market, updates)
    await told(venue, other_api, market, updates)
    expected = as_answered(newest(updates))
    assert len(expected) > 30
    for limit in (1, 7, len(expected) // 2, len(expected) - 1, len(expected), len(expected) + 1):
        for asked in (api, other_api):
            found = await pages(asked, market, limit)
            assert [bar for one in found for bar in one.bars] == expected
            assert len(found) == -(-len(expected) // limit)
            assert {one.seq for one in found} == {updates[-1].seq}

    times = [bar["open_time"] for bar in reversed(expected)]
    ends = [*times[3::4], rfc3339(updates[-1].time + MINUTE_MS)]
    upward: list[dict[str, Any]] = []
    for begin, end in zip([times[0], *ends[:-1]], ends, strict=True):
        upward += reversed((await page(api, market, 1000, more=f"&from={begin}&to={end}")).bars)
    assert upward == expected[::-1]


@pytest.mark.parametrize("is_on_first_page", [True, False])
async def test_a_bar_at_the_end_of_a_page_may_change_before_the_next_page(
    venue: Venue, api: Api, market: str, is_on_first_page: bool
) -> None:
    """No bar is left out or repeated; the second page has the bar as it is then."""
    before, bust, minute = restated(market)
    await told(venue, api, market, before)
    times = sorted(newest(before), reverse=True)
    limit = times.index(minute) + is_on_first_page
    first = await page(api, market, limit)
    assert first.bars == as_answered(newest(before))[:limit]
    await told(venue, api, market, [bust])
    assert first.next_cursor is not None
    second = await page(api, market, 1000, first.next_cursor)

    after = newest([*before, bust])
    older = {time: bar for time, bar in after.items() if time < times[limit - 1]}
    assert (second.bars, second.next_cursor, second.seq) == (as_answered(older), None, bust.seq)
    assert (minute in older) is not is_on_first_page
    assert after[minute] != newest(before)[minute]


async def test_bars_that_open_meanwhile_are_on_no_later_page(venue: Venue, api: Api, market: str) -> None:
    """They are newer than the first page."""
    updates = updates_of(market)
    middle = len(updates) // 2
    await told(venue, api, market, updates[:middle])
    first = await page(api, market, 5)
    await told(venue, api, market, updates[middle:])
    assert first.next_cursor is not None
    found = [await page(api, market, 5, first.next_cursor)]
    while found[-1].next_cursor is not None:
        found.append(await page(api, market, 5, found[-1].next_cursor))
    older = {time: bar for time, bar in newest(updates).items() if rfc3339(time) < first.bars[-1]["open_time"]}
    assert [bar for one in found for bar in one.bars] == as_answered(older)


async def test_pages_of_filled_bars_leave_no_minute_out(venue: Venue, api: Api, market: str) -> None:
    """Each is a minute before the one above it, across pages, and those with trades are the recorded ones."""
    updates = updates_of(market)
    await told(venue, api, market, updates)
    recorded = newest(updates)
    last = sorted(time for time in recorded)[-3]
    span = f"&fill=previous&from={rfc3339(last - 200 * MINUTE_MS)}&to={rfc3339(last + 30 * MINUTE_MS)}"
    found = [bar for one in await pages(api, market, 64, span) for bar in one.bars]
    assert [bar["open_time"] for bar in found] == [
        rfc3339(last + minutes * MINUTE_MS) for minutes in range(29, -201, -1)
    ]
    traded = {rfc3339(time): bar for time, bar in recorded.items() if bar.trades}
    for bar in found:
        if bar["trades"]:
            assert bar == to_builtins(candle_answer(traded[bar["open_time"]]))
        else:
            assert bar["open_time"] not in traded
