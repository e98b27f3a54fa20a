"""The recovery protocol: what is made durable, in which order, so that a start from durable data alone is exact.

For the events of one partition: T their outputs, I complete id blocks, S snapshots, M the manifest, C the source
position. Each is acknowledged before the next is written (T before I before S before M before C), so any suffix may be
missing after a crash: it is computed again, with the same bytes. The rules are those of docs/EXACTNESS.md. This module
knows no Kafka, no Faust and no clock, only the ports below, so that tests can drive it through any schedule of faults.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from tables.recovery.changelog import Fence, Loaded, Named, block_key, manifest_key, manifest_value, obsolete

# A snapshot writes every entry of its subject again, about 100 bytes each. So a subject is due
# after this many events, or half as many as it has entries: two entries an event;
MIN_EVENTS = 500
# or when its oldest event without a snapshot is this old, and this much for each entry: a kilobyte a second at most,
# however few events come;
MIN_AGE_MS = 2_000
AGE_MS_PER_ENTRY = 100
# or when a start would read this many records of the partition again for its sake, less than a second's work, or half
# as many as it has entries to load.
MAX_REPLAY = 20_000

Record = tuple[bytes, bytes | None]


class Ownership(Protocol):
    """Whether this process still owns the partition: a counter that a revocation raises."""

    def now(self) -> int: ...


class Ports(Protocol):
    """What the protocol needs of the world around it, for one partition."""

    def outputs_acknowledged(self) -> Awaitable[None]:
        """Everything sent so far for this partition is in Kafka."""

    def write(self, records: list[Record]) -> Awaitable[None]:
        """Append to the changelog, in this order; done when all are acknowledged."""

    def ends(self) -> Awaitable[tuple[int, int]]:
        """The end of `executions` and then, asked only after its answer, the end of `orders`."""

    def inspect(self, records: list[Record]) -> None:
        """Show these records to people (RocksDB): never read again by recovery."""

    def acknowledge_below(self, offset: int) -> None:
        """Every event below is covered: a hint for lag displays."""


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
    """One instrument's state in memory."""

    @property
    def size(self) -> int:
        """How many entries a snapshot has: open orders, and ids of the unfinished block."""

    def freeze(self) -> Frozen: ...


class Abandoned(Exception):
    """The partition was lost while a checkpoint was on its way; nothing more of it is written."""


@dataclass
class _Uncovered:
    """Events of a subject above its last acknowledged snapshot."""

    first_offset: int
    since_ms: int
    count: int = 0


@dataclass
class Checkpoint:
    """Makes one partition's progress durable, from time to time. One `run` at a time."""

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
        self._executions_of_others = self.loaded.executions
        self._known: set[bytes] = set(self.loaded.keys)
        self._fences = [Fence(0, 0), self.loaded.fence]

    def note(self, name: str, offset: int, now_ms: int) -> None:
        """An event of this subject has been applied."""
        uncovered = self._uncovered.get(name)
        if uncovered is None:
            uncovered = self._uncovered[name] = _Uncovered(offset, now_ms)
        uncovered.count += 1

    @property
    def uncovered_since_ms(self) -> int | None:
        """When the oldest event without a snapshot was applied; None: there is none."""
        return min((uncovered.since_ms for uncovered in self._uncovered.values()), default=None)

    def due(self, now_ms: int) -> list[str]:
        """The subjects whose turn it is."""
        return [name for name, uncovered in self._uncovered.items() if self._is_due(name, uncovered, now_ms)]

    def dirty(self) -> list[str]:
        """The subjects with events that no snapshot covers."""
        return list(self._uncovered)

    async def run(self, chosen: Iterable[str]) -> None:
        """Make everything up to the chosen subjects' last events durable, stage by stage.

        Raises Abandoned when the partition was lost meanwhile.
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
        """T: whatever a snapshot covers has its reports in Kafka."""
        await self.ports.outputs_acknowledged()

    async def id_blocks(self, plan: "_Plan") -> None:
        """I: ids that a snapshot no longer carries."""
        await self._write(plan.blocks)

    async def snapshots(self, plan: "_Plan") -> None:
        """S: the chosen subjects, each at the offset it had when this run began."""
        await self._write(plan.snapshots)

    async def manifest(self, plan: "_Plan") -> None:
        """M: what is promised from here on."""
        self._named = plan.named
        await self._write([plan.manifest])

    async def tombstones(self, plan: "_Plan") -> None:
        """What lies below the manifest goes; to people the newest is shown."""
        dead: list[Record] = [
            (k, None) for k in sorted(obsolete(self._known, plan.floor, plan.named, plan.first_blocks))
        ]
        self._known.difference_update(key for key, _ in dead)
        await self._write(dead)
        self.ports.inspect([*plan.blocks, *plan.snapshots, plan.manifest, *dead])

    async def position_hint(self, plan: "_Plan") -> None:
        """C: never a place to start from, only a hint."""
        self.ports.acknowledge_below(plan.floor)

    def _is_due(self, name: str, uncovered: _Uncovered, now_ms: int) -> bool:
        size = self.subjects[name].size
        return (
            uncovered.count >= max(MIN_EVENTS, size // 2)
            or now_ms - uncovered.since_ms >= max(MIN_AGE_MS, AGE_MS_PER_ENTRY * size)
            or self.position - uncovered.first_offset >= max(MAX_REPLAY, size // 2)
        )

    def _plan(self, chosen: list[str]) -> "_Plan":
        """Everything that will be written, fixed before the first wait: matching goes on meanwhile."""
        left = {name: u.first_offset for name, u in self._uncovered.items() if name not in chosen}
        floor = min(left.values(), default=self.position)
        frozen = {name: self.subjects[name].freeze() for name in chosen}
        named = self._named | {name: Named(f.offset, f.seq, self._executions(name)) for name, f in frozen.items()}
        for name, (offset, seq, executions) in named.items():
            named[name] = Named(offset, seq, max(executions, self._fenced(left.get(name, self.position))))
        # What has no snapshot has no event below the floor.
        others = self._executions_of_others = max(self._executions_of_others, self._fenced(floor))
        live = [(n, k, f) for n, f in frozen.items() for k in range(f.first_block, f.end_block)]
        blocks: list[Record] = [
            (block_key(n, k), f.block_value(k)) for n, k, f in live if block_key(n, k) not in self._known
        ]
        snapshots = [record for name, f in frozen.items() for record in f.snapshot_records(name)]
        manifest = (manifest_key(floor), manifest_value(floor, self.log_id, named, others))
        for name in chosen:
            del self._uncovered[name]
        return _Plan(floor, named, {n: f.first_block for n, f in frozen.items()}, blocks, snapshots, manifest)

    def _executions(self, name: str) -> int:
        return self._named[name].executions if name in self._named else self._executions_of_others

    def _fenced(self, offset: int) -> int:
        """Where in `executions` no report lies below of a command at this offset or above."""
        return max(fence.executions for fence in self._fences if fence.orders <= offset)

    async def _write(self, records: list[Record]) -> None:
        if records:
            self._known.update(key for key, value in records if value is not None)
            await self.ports.write(records)

    def _forget_fences(self) -> None:
        """Only the greatest fence below everything uncovered, and what lies above it, can still matter."""
        lowest = min((u.first_offset for u in self._uncovered.values()), default=self.position)
        while len(self._fences) > 1 and self._fences[1].orders <= lowest:
            self._fences.pop(0)


class _Plan(NamedTuple):
    """One checkpoint, decided."""

    floor: int
    named: dict[str, Named]
    first_blocks: dict[str, int]
    blocks: list[Record]
    snapshots: list[Record]
    manifest: Record
