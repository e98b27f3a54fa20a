"""Rebuild damaged or missing snapshots of a partition by replaying its log from the first command.

Workers must be down. Like any snapshot, a rebuilt one covers only commands whose outputs are in the topics
(docs/EXACTNESS.md, I3), so a worker can start from it as if it had written it.
"""

from collections.abc import Callable
from typing import NamedTuple

from app.engine import Partition
from app.kafka.one_shot import ToSend, send
from app.topics import BOOKS_CHANGELOG, ORDERS
from app.verification.findings import Findings
from app.verification.judge import PartitionJudge
from app.verification.promises import Promises
from app.verification.reading import VenueLogs
from app.verification.venue import Streams
from tables.books.subjects import AROUND, Subjects
from tables.books.verification import books_states
from tables.recovery.changelog import Named, block_key, manifest_key, manifest_value
from tables.recovery.checkpoint import Record
from tables.recovery.verification import ChangelogStates, read_states


class CannotRebuild(RuntimeError):
    """The log or an output topic is wrong itself, so `rebuild` cannot help; the message says what is wrong."""


class Rebuilt(NamedTuple):
    """The damage found in a partition and what `rebuild` wrote to repair it; None and zeros if it was sound.

    `floor` is the offset in `orders` at which a worker continues.
    """

    partition: int
    damage: str | None
    floor: int
    snapshots: int = 0
    blocks: int = 0
    removed: int = 0

    def as_text(self) -> str:
        if self.damage is None:
            return f"orders[{self.partition}]: sound up to {self.floor}, nothing written"
        said = f"{self.snapshots} snapshots and {self.blocks} id blocks written, {self.removed} records removed"
        return f"orders[{self.partition}]: {said}, a worker continues at {self.floor} (it was: {self.damage})"


async def rebuild(broker: str, logs: VenueLogs, number: int, log_id: str, progress: Callable[[int], None]) -> Rebuilt:
    """Check one partition and rewrite its states if they are wrong; raises CannotRebuild."""
    findings = Findings()
    states = await read_states(broker, AROUND, books_states(number, log_id, findings, live_only=True))
    fence, judge = await _compare(logs, number, findings, states, progress)
    for finding in (findings.log, findings.executions, findings.trades):
        if finding.first is not None:
            raise CannotRebuild(f"the topics are not what the log gives: {finding.first}")
    end = judge.next_offset
    unheard = [offset for topic in (judge.executions, judge.trades) if (offset := topic.first_missing) is not None]
    floor = min(unheard, default=end)
    damage = findings.origin.first or findings.states.first or _lost_outputs(judge)
    if damage is None and end > 1 and not states.has_manifest:
        damage = "there is no manifest"
    if damage is None:
        return Rebuilt(number, None, floor)
    partition = await _replayed(logs, number, floor, progress)
    # If a command above the floor already has a report, readers must not start beyond that report.
    plan = _Plan.of(partition, log_id, floor, fence if judge.heard_to < floor else 0)
    stale = sorted(states.keys - {key for key, _ in plan.records})
    written = [*plan.records, *((key, None) for key in stale)]
    await send(broker, [ToSend(BOOKS_CHANGELOG.name, number, key, value) for key, value in written])
    return Rebuilt(number, damage, floor, plan.snapshots, plan.blocks, len(stale))


async def _compare(
    logs: VenueLogs, number: int, findings: Findings, states: ChangelogStates, progress: Callable[[int], None]
) -> tuple[int, PartitionJudge]:
    """The end of `executions`, queried before the end of `orders`, and the judge that has compared both topics."""
    streams = await Streams.of(logs, number)
    judge = PartitionJudge(
        number,
        logs.partitions,
        findings,
        required=0,
        recorded=None,
        books=None,
        promises=Promises(()),
        states=states,
    )

    async def after_batch(commands: int) -> None:
        progress(commands)

    await streams.carry_to(judge, after_batch)
    return streams.executions.end, judge


def _lost_outputs(judge: PartitionJudge) -> str | None:
    """Describe outputs that the topics have lost although snapshots cover them: only a replay writes them again."""
    for name, topic in (("executions", judge.executions), ("trades", judge.trades)):
        for instrument, seq in topic.missing(judge.is_required).items():
            return f"{name} has lost records of {instrument} up to seq {seq}, which snapshots cover"
    return None


async def _replayed(logs: VenueLogs, number: int, floor: int, progress: Callable[[int], None]) -> Partition:
    """Replay all commands below the floor."""
    partition, orders = Partition(number, logs.partitions), await logs.stream(ORDERS.name, number)
    while records := await orders.read():
        for record in records:
            if record.offset >= floor:
                return partition
            partition.apply(*record)
        progress(len(records))
    return partition


class _Plan(NamedTuple):
    """The records to write, in the order of durability: id blocks, snapshots, manifest."""

    records: list[Record]
    snapshots: int
    blocks: int

    @classmethod
    def of(cls, partition: Partition, log_id: str, floor: int, executions: int) -> "_Plan":
        subjects = Subjects(partition, log_id)
        frozen = {name: state for name in subjects if (state := subjects[name].freeze()).offset >= 0}
        named = {name: Named(state.offset, state.seq, executions) for name, state in frozen.items()}
        blocks: list[Record] = [
            (block_key(name, number), state.block_value(number))
            for name, state in frozen.items()
            for number in range(state.first_block, state.end_block)
        ]
        snapshots = [record for name, state in frozen.items() for record in state.snapshot_records(name)]
        manifest = (manifest_key(floor), manifest_value(floor, log_id, named, executions))
        return cls([*blocks, *snapshots, manifest], len(frozen), len(blocks))
