"""`candles` and `ticker` on `/stream`: every update once, resumed from any seq, and slow readers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from app.models.bars import candle_answer, ticker_data
from app.models.candles import CandlesUpdate, update_message
from app.models.decimals import Scale
from load.followed import Followed
from tests.analytics.markets import carry, history_of
from tests.matching.streams import INSTRUMENT
from tests.web.contract import complaint_about
from tests.web.reports import Reader, Venue, reports_of, settled
from web.market import bars as market_bars
from web.market.bars import MarketBars
from web.refused import Refused
from web.streams.client import BEHIND, MAX_WAITING, SLOW_CONSUMER

SCALE = Scale(1_000_000, 10_000)  # ticks of 0.01, lots of 0.0001


def updates_of(seed: int, length: int = 300) -> list[CandlesUpdate]:
    """What the analytics role writes about a market of trades, busts and quiet times."""
    return [update_message(INSTRUMENT, update, SCALE) for update in carry(history_of(seed, length)).updates if update]


@pytest.fixture(autouse=True)
async def cut() -> AsyncIterator[None]:
    """End the connections of a test."""
    yield
    for reader in list(Reader.all):
        reader.cut()


@pytest.fixture
def venue() -> Iterator[Venue]:
    """A market that is listed, and has no bars yet."""
    found = Venue(reports_of(1, 10))
    found.apply_to(1)
    return found


class Copy:
    """All bars and the ticker, kept by messages alone."""

    def __init__(self) -> None:
        self.bars: dict[tuple[str, str], dict[str, Any]] = {}

    def take(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            assert complaint_about(message) is None
            for candle in message["data"]:
                self.bars[candle["interval"], candle["open_time"]] = candle


def as_told(updates: list[CandlesUpdate]) -> dict[tuple[str, str], dict[str, Any]]:
    """The newest state of every bar of these updates."""
    shown = [candle_answer(candle) for update in updates for candle in update.bars]
    return {(c.interval, c.open_time): {f: getattr(c, f) for f in c.__struct_fields__} for c in shown}


@pytest.mark.parametrize("seed", range(5))
async def test_bars_kept_by_messages_alone_are_those_of_the_topic(venue: Venue, seed: int) -> None:
    """From before the first trade on, repeats of a restarted role included."""
    updates = updates_of(seed)
    reader, copy = Reader(venue, Followed("candles", INSTRUMENT)), Copy()
    for update in [*updates[:40], *updates[10:]]:
        venue.tell(update)
    copy.take(messages := await reader.take())

    assert copy.bars == as_told(updates)
    assert [(m["seq"], m["type"]) for m in messages] == [(update.seq, "update") for update in updates]


async def test_a_snapshot_has_the_newest_bar_of_each_interval_and_the_ticker(venue: Venue) -> None:
    """And an update follows it without a gap."""
    *updates, last = updates_of(7)
    for update in updates:
        venue.tell(update)
    readers = {name: Reader(venue, Followed(name, INSTRUMENT)) for name in ("candles", "ticker")}
    venue.tell(last)
    candles, ticker = [await reader.take() for reader in readers.values()]

    newest: dict[str, dict[str, Any]] = {}
    for (interval, open_time), candle in as_told(updates).items():
        newest[interval] = max(newest.get(interval, candle), candle, key=lambda found: found["open_time"])
        assert open_time <= newest[interval]["open_time"]
    assert [candle["interval"] for candle in candles[0]["data"]] == [
        "1m",
        "3m",
        "5m",
        "15m",
        "30m",
        "1h",
        "4h",
        "1d",
        "1w",
    ]
    assert {candle["interval"]: candle for candle in candles[0]["data"]} == newest
    for messages, type_ in ((candles, "CandlesMessage"), (ticker, "TickerMessage")):
        assert [(m["type"], m["seq"]) for m in messages] == [("snapshot", updates[-1].seq), ("update", last.seq)]
        assert all(complaint_about(message) is None for message in messages), type_
    shown = ticker_data(last.ticker)
    assert ticker[-1]["data"] == [{name: getattr(shown, name) for name in shown.__struct_fields__}]


async def test_a_subscription_is_resumed_from_any_seq_in_memory(venue: Venue) -> None:
    """Every update after it follows, also from a seq between two updates; below memory only a snapshot helps."""
    updates = updates_of(3)
    for update in updates:
        venue.tell(update)
    for seq in (0, 1, updates[5].seq - 1, updates[5].seq, updates[-1].seq - 1, updates[-1].seq):
        reader = Reader(venue, Followed("candles", INSTRUMENT, from_seq=seq))
        messages = await reader.take()
        assert [message["seq"] for message in messages] == [update.seq for update in updates if update.seq > seq]
        assert reader.followed.last_seq == updates[-1].seq


async def test_what_memory_does_not_have_needs_a_snapshot(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal says where it begins; a seq that is not there yet is another refusal."""
    monkeypatch.setattr(market_bars, "MAX_UPDATES", 10)
    venue.bars = MarketBars(INSTRUMENT)
    updates = updates_of(3)
    for update in updates:
        venue.tell(update)
    first = updates[-10].prev_seq
    Reader(venue, Followed("candles", INSTRUMENT, from_seq=first))
    for seq, code in ((first - 1, "snapshot_required"), (updates[-1].seq + 1, "beyond_end")):
        with pytest.raises(Refused) as refused:
            Reader(venue, Followed("candles", INSTRUMENT, from_seq=seq))
        assert refused.value.code == code
        assert refused.value.more["first_seq"] == first + 1


async def test_a_slow_reader_of_tickers_gets_the_last_one_and_of_bars_is_closed(venue: Venue) -> None:
    """A ticker says all by itself; a bar that is left out would be missing."""
    updates = updates_of(5, 2_000)
    assert len(updates) > BEHIND + 100
    ticker, candles = (Reader(venue, Followed(name, INSTRUMENT)) for name in ("ticker", "candles"))
    for reader in (ticker, candles):
        reader.wire.stop_reading()
    for update in updates:
        venue.tell(update)
        await settled()
    ticker.wire.read_on()
    messages = await ticker.take()
    while len(candles.client._waiting) < MAX_WAITING and candles.wire.closed is None:
        venue.hub.bars.publish(venue.bars, updates[-1])
    venue.hub.bars.publish(venue.bars, updates[-1])
    await settled()

    assert len(messages) < len(updates) and messages[-1]["seq"] == updates[-1].seq
    assert candles.wire.closed == (SLOW_CONSUMER, b"slow_consumer")


async def test_an_idle_channel_has_heartbeats_with_the_seq_of_the_bars(venue: Venue) -> None:
    """Not of the book, which may be further."""
    for update in updates_of(2)[:3]:
        venue.tell(update)
    reader = Reader(venue, Followed("ticker", INSTRUMENT))
    await reader.take()
    venue.hub.beat()
    venue.hub.beat()
    (heartbeat,) = await reader.take()

    assert (heartbeat["type"], heartbeat["seq"]) == ("heartbeat", venue.bars.seq)
