"""Who may ask for a cycle, and how much one may hold: cutoffs in the future, daily settlements, too many markets."""

import asyncio
import logging

import pytest

from app import settling
from app.clearing.cycles import Cycles, Opened
from app.configuration import Settings
from app.models import clearing
from app.models.clearing import CycleClosed, Settle, encode_fact, key_of, take
from app.naive.clearing import NaiveLedger
from app.settling import DAY_MS
from tests.clearing.projected import Projected, Record, ask, record
from tests.clearing.test_projection import TWO_CYCLES, database

__all__ = ["database"]

MINUTE_MS = 60_000
FAR = 253_402_300_799_999  # the last ms of the year 9999


@pytest.mark.parametrize(("ahead_ms", "counts"), [(-5, True), (MINUTE_MS, True), (MINUTE_MS + 1, False), (FAR, False)])
def test_a_cutoff_that_is_not_over_does_not_count(ahead_ms: int, counts: bool) -> None:
    """By the log time of its own record: every reader of the topic decides the same, today and in a year."""
    cycles, naive = Cycles(), NaiveLedger([])
    fact = Settle("future", 10 * MINUTE_MS + ahead_ms)
    assert take(cycles, fact, 10 * MINUTE_MS) == (Opened(1) if counts else None)
    naive.settle(fact.key, fact.cutoff_time, 10 * MINUTE_MS)
    assert len(naive.keys) == counts == len(cycles.numbers)
    assert take(cycles, Settle("future"), 0) == (None if counts else Opened(1))  # the key is still free


async def test_a_settle_of_the_year_9999_holds_up_no_later_cycle(database: str) -> None:
    """Somebody wrote it straight to Kafka, past the checks of the gateway and the command line."""
    await asyncio.to_thread(record, database, TWO_CYCLES)
    facts = [Record(0, encode_fact(Settle("far", FAR))), Record(1, encode_fact(Settle("now")))]
    async with Projected(database) as projected:
        await projected.settling.take(facts)
        closed, quiet = await projected.settling.proposal()
        assert quiet == [] and closed is not None and closed.cycle == 1
        await projected.settling.take([Record(2, encode_fact(closed))])
    assert ask(database, "SELECT cycle, key, seal IS NOT NULL FROM cycles") == [(1, "now", True)]


async def test_a_day_is_asked_for_once_by_any_number_of_workers(database: str) -> None:
    """The same key and cutoff, whenever in the day each looks; one that starts later sees that it was asked for."""
    await asyncio.to_thread(record, database, TWO_CYCLES)
    at_ms = 17 * 60 * MINUTE_MS
    midnight = 20_000 * DAY_MS  # 2024-10-04
    due = Settle("daily-2024-10-04", midnight + at_ms)
    async with Projected(database) as first, Projected(database) as second:
        assert await first.settling.daily(at_ms, midnight + at_ms - 1) == Settle(
            "daily-2024-10-03", midnight - DAY_MS + at_ms
        )
        assert await first.settling.daily(at_ms, midnight + at_ms) == due
        assert await first.settling.daily(at_ms, midnight + at_ms + 1) is None
        assert await second.settling.daily(at_ms, midnight + DAY_MS) == due
        asked = [Record(number, encode_fact(due), timestamp=midnight + DAY_MS) for number in range(2)]
        await second.settling.take(asked)
        assert ask(database, "SELECT cycle, key FROM cycles") == [(1, due.key)]
    async with Projected(database) as restarted:
        assert await restarted.settling.daily(at_ms, midnight + DAY_MS) is None
        following = await restarted.settling.daily(at_ms, midnight + DAY_MS + at_ms)
        assert following == Settle("daily-2024-10-05", midnight + DAY_MS + at_ms)


@pytest.mark.parametrize("text", ["24:00", "7:00", "17:60", "17", "17:00:00", "noon"])
def test_a_time_of_day_that_is_none_is_refused(text: str) -> None:
    """The sentence says what is wanted."""
    with pytest.raises(ValueError, match="give a time of day in UTC from 00:00 to 23:59"):
        Settings(settle_at=text)
    assert Settings().settle_at_ms is None
    assert Settings(settle_at="17:30").settle_at_ms == (17 * 60 + 30) * MINUTE_MS


def test_the_largest_cycle_fits_into_a_record() -> None:
    """Kafka's usual limit is 1 MB for a batch; every name and seq as long as it may be."""
    cutoffs = {f"{number:-<64}": 2**53 for number in range(clearing.MAX_MARKETS)}
    fact = CycleClosed(2**53, cutoffs)
    assert len(encode_fact(fact)) + len(key_of(fact)) < 1_000_000 - 1_000


async def test_what_one_cycle_cannot_hold_the_next_one_takes(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And the worker says so."""
    await asyncio.to_thread(record, database, TWO_CYCLES)
    monkeypatch.setattr(settling, "MAX_MARKETS", 2)
    async with Projected(database) as projected:
        await projected.settling.take([Record(0, encode_fact(Settle("a")))])
        with caplog.at_level(logging.ERROR):
            closed, _ = await projected.settling.proposal()
        assert closed == CycleClosed(1, {"BTC-USD": 1000, "ETH-BTC": 1000})
        assert "cycle 1 takes 2 of 3 markets" in caplog.text
        await projected.settling.take([Record(1, encode_fact(closed)), Record(2, encode_fact(Settle("b")))])
        closed, _ = await projected.settling.proposal()
        assert closed == CycleClosed(2, {"ETH-USD": 1000})
