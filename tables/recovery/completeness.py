"""Check at a start that the logs of a partition still have every record to which the loaded state refers.

The order of the queries rules out false alarms: first the loaded state, then the end of `executions`, then the end of
`orders`. A worker reads a command below the end of `orders` before it reports it, so the check holds even if an old
owner still writes, reports are repeated, transactions leave holes, or a log is empty.
"""

from collections.abc import Awaitable, Iterable
from typing import NamedTuple, Protocol

import msgspec

from app.matching.rejections import RejectionsState
from app.topics import EXECUTIONS, ORDERS
from tables.recovery.changelog import Damaged, Loaded
from tables.recovery.refusals import require_log, require_partition

FIRST_STEP = 4_096  # how many older reports to read first when searching backwards


class Logs(Protocol):
    """The logs around one partition."""

    def bounds_of(self, topic: str) -> Awaitable[tuple[int, int]]:
        """First and end offset of the topic's partition with the same number."""

    def reported(self, first: int, end: int) -> Awaitable["Reported"]:
        """Summarise the reports between these offsets of `executions`."""


class Reported(NamedTuple):
    """Summary of reports: the highest command offset (-1 if empty), and each instrument's lowest and highest seq."""

    last_command: int = -1
    seqs: dict[str, tuple[int, int]] = {}

    def with_values(self, values: Iterable[bytes]) -> "Reported":
        """This summary extended by these encoded reports."""
        last, seqs = self.last_command, dict(self.seqs)
        for value in values:
            report = _decode(value)
            last = max(last, report.offset)
            low, high = seqs.get(report.instrument, (report.seq, report.seq))
            seqs[report.instrument] = min(low, report.seq), max(high, report.seq)
        return Reported(last, seqs)


class _Report(msgspec.Struct):
    """The only fields of a report that are needed here: decoding all of them takes four times as long."""

    instrument: str
    seq: int
    offset: int


_decode = msgspec.json.Decoder(_Report).decode


async def require_complete(logs: Logs, number: int, partitions: int, loaded: Loaded) -> None:
    """Raise LogIncomplete or OtherPartitions, or Damaged if `rebuild` cures it."""
    known = max([loaded.executions, *(named.executions for named in loaded.named.values())])
    first, end = await logs.bounds_of(EXECUTIONS.name)
    if end < known:
        raise Damaged(f"executions[{number}] ends at {end}, the manifest sends readers to {known}: reports are missing")
    begin = max(first, loaded.first_report)
    reported = await logs.reported(begin, end)
    await _require_covered_reports(logs, number, loaded, reported, first, begin)
    books = [state.instrument for state in loaded.states.values() if not isinstance(state, RejectionsState)]
    require_partition(number, partitions, books)
    covered = max((named.offset for named in loaded.named.values()), default=-1)
    require_log(number, loaded.floor, covered, reported.last_command, *await logs.bounds_of(ORDERS.name))


async def _require_covered_reports(
    logs: Logs, number: int, loaded: Loaded, reported: Reported, first: int, begin: int
) -> None:
    """Check that `executions` has the last report of every snapshot, which Kafka had before it; raises Damaged.

    If the last reports of an instrument have lower seqs, a paused worker may have repeated them: search further back.
    """
    found = {name: reported.seqs[name][1] for name in loaded.named if name in reported.seqs}
    wanted = {name: named.seq for name, named in loaded.named.items() if found.get(name, named.seq) < named.seq}
    step = FIRST_STEP
    while wanted and begin > first:
        begin, above = max(first, begin - step), begin
        step *= 4
        older = (await logs.reported(begin, above)).seqs
        wanted = {name: seq for name, seq in wanted.items() if older.get(name, (0, 0))[1] < seq}
    if wanted and not first:
        name, seq = next(iter(wanted.items()))
        raise Damaged(
            f"executions[{number}] ends with seq {found[name]} of {name}, its snapshot has seq {seq}: reports are "
            "missing"
        )
