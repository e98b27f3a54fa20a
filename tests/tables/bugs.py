"""Seeded bugs of the recovery protocol: each breaks one rule, and the schedules must see it."""

from typing import Any

from app.engine import Partition
from tables.books.subjects import Subjects
from tables.recovery.changelog import Fence, Loaded, Named, fold, interpret, manifest_key, manifest_value, obsolete
from tables.recovery.checkpoint import Checkpoint
from tests.tables.world.bars import Bars
from tests.tables.world.log import LOG_ID
from tests.tables.world.processes import Reader, Worker
from tests.tables.world.schedule import World


class SnapshotsBeforeOutputs(Checkpoint):
    """T and S swapped: a snapshot may cover reports that never reach Kafka."""

    STAGES = ("id_blocks", "snapshots", "outputs", "manifest", "tombstones", "position_hint")


class ManifestBeforeSnapshots(Checkpoint):
    """M before S: a manifest promises what may never be written."""

    STAGES = ("outputs", "id_blocks", "manifest", "snapshots", "tombstones", "position_hint")


class BlocksAfterSnapshots(Checkpoint):
    """I after S: a snapshot may need an id block that was never written."""

    STAGES = ("outputs", "snapshots", "id_blocks", "manifest", "tombstones", "position_hint")


class BlocksSkipped(Checkpoint):
    """Ids that left the snapshot are nowhere."""

    STAGES = ("outputs", "snapshots", "manifest", "tombstones", "position_hint")


class TombstonesBeforeManifest(Checkpoint):
    """The old snapshot goes while the manifest still names it."""

    STAGES = ("outputs", "id_blocks", "tombstones", "snapshots", "manifest", "position_hint")


class AcknowledgesBeforeSnapshots(Checkpoint):
    """S and C swapped: the group's position passes over events that no snapshot covers."""

    STAGES = ("outputs", "id_blocks", "position_hint", "snapshots", "manifest", "tombstones")


class OneOutputUnacknowledged(Checkpoint):
    """An acknowledgement is dropped: outputs are not waited for."""

    async def outputs(self, plan: Any) -> None:
        pass


class ReadsFromItsOwnEnd(Checkpoint):
    """The manifest says to read `executions` from its end now: an older owner's reports may be missing below."""

    def _plan(self, chosen: list[str]) -> Any:
        plan = super()._plan(chosen)
        end = len(self.ports.broker.executions)  # type: ignore[attr-defined]
        named = {name: Named(n.offset, n.seq, end) for name, n in plan.named.items()}
        manifest = (plan.manifest[0], manifest_value(plan.floor, LOG_ID, named, end))
        return plan._replace(named=named, manifest=manifest)


class FloorIsThePosition(Checkpoint):
    """The manifest's floor passes over events that no snapshot covers."""

    def _plan(self, chosen: list[str]) -> Any:
        plan = super()._plan(chosen)
        manifest = (manifest_key(self.position), manifest_value(self.position, LOG_ID, plan.named, 0))
        return plan._replace(floor=self.position, manifest=manifest)


class SweepsEverything(Checkpoint):
    """Tombstones for records above the named snapshot too: they may be another owner's, on their way."""

    async def tombstones(self, plan: Any) -> None:
        await super().tombstones(plan)
        kept = {key for key, value in plan.snapshots + plan.blocks} | {plan.manifest[0]}
        strangers = self.loaded.keys - kept - set(obsolete(self.loaded.keys, plan.floor, plan.named, plan.first_blocks))
        await self._write([(key, None) for key in sorted(strangers) if b"@" in key and b"_manifest" not in key])


class ForgetsTheUnnamed(Checkpoint):
    """The manifest says where to read on for what it names, and nothing for what was listed since."""

    def _plan(self, chosen: list[str]) -> Any:
        plan = super()._plan(chosen)
        start = min(n.outputs for n in plan.named.values())
        manifest = (plan.manifest[0], manifest_value(plan.floor, LOG_ID, plan.named, start))
        return plan._replace(manifest=manifest)


class KeysWithoutOffsets(Checkpoint):
    """Key X instead of X@o: whoever writes last has the only snapshot, an old owner's late request for example."""

    def _plan(self, chosen: list[str]) -> Any:
        plan = super()._plan(chosen)
        return plan._replace(snapshots=[(key.partition(b"@")[0] + b"@0", value) for key, value in plan.snapshots])

    async def tombstones(self, plan: Any) -> None:
        """Nothing is left over, since everything is overwritten."""


class NoOwnershipCheck(Checkpoint):
    """A checkpoint goes on after its partition was lost."""

    async def run(self, chosen: Any) -> None:
        plan = self._plan([name for name in chosen if name in self._uncovered])
        fence = Fence(*await self.ports.ends())
        for stage in self.STAGES:
            await getattr(self, stage)(plan)
        self._fences.append(fence)
        self._forget_fences()


class NoFailStop(Worker):
    """After a failed send the process goes on as if it had been acknowledged."""

    fail_stop = False


class SnapshotsOverwritten(World):
    """The world in which keys carry no offset; that a record is not the reference's is not what is looked for."""

    checkpoint_class = KeysWithoutOffsets

    def _check_record(self, text: bytes, value: bytes) -> None:
        pass


class EndAskedOnce(World):
    """The loader reads to the end it asked for first, while others write and the cleaner runs."""

    # The usual weights see it in one schedule of 700.
    WEIGHTS = World.WEIGHTS | {"clean": 8, "displace": 8, "zombie": 16, "kill": 6, "gateway": 8, "new_gateway": 3}

    async def load(self, reader: Reader) -> Loaded:
        fence = Fence(*await reader.ends())
        latest: dict[bytes, bytes] = {}
        position, end = 0, await reader.end()
        while position < end:
            records, position = await reader.read(position, end)
            fold(records, latest)
        return interpret(latest, self.table.codec, LOG_ID, fence)


class StaleDiskTrusted(World):
    """A worker starts from what the last one had in memory, as a local RocksDB would show it."""

    disk: Partition | None = None

    async def load(self, reader: Reader) -> Loaded:
        loaded = await super().load(reader)
        if self.owner and self.disk:
            frozen = {name: subject.freeze() for name, subject in Subjects(self.disk, LOG_ID).items()}
            states = {name: f.state for name, f in frozen.items() if f.offset >= 0}
            blocks = {
                name: {k: frozen[name].id_block(k) for k in range(state.first_block, state.end_block)}
                for name, state in states.items()
            }
            loaded = loaded._replace(states=loaded.states | states, blocks=loaded.blocks | blocks)
        return loaded

    def bury(self, worker: Worker) -> None:
        if worker.checkpoint:
            self.disk = worker.partition
        super().bury(worker)


class AcknowledgesOutOfOrder(Worker):
    """Each event is acknowledged as soon as its own instrument's snapshot covers it, whatever comes before it."""

    def acknowledge_below(self, offset: int) -> None:
        assert self.checkpoint
        for next_offset, batch in self.ports._held:
            named = self.checkpoint._named.get(batch.instrument)
            if named and next_offset <= named.offset + 1:
                batch.acknowledge()
        super().acknowledge_below(offset)


class TimeOfThePartition(Worker):
    """An instrument's time is the largest of the whole partition: it depends on where reading began."""

    latest = 0

    def _match(self) -> None:
        assert self.checkpoint
        record = self.broker.orders[self.checkpoint.position]
        self.latest = max(self.latest, record.timestamp)
        own, record.timestamp = record.timestamp, self.latest
        try:
            super()._match()
        finally:
            record.timestamp = own


class EvictsByCadence(Worker):
    """Ids count while memory still has them, not by the window: when memory forgets depends on the process."""

    def _match(self) -> None:
        super()._match()
        for book in self.partition.books.values():
            kept = book.identities.first_block * 4
            book.identities.live_from = min(book.identities.live_from, kept)


# The mistakes that must be seen at least, and what stands for them here.
REQUIRED = {
    "drop an acknowledgement": "OneOutputUnacknowledged",
    "swap outputs and snapshots (T, S)": "SnapshotsBeforeOutputs",
    "swap snapshots and position (S, C)": "AcknowledgesBeforeSnapshots",
    "key X instead of X@o": "SnapshotsOverwritten",
    "trust RocksDB": "StaleDiskTrusted",
    "skip id blocks": "BlocksSkipped",
    "blocks after snapshots": "BlocksAfterSnapshots",
    "acknowledge out of order": "AcknowledgesOutOfOrder",
    "tombstone early": "TombstonesBeforeManifest",
    "no ownership check": "NoOwnershipCheck",
    "go on after a failed send": "NoFailStop",
    "time per partition, not per instrument": "TimeOfThePartition",
    "window by cadence": "EvictsByCadence",
}

CHECKPOINT_BUGS: tuple[type[Checkpoint], ...] = (
    SnapshotsBeforeOutputs,
    ManifestBeforeSnapshots,
    BlocksAfterSnapshots,
    BlocksSkipped,
    TombstonesBeforeManifest,
    AcknowledgesBeforeSnapshots,
    NoOwnershipCheck,
    OneOutputUnacknowledged,
    ReadsFromItsOwnEnd,
    FloorIsThePosition,
    SweepsEverything,
    ForgetsTheUnnamed,
)
WORKER_BUGS: tuple[type[Worker], ...] = (NoFailStop, AcknowledgesOutOfOrder, TimeOfThePartition, EvictsByCadence)


class BarsWorld(World):
    """The schedules over the candles table."""

    table = Bars()


WORLD_BUGS: tuple[type[World], ...] = (EndAskedOnce, StaleDiskTrusted, SnapshotsOverwritten)


def worlds() -> dict[str, type[World]]:
    """A world for each bug, by its name."""
    found: dict[str, type[World]] = {bug.__name__: bug for bug in WORLD_BUGS}
    found |= {bug.__name__: type(bug.__name__, (World,), {"checkpoint_class": bug}) for bug in CHECKPOINT_BUGS}
    return found | {bug.__name__: type(bug.__name__, (World,), {"worker_class": bug}) for bug in WORKER_BUGS}
