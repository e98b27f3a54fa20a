"""When a snapshot is due, and what the changelog therefore costs, at any rate; the clock is the test's own."""

import pytest

from app.engine import Partition
from app.instruments import default_listings
from app.models.commands import encode_command
from benchmarks.flow import Mix
from benchmarks.orders_log import prepared
from tables.books.subjects import Subjects
from tables.recovery.changelog import Fence, Loaded
from tables.recovery.checkpoint import AGE_MS_PER_ENTRY, MAX_REPLAY, MIN_AGE_MS, MIN_EVENTS, Checkpoint, Record

LOG_ID = "3d7f2b0e-0000-8000-8000-000000000000"
NOTHING = Loaded(0, 0, {}, {}, {}, frozenset(), Fence(0, 0), {}, ())
MARKETS = len(default_listings())
CHECK_MS = 100
# What ARCHITECTURE.md promises: bytes an order at 20 orders a second a market or more; a second and market below.
BYTES_AN_ORDER = 150
BYTES_A_SECOND = 1_100


class _Ports:
    """Counts what would be written."""

    def __init__(self) -> None:
        self.bytes = 0
        self.snapshots: list[bytes] = []

    async def outputs_acknowledged(self) -> None:
        """There are none."""

    async def write(self, records: list[Record]) -> None:
        self.bytes += sum(len(key) + len(value or b"") for key, value in records)
        self.snapshots += [key for key, value in records if value and b"@" in key and not key.startswith(b"_")]

    async def ends(self) -> tuple[int, int]:
        return 0, 0

    def inspect(self, records: list[Record]) -> None:
        """Nobody looks."""

    def acknowledge_below(self, offset: int) -> None:
        """Nobody asks."""

    def now(self) -> int:
        """As an Ownership: it never ends."""
        return 0


class _Market:
    """All default markets in one partition, whose log gets `rate` orders a second."""

    def __init__(self) -> None:
        self.partition, self.ports, self.now_ms = Partition(0, 1), _Ports(), 0
        subjects = Subjects(self.partition, LOG_ID)
        self.checkpoint = Checkpoint(subjects, NOTHING, self.ports, self.ports, LOG_ID, 1)
        for listing in default_listings():
            self.take(listing.instrument.encode(), encode_command(listing))

    def take(self, key: bytes, value: bytes) -> None:
        offset = self.checkpoint.position
        outcome = self.partition.apply(offset, self.now_ms, key, value)
        assert outcome is not None
        self.checkpoint.position += 1
        self.checkpoint.note(outcome.instrument, offset, self.now_ms)

    async def pass_time(self, until_ms: int) -> None:
        while self.now_ms < until_ms:
            self.now_ms += CHECK_MS
            if due := self.checkpoint.due(self.now_ms):
                await self.checkpoint.run(due)

    async def trade(self, orders: int, rate: float, resting: int = 100) -> None:
        for number, record in enumerate(prepared(1, orders, resting, 1, Mix())):
            await self.pass_time(int(number * 1_000 / rate))
            self.take(record.key, record.value)


@pytest.mark.parametrize("rate", [200, 2_000])
async def test_an_order_costs_the_changelog_little_at_any_pace(rate: int) -> None:
    """At low rates too, at which each snapshot has few orders to share its bytes among."""
    market = _Market()
    await market.trade(12_000, rate, resting=1_000)
    assert market.ports.snapshots
    assert market.ports.bytes / 12_000 < BYTES_AN_ORDER


@pytest.mark.parametrize("rate", [2, 20])
async def test_few_orders_cost_the_changelog_little_a_second(rate: int) -> None:
    """So few that a share for each is no measure: Kafka compacts the changelog, which has its size by the hour."""
    market = _Market()
    await market.trade(2_000, rate)
    assert market.ports.snapshots
    assert market.ports.bytes / (market.now_ms / 1_000) < MARKETS * BYTES_A_SECOND


def _due(events: int, entries: int, after_ms: int, records: int) -> bool:
    """Whether a subject of this size is due, so many events, ms and records of the partition after its snapshot."""

    class Subject:
        size = entries

    ports = _Ports()
    checkpoint = Checkpoint({"A": Subject()}, NOTHING, ports, ports, LOG_ID, 1)  # type: ignore[dict-item]
    for offset in range(events):
        checkpoint.note("A", 1 + offset, 0)
    checkpoint.position = 1 + records
    return checkpoint.due(after_ms) == ["A"]


# Events, entries, ms and records at which each rule first applies.
CASES = [
    (MIN_EVENTS, 10, 0, MIN_EVENTS),
    (2 * MIN_EVENTS, 4 * MIN_EVENTS, 0, 2 * MIN_EVENTS),
    (1, 0, MIN_AGE_MS, 1),
    (1, 1_000, 1_000 * AGE_MS_PER_ENTRY, 1),
    (1, 1_000, 0, MAX_REPLAY),
    (1, 4 * MAX_REPLAY, 0, 2 * MAX_REPLAY),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_rule_applies_from_its_limit_on(case: tuple[int, int, int, int]) -> None:
    """At the limit it is due; with one event, millisecond or record less it is not."""
    events, entries, after_ms, records = case
    assert _due(*case)
    assert not _due(events - (events > 1), entries, max(0, after_ms - 1), records - 1)
