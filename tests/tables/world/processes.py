"""The processes over the broker's logs: a matching worker and a gateway, which run the real code of the protocol.

Coroutines of the real code are driven by hand, one step at a time, so a schedule is a function of its seed.
"""

import random
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from tables.recovery.changelog import Damaged
from tables.recovery.checkpoint import Abandoned, Checkpoint
from tables.recovery.ports import PartitionPorts
from tests.tables.world.broker import Broker, Channel, Request, Violation
from tests.tables.world.log import LOG_ID

if TYPE_CHECKING:
    from tests.tables.world.schedule import World


class Until:
    """Awaits a condition that somebody else makes true."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self.condition = condition

    def __await__(self) -> Generator[None, None, None]:
        while not self.condition():
            yield


class Pause:
    """Lets others act once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def step(task: Coroutine[Any, Any, Any]) -> bool:
    """Run a task to its next pause; False once it has ended."""
    try:
        task.send(None)
    except StopIteration:
        return False
    return True


class Reader:
    """A private consumer over the broker's logs (tables.loader.LogReader)."""

    def __init__(self, broker: Broker, rng: random.Random) -> None:
        self.broker, self.rng = broker, rng

    async def ends(self) -> tuple[int, int]:
        executions = len(self.broker.executions)
        await Pause()
        return executions, self.broker.orders_end

    async def end(self) -> int:
        return len(self.broker.changelog)

    async def read(self, position: int, end: int) -> tuple[list[tuple[bytes, bytes | None]], int]:
        await Pause()
        upto = min(end, position + self.rng.randint(1, 15))
        return [record for record in self.broker.changelog[position:upto] if record], upto


class HeldBatch:
    """A batch of one record, as PartitionPorts holds it until a checkpoint covers it."""

    def __init__(self, broker: Broker, instrument: str | None, offset: int) -> None:
        self.broker, self.instrument, self.next_offset = broker, instrument, offset + 1

    def without_records(self) -> "HeldBatch":
        return self

    def acknowledge(self) -> None:
        self.broker.committed = max(self.broker.committed, self.next_offset)


class Worker:
    """A matching process that has been assigned the partition."""

    fail_stop = True

    def __init__(self, world: "World") -> None:
        self.world, self.broker, self.rng = world, world.broker, world.rng
        self.executions = Channel(self.broker.append_execution, self)
        self.changelog = Channel(self.broker.append_changelog, self)
        self.sent: list[Request] = []
        self.ports = PartitionPorts(0, None, None, None)  # type: ignore[arg-type]  # for what it holds only
        self.failed, self.begun_in = False, 0  # in which ownership the running checkpoint began
        self.notices = self.rng.random() < 0.5
        self.table = world.table
        self.partition: Any = self.table.new()
        self.checkpoint: Checkpoint | None = None
        self.task: Coroutine[Any, Any, Any] | None = self._load()

    # Ownership, Ports: what the checkpoint asks of the world.

    def now(self) -> int:
        return 1 if self.notices and self.world.owner is not self else 0

    async def ends(self) -> tuple[int, int]:
        return await Reader(self.broker, self.rng).ends()

    def outputs_acknowledged(self) -> Awaitable[None]:
        outputs = [request for request in self.sent if not request.done]
        return Until(lambda: all(request.done for request in outputs))

    def write(self, records: list[tuple[bytes, bytes | None]]) -> Awaitable[None]:
        if self.now() != self.begun_in:
            raise Violation("written after the partition was lost", [key for key, _ in records])
        requests = [self.changelog.send(record) for record in records]
        return Until(lambda: all(request.done for request in requests))

    def inspect(self, records: list[Any]) -> None:
        self.table.shown(self.partition, records)

    def acknowledge_below(self, offset: int) -> None:
        self.ports.acknowledge_below(offset)

    # Its life.

    def step(self) -> None:
        loading = self.checkpoint is None
        if self.failed and self.fail_stop:
            self.world.bury(self)
            return
        if self.checkpoint and self._position() < self.broker.orders_end and (not self.task or self.rng.random() < 0.4):
            self._match()
        elif self.task:
            self._advance()
        if not loading and not self.task and self.checkpoint and self.rng.random() < 0.25:
            self._begin_checkpoint()

    def idle(self) -> bool:
        checkpoint = self.checkpoint
        return bool(
            checkpoint and not self.task and not checkpoint.dirty() and self._position() >= self.broker.orders_end
        )

    def _position(self) -> int:
        assert self.checkpoint
        return self.checkpoint.position

    def _advance(self) -> None:
        assert self.task
        try:
            self.task = self.task if step(self.task) else None
        except Abandoned:
            self.world.bury(self)
        except Damaged as damage:
            self.world.stop(damage)

    async def _load(self) -> None:
        loaded = await self.world.load(Reader(self.broker, self.rng))
        self.table.shown(self.partition, loaded.records.items())
        subjects = self.table.subjects(self.partition)
        subjects.restore(loaded)
        self.world.met["loaded a snapshot above the floor"] += any(
            s.offset >= loaded.floor for s in loaded.states.values()
        )
        self.checkpoint = self.world.checkpoint_class(subjects, loaded, self, self, LOG_ID, loaded.floor)

    def _match(self) -> None:
        assert self.checkpoint
        offset = self.checkpoint.position
        self.checkpoint.position += 1
        applied = self.table.apply(self.partition, offset, self.broker.orders[offset])
        self.ports.hold(HeldBatch(self.broker, applied.name if applied else None, offset))
        if applied is None:
            return
        for seq, value in applied.outputs:
            place = self.broker.reference.places.get((applied.name, seq), 0)
            self.sent.append(self.executions.send((applied.name, place, value)))
        self.checkpoint.note(applied.name, offset, 0)

    def _begin_checkpoint(self) -> None:
        assert self.checkpoint
        dirty = self.checkpoint.dirty()
        if dirty:
            due = [name for name in dirty if self.rng.random() < 0.6] or [self.rng.choice(dirty)]
            self.begun_in = self.now()
            self.task = self.checkpoint.run(due)
            self._advance()


class Gateway:
    """A reader that starts from the newest snapshots and the manifest's positions, then follows executions by I10."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.loaded: Any = None
        self.task: Coroutine[Any, Any, Any] | None = self._load()

    async def _load(self) -> None:
        self.loaded = await self.world.load(Reader(self.world.broker, self.world.rng))
        names, named, others = self.world.table.names, self.loaded.named, self.loaded.outputs
        self.last = {x: self.world.reference.places[x, named[x].seq] if x in named else 0 for x in names}
        self.start = {x: named[x].outputs if x in named else others for x in names}
        self.position = self.loaded.first_output

    def step(self) -> None:
        if self.task:
            try:
                self.task = self.task if step(self.task) else None
            except Damaged as damage:
                self.world.stop(damage)
            return
        for name, seq, _ in self.world.broker.executions[self.position : self.position + self.world.rng.randint(1, 10)]:
            # Below its own start an instrument is not looked at: the smallest start must not hide a wrong one.
            if seq == self.last[name] + 1 and self.position >= self.start[name]:
                self.last[name] = seq
            self.position += 1
