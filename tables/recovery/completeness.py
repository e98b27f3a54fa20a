"""Check at a start that the logs of a partition still have every record to which the loaded state refers.

The order of the queries rules out false alarms: first the loaded state, then the end of the outputs, then the end of
the source. A worker reads an event below the end of the source before it writes its output, so the check holds even if
an old owner still writes, outputs are repeated, transactions leave holes, or a log is empty.
"""

from collections.abc import Awaitable, Iterable
from typing import NamedTuple, Protocol

import msgspec

from app.models.undecodable import UNDECODABLE
from tables.recovery.around import Around
from tables.recovery.changelog import Damaged, Loaded
from tables.recovery.refusals import require_log, require_partition

FIRST_STEP = 4_096  # how many older outputs to read first when searching backwards


class Logs(Protocol):
    """The logs around one partition."""

    @property
    def around(self) -> Around:
        """The topics of the table."""

    def bounds_of(self, topic: str) -> Awaitable[tuple[int, int]]:
        """First and end offset of the topic's partition with the same number."""

    def reported(self, first: int, end: int) -> Awaitable["Reported"]:
        """Summarise the outputs between these offsets."""


class Reported(NamedTuple):
    """Summary of outputs: the highest offset of an event, as far as they tell (else -1), and each subject's seqs.

    Of these the lowest and the highest.
    """

    last_event: int = -1
    seqs: dict[str, tuple[int, int]] = {}

    def with_values(self, values: Iterable[bytes]) -> "Reported":
        """This summary extended by these encoded outputs; skips what another program wrote, as all readers do."""
        last, seqs = self.last_event, dict(self.seqs)
        for value in values:
            try:
                output = _decode(value)
            except UNDECODABLE:
                continue
            last = max(last, output.offset)
            low, high = seqs.get(output.instrument, (output.seq, output.seq))
            seqs[output.instrument] = min(low, output.seq), max(high, output.seq)
        return Reported(last, seqs)


class _Output(msgspec.Struct):
    """The only fields of an output that are needed here: decoding all of them takes four times as long."""

    instrument: str
    seq: int
    offset: int = -1


_decode = msgspec.json.Decoder(_Output).decode


async def require_complete(logs: Logs, number: int, partitions: int, loaded: Loaded) -> None:
    """Raise LogIncomplete or OtherPartitions, or Damaged if `rebuild` cures it."""
    source, outputs, _ = logs.around
    known = max([loaded.outputs, *(named.outputs for named in loaded.named.values())])
    first, end = await logs.bounds_of(outputs)
    if end < known:
        raise Damaged(f"{outputs}[{number}] ends at {end}, the manifest sends readers to {known}: records are missing")
    begin = max(first, loaded.first_output)
    reported = await logs.reported(begin, end)
    await _require_covered_outputs(logs, number, loaded, reported, first, begin)
    require_partition(number, partitions, [name for name in loaded.states if not name.startswith("_")])
    covered = max((named.offset for named in loaded.named.values()), default=-1)
    require_log(logs.around, number, loaded.floor, covered, reported.last_event, *await logs.bounds_of(source))


async def _require_covered_outputs(
    logs: Logs, number: int, loaded: Loaded, reported: Reported, first: int, begin: int
) -> None:
    """Check that the outputs have the last one of every snapshot, which Kafka had before it; raises Damaged.

    If the last outputs of a subject have lower seqs, a paused worker may have repeated them: search further back.
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
            f"{logs.around.outputs}[{number}] ends with seq {found[name]} of {name}, its snapshot has seq {seq}: "
            "records are missing"
        )
