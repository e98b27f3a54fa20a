"""What a start notices of logs that have lost something, and what it must take for a working venue; from values."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pytest

from app.topics import EXECUTIONS
from tables.books.subjects import AROUND
from tables.recovery.changelog import Damaged, Fence, Loaded, Named
from tables.recovery.completeness import Reported, require_complete
from tables.recovery.refusals import LogIncomplete


class Report(NamedTuple):
    """As far as it matters here."""

    instrument: str
    seq: int
    offset: int


class Logs:
    """`executions` with these reports, then as many offsets without any (transactions); `orders` with this end.

    Bytes among the reports are records of another program.
    """

    def __init__(self, reports: Sequence[Report | bytes], orders_end: int, first: int = 0, holes: int = 0) -> None:
        self._reports, self._orders_end, self._first, self._holes = reports, orders_end, first, holes
        self.read, self.around = 0, AROUND

    async def bounds_of(self, topic: str) -> tuple[int, int]:
        """Those of the topic."""
        is_executions = topic == EXECUTIONS.name
        return (self._first, len(self._reports) + self._holes) if is_executions else (0, self._orders_end)

    async def reported(self, first: int, end: int) -> Reported:
        """Read from the list."""
        some = self._reports[first:end]
        self.read += len(some)
        return Reported().with_values(
            one if isinstance(one, bytes) else msgspec.json.encode(one._asdict()) for one in some
        )


def loaded(floor: int, executions: int = 0, **named: tuple[int, int, int]) -> Loaded:
    """Snapshots by instrument: offset, seq, and where readers begin above it."""
    promised = {name: Named(*three) for name, three in named.items()}
    return Loaded(floor, executions, promised, {}, {}, frozenset(), Fence(0, 0), {}, ())


TRADED = [Report("A", 1, 1), Report("B", 1, 2), Report("A", 2, 3), Report("A", 3, 4), Report("B", 2, 5)]
AFTER = loaded(6, 4, A=(4, 3, 4), B=(5, 2, 4))
IDLE = loaded(6, 5, A=(4, 3, 5), B=(5, 2, 5))
DIED = loaded(3, 0, A=(1, 1, 0), B=(2, 1, 0))

WORKING = {
    "a new venue": (Logs([], 1), loaded(0)),
    "no checkpoint yet, one command not reported": (Logs(TRADED, 7), loaded(0)),
    "all covered, nothing else": (Logs(TRADED, 6), AFTER),
    "commands that nobody has carried out": (Logs(TRADED, 60), AFTER),
    "an idle instrument far back": (Logs(TRADED, 6), IDLE),
    "a worker died before its checkpoint": (Logs(TRADED, 6), DIED),
    "it began again and died in the middle": (Logs([*TRADED, *TRADED[2:4]], 6), DIED),
    "a paused worker repeated what was covered": (
        Logs([*TRADED, *TRADED[:3]], 6),
        loaded(6, 5, A=(4, 3, 5), B=(5, 2, 5)),
    ),
    "transactions": (Logs(TRADED, 9, holes=3), loaded(6, 8, A=(4, 3, 8), B=(5, 2, 8))),
    "another program's records": (Logs([b"", *TRADED, b"{}", b"\xff", b"[" * 10_000, b'{"seq":9}'], 6), AFTER),
    "retention has taken reports": (Logs([*TRADED, TRADED[0]], 6, first=5), IDLE),
}


@pytest.mark.parametrize("name", WORKING)
async def test_a_working_venue_is_complete(name: str) -> None:
    """Nothing that workers, the cleaner or strangers do is taken for a loss."""
    logs, known = WORKING[name]
    await require_complete(logs, 0, 1, known)


LOST = {
    "a reported command": (Logs(TRADED, 5), loaded(0), LogIncomplete, "output of the record at 5"),
    "one that a snapshot covers": (Logs(TRADED[:4], 4), loaded(3, 0, A=(4, 3, 0)), LogIncomplete, "the record at 4"),
    "one below the floor": (Logs(TRADED, 5), AFTER, LogIncomplete, "record at 5"),
    "reports below where readers begin": (Logs(TRADED[:3], 6), AFTER, Damaged, "ends at 3, .* sends readers to 4"),
    "reports that a snapshot covers": (
        Logs(TRADED[:3], 6),
        loaded(6, 0, A=(4, 3, 0)),
        Damaged,
        "ends with seq 2 of A, its snapshot has seq 3",
    ),
}


@pytest.mark.parametrize("name", LOST)
async def test_a_loss_is_refused(name: str) -> None:
    """Commands that were reported, or reports that readers build upon."""
    logs, known, error, sentence = LOST[name]
    with pytest.raises(error, match=sentence):
        await require_complete(logs, 0, 1, known)


async def test_what_is_read_does_not_grow_with_the_log() -> None:
    """A start reads what its readers read, and further back only as far as it must."""
    many = [Report("A", seq, seq) for seq in range(1, 100_001)]
    logs = Logs([*many, many[50]], 100_001)
    await require_complete(logs, 0, 1, loaded(100_001, 100_000, A=(100_000, 100_000, 100_000)))
    assert logs.read < 10_000
