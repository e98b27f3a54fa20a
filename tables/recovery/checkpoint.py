"""Write checkpoints of one partition in an order that makes a start from durable data exact.

A checkpoint writes T the outputs of the events, I complete blocks, S snapshots, M the manifest (which names the
newest snapshots), C the source position. Kafka acknowledges each before the next is written (T before I before S before
M before C). So after a crash only the last stages may be missing, and the next worker writes them again with the same
bytes. docs/EXACTNESS.md has the rules. This module uses neither Kafka nor Faust nor a clock, only the ports below, so
that tests can drive it through any schedule of faults.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import ClassVar, NamedTuple, Protocol

from tables.recovery.changelog import Fence, Loaded, Named, block_key, manifest_key, manifest_value, obsolete, parse

# A snapshot rewrites every entry of its subject (an open order or an id), about 100 bytes each. So a subject is due
# after this many events, or half as many as it has entries if that is more: at most two entries written per event;
MIN_EVENTS = 500
# or when its oldest event without a snapshot has this age, or AGE_MS_PER_ENTRY for each entry if that is more:
# however few events arrive, at most a kilobyte per second is written;
MIN_AGE_MS = 2_000
AGE_MS_PER_ENTRY = 100
# or when its oldest event without a snapshot would make a start replay this many records of the partition (less than
# a second's work), or half as many as the subject has entries if that is more.
MAX_REPLAY = 20_000

Record = tuple[bytes, bytes | None]


class Ownership(Protocol):
    """Whether this process still owns the partition: a counter that a revocation raises."""

    def now(self) -> int: ...


class Ports(Protocol):
    """What the protocol needs from Kafka and the worker, for one partition."""

    def outputs_acknowledged(self) -> Awaitable[None]:
        """Wait until Kafka has acknowledged everything sent so far for this partition."""

    def write(self, records: list[Record]) -> Awaitable[None]:
        """Append to the changelog, in this order; return once Kafka has acknowledged all records."""

    def ends(self) -> Awaitable[tuple[int, int]]:
        """The end of the outputs, then the end of the source; the second is queried only after the first is known."""

    def inspect(self, records: list[Record]) -> None:
        """Copy these records to RocksDB, where people can inspect them; recovery never reads them there."""

    def acknowledge_below(self, offset: int) -> None:
        """Tell Faust that every event below this offset is covered: a hint for lag displays."""


class Frozen(Protocol):
    """A subject's state after `offset`, immutable. Id blocks from `first_block` up to `end_block` are live."""

    @property
    def offset(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def first_block(self) -> int: ...
    @property
    def end_block(self) -> int: ...

    def snapshot_records(self, name: str) -> list[Record]:
        """The snapshot `name@offset`: its chunks first, its head last."""

    def block_value(self, number: int) -> bytes:
        """A complete id block's value."""


class Subject(Protocol):
    """What the protocol snapshots as one unit: the book of an instrument, or the rejections of a partition."""

    @property
    def size(self) -> int:
        """How many entries a snapshot has: open orders, and the ids of the unfinished block."""

    def freeze(self) -> Frozen: ...


class Abandoned(Exception):
    """The process lost the partition while it wrote a checkpoint; the rest of the checkpoint is not written."""


@dataclass
class _Uncovered:
    """Events of a subject above its last acknowledged snapshot."""

    first_offset: int
    since_ms: int
    count: int = 0


@dataclass
class Checkpoint:
    """Makes the progress of one partition durable. The caller must not start a `run` while another one is active."""

    STAGES: ClassVar = ("outputs", "id_blocks", "snapshots", "manifest", "tombstones", "position_hint")

    subjects: Mapping[str, Subject]
    loaded: Loaded
    ports: Ports
    ownership: Ownership
    log_id: str
    position: int
    reach: Callable[[str], None] = lambda failpoint: None
    _fences: list[Fence] = field(default_factory=list)
    _uncovered: dict[str, _Uncovered] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._named: dict[str, Named] = dict(self.loaded.named)
        self._outputs_of_others = self.loaded.outputs
        self._known: set[bytes] = set()
        self._blocks: dict[str, set[bytes]] = {}
        """The keys of blocks by subject, apart: a table that keeps all its blocks has too many to look at each time."""
        self._first_blocks: dict[str, int] = {}
        self._end_blocks: dict[str, int] = {}
        self._remember(self.loaded.keys)
        self._fences = [Fence(0, 0), self.loaded.fence]

    def note(self, name: str, offset: int, now_ms: int) -> None:
        """An event of this subject has been applied."""
        uncovered = self._uncovered.get(name)
        if uncovered is None:
            uncovered = self._uncovered[name] = _Uncovered(offset, now_ms)
        uncovered.count += 1

    @property
    def uncovered_since_ms(self) -> int | None:
        """When the oldest event without a snapshot was applied; None if snapshots cover every event."""
        return min((uncovered.since_ms for uncovered in self._uncovered.values()), default=None)

    def due(self, now_ms: int) -> list[str]:
        """The subjects that need a snapshot now."""
        return [name for name, uncovered in self._uncovered.items() if self._is_due(name, uncovered, now_ms)]

    def dirty(self) -> list[str]:
        """The subjects with events that no snapshot covers."""
        return list(self._uncovered)

    async def run(self, chosen: Iterable[str]) -> None:
        """Make everything up to the chosen subjects' last events durable, stage by stage.

        Raises Abandoned when the process loses the partition meanwhile.
        """
        mine = self.ownership.now()
        plan = self._plan([name for name in chosen if name in self._uncovered])
        fence = Fence(*await self.ports.ends())
        for stage in self.STAGES:
            await getattr(self, stage)(plan)
            self.reach(f"after-{stage}")
            if self.ownership.now() != mine:
                raise Abandoned
        self._fences.append(fence)
        self._forget_fences()

    async def outputs(self, plan: "_Plan") -> None:
        """T: wait until Kafka has the reports of all commands that the snapshots will cover."""
        await self.ports.outputs_acknowledged()

    async def id_blocks(self, plan: "_Plan") -> None:
        """I: write complete id blocks, which the snapshots then omit."""
        await self._write(plan.blocks)

    async def snapshots(self, plan: "_Plan") -> None:
        """S: write the chosen subjects, each at the offset it had when this run began."""
        await self._write(plan.snapshots)

    async def manifest(self, plan: "_Plan") -> None:
        """M: write the manifest; from now on a start requires the snapshots that it names."""
        self._named = plan.named
        await self._write([plan.manifest])

    async def tombstones(self, plan: "_Plan") -> None:
        """Delete what the manifest has superseded, and show people the newest records."""
        moved = [n for n, first in plan.first_blocks.items() if first > self._first_blocks.get(n, 0)]
        self._first_blocks |= plan.first_blocks
        kept = [self._known, *(self._blocks[name] for name in moved if name in self._blocks)]
        keys = sorted(obsolete(chain.from_iterable(kept), plan.floor, plan.named, plan.first_blocks))
        for some in kept:
            some.difference_update(keys)
        dead: list[Record] = [(key, None) for key in keys]
        await self._write(dead)
        self.ports.inspect([*plan.blocks, *plan.snapshots, plan.manifest, *dead])

    async def position_hint(self, plan: "_Plan") -> None:
        """C: acknowledge the position to Faust, as a hint; no worker starts from it."""
        self.ports.acknowledge_below(plan.floor)

    def _is_due(self, name: str, uncovered: _Uncovered, now_ms: int) -> bool:
        size = self.subjects[name].size
        return (
            uncovered.count >= max(MIN_EVENTS, size // 2)
            or now_ms - uncovered.since_ms >= max(MIN_AGE_MS, AGE_MS_PER_ENTRY * size)
            or self.position - uncovered.first_offset >= max(MAX_REPLAY, size // 2)
        )

    def _plan(self, chosen: list[str]) -> "_Plan":
        """Fix everything to be written before the first await, because matching continues during the checkpoint."""
        left = {name: u.first_offset for name, u in self._uncovered.items() if name not in chosen}
        floor = min(left.values(), default=self.position)
        frozen = {name: self.subjects[name].freeze() for name in chosen}
        named = self._named | {name: Named(f.offset, f.seq, self._outputs_from(name)) for name, f in frozen.items()}
        for name, (offset, seq, outputs) in named.items():
            named[name] = Named(offset, seq, max(outputs, self._fenced(left.get(name, self.position))))
        # A subject without a snapshot has no event below the floor.
        others = self._outputs_of_others = max(self._outputs_of_others, self._fenced(floor))
        blocks = [record for name, found in frozen.items() for record in self._new_blocks(name, found)]
        snapshots = [record for name, f in frozen.items() for record in f.snapshot_records(name)]
        manifest = (manifest_key(floor), manifest_value(floor, self.log_id, named, others))
        for name in chosen:
            del self._uncovered[name]
        return _Plan(floor, named, {n: f.first_block for n, f in frozen.items()}, blocks, snapshots, manifest)

    def _new_blocks(self, name: str, frozen: Frozen) -> Iterator[Record]:
        """The live blocks that the changelog lacks; those of the plan before are known to be there."""
        known = self._blocks.get(name, set())
        for number in range(max(frozen.first_block, self._end_blocks.get(name, 0)), frozen.end_block):
            if (key := block_key(name, number)) not in known:
                yield key, frozen.block_value(number)
        self._end_blocks[name] = frozen.end_block

    def _outputs_from(self, name: str) -> int:
        return self._named[name].outputs if name in self._named else self._outputs_of_others

    def _fenced(self, offset: int) -> int:
        """An offset below which no output belongs to an event at or above this offset of the source."""
        return max(fence.outputs for fence in self._fences if fence.source <= offset)

    async def _write(self, records: list[Record]) -> None:
        if records:
            self._remember(key for key, value in records if value is not None)
            await self.ports.write(records)

    def _remember(self, keys: Iterable[bytes]) -> None:
        """These records are in the changelog, or on their way there."""
        for text in keys:
            key = parse(text)
            if key is not None and key.block is not None:
                self._blocks.setdefault(key.name, set()).add(text)
            else:
                self._known.add(text)

    def _forget_fences(self) -> None:
        """Drop fences that are no longer needed: keep the greatest one below all uncovered events, and later ones."""
        lowest = min((u.first_offset for u in self._uncovered.values()), default=self.position)
        while len(self._fences) > 1 and self._fences[1].source <= lowest:
            self._fences.pop(0)


class _Plan(NamedTuple):
    """Everything that one checkpoint will write."""

    floor: int
    named: dict[str, Named]
    first_blocks: dict[str, int]
    blocks: list[Record]
    snapshots: list[Record]
    manifest: Record
