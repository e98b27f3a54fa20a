"""Schedules of faults for the recovery protocol, and their judge.

A schedule is a random sequence of actions: orders arrive, the owner works a step, requests reach the broker or fail,
the owner is killed or displaced (and goes on for a while as a zombie), the cleaner compacts, readers read. Requests of
a writer to one log arrive in order, perhaps after its death; of a dead writer's a prefix arrives. At the end a clean
restart drains everything, and all durable data must be what an undisturbed run gives. A difference is a Violation.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from app.analytics import history
from app.matching import identities, states
from app.models import candle_snapshots
from tables.recovery.changelog import Damaged, Fence, fold, interpret, parse
from tables.recovery.checkpoint import Checkpoint
from tables.recovery.loader import load
from tests.tables.world.broker import Broker, Channel, Request, Stopped, Violation
from tests.tables.world.log import LOG_ID, Books, Reference, Table
from tests.tables.world.processes import Gateway, Reader, Worker


class World:
    """One schedule."""

    WEIGHTS = {
        "order": 9,
        "owner": 36,
        "deliver": 30,
        "zombie": 8,
        "kill": 2,
        "displace": 2.5,
        "kill_zombie": 1,
        "clean": 2.5,
        "gateway": 4,
        "new_gateway": 1,
        "freeze": 2,
    }

    checkpoint_class: type[Checkpoint] = Checkpoint
    worker_class: type[Worker] = Worker
    table: Table = Books()

    def __init__(self, seed: int) -> None:
        self.rng, self.met = random.Random(seed), Counter[str]()
        log = self.table.make_log(self.rng)
        self.reference = Reference(log, self.table)
        self.broker = Broker(log, self.reference)
        self.owner: Worker | None = None
        self.zombies: list[Worker] = []
        self.channels: list[Channel] = []
        self.gateways: list[Gateway] = []
        self.damaged, self.failures = False, 0.015

    async def load(self, reader: Reader) -> Any:
        return await load(reader, self.table.codec, LOG_ID)

    def run(self) -> Counter[str]:
        """Disturb, then restart cleanly and compare everything; what was met on the way."""
        # Every schedule stresses other faults: rare combinations need some of them to be frequent.
        weights = {name: weight * self.rng.choice((0.3, 1, 1, 3)) for name, weight in self.WEIGHTS.items()}
        weights["damage"] = 0.7 if self.rng.random() < 0.08 else 0
        try:
            for action in self.rng.choices([*weights], [*weights.values()], k=self.rng.randint(80, 320)):
                self.act(action)
            self._finish()
            self._check_gateways()
        except Stopped:
            self.met["stopped by real damage"] += 1
        finally:
            self._end_tasks()
        self._check_history()
        self.met += self.reference.met
        return self.met

    def act(self, action: str) -> None:
        getattr(self, f"_{action}")()

    def bury(self, worker: Worker) -> None:
        """The process is gone; of the requests still on their way a prefix per channel may yet arrive."""
        self.owner = None if worker is self.owner else self.owner
        self.zombies = [zombie for zombie in self.zombies if zombie is not worker]
        for channel in (worker.executions, worker.changelog):
            channel.writer = None
            for _ in range(self.rng.randint(0, len(channel.requests))):
                channel.requests.pop()
        self.channels = [channel for channel in self.channels if channel.writer or channel.requests]
        if worker.task:
            worker.task.close()
            worker.task = None

    def stop(self, damage: Damaged) -> None:
        if not self.damaged:
            raise Violation("stopped without damage", str(damage))
        raise Stopped

    def _order(self) -> None:
        self.broker.orders_end = min(self.broker.orders_end + 1, len(self.broker.orders))

    def _owner(self) -> None:
        if self.owner:
            self.owner.step()
        else:
            self.owner = self.worker_class(self)
            self.channels += [self.owner.executions, self.owner.changelog]

    def _displace(self) -> None:
        if self.owner and len(self.zombies) < 2:
            self.zombies.append(self.owner)  # it goes on for a while, hearing of it or not
            self.owner = None
            self._owner()

    def _zombie(self) -> None:
        if self.zombies:
            self.rng.choice(self.zombies).step()

    def _kill(self) -> None:
        if self.owner:
            self.bury(self.owner)

    def _kill_zombie(self) -> None:
        if self.zombies:
            self.bury(self.rng.choice(self.zombies))

    def _clean(self) -> None:
        self.broker.clean(self.rng)

    def _gateway(self) -> None:
        if self.gateways:
            self.rng.choice(self.gateways).step()

    def _new_gateway(self) -> None:
        if len(self.gateways) < 4:
            self.gateways.append(Gateway(self))

    def _deliver(self) -> None:
        waiting = [channel for channel in self.channels if channel.requests]
        if not waiting:
            return
        channel = self.rng.choice(waiting)
        for _ in range(min(len(channel.requests), self.rng.randint(1, 4))):
            request, writer = channel.requests.popleft(), channel.writer
            if writer and self.rng.random() < self.failures:  # reported as failed; later requests may still succeed
                self._failed(writer, request, channel)
                continue
            request.done = True
            channel.append(request.record)
            key = parse(request.record[0]) if channel.append == self.broker.append_changelog else None
            if key and key.name == "_manifest" and writer is not self.owner:
                self.met["a late manifest"] += 1

    def _failed(self, writer: Worker, request: Request, channel: Channel) -> None:
        writer.failed, request.done = True, not writer.fail_stop
        if self.rng.random() < 0.5:  # a timeout: the record is there, the writer does not know
            channel.append(request.record)

    def _damage(self) -> None:
        """Acknowledged changelog records vanish: end, beginning, one, all. It may stop us, never mislead us."""
        log = self.broker.changelog
        a, b = sorted((self.rng.randint(0, len(log)), self.rng.randint(0, len(log))))
        a, b = self.rng.choice(((a, len(log)), (0, b), (a, min(a + 1, len(log))), (0, len(log))))
        log[a:b] = [None] * (b - a)
        self.damaged = True

    def _freeze(self) -> None:
        """Were everything killed now: have all durable snapshots their outputs, is all loadable that is promised?"""
        latest: dict[bytes, bytes] = {}
        fold(self._durable(), latest)
        try:
            loaded = interpret(latest, self.table.codec, LOG_ID, Fence(0, 0))
        except Damaged as damage:
            raise Violation("promised state is missing", str(damage)) from damage
        if self.broker.committed > loaded.floor and not self.damaged:
            raise Violation("committed above the floor", self.broker.committed, loaded.floor)
        for name, state in loaded.states.items():
            if self.reference.places[name, self.reference.seqs[name, state.offset]] > self.broker.last_seq[name]:
                raise Violation("snapshot ahead of outputs", name, state.offset)
        for offset in range(1, loaded.floor):
            name = self.reference.owners[offset]
            if name and (name not in loaded.states or loaded.states[name].offset < offset):
                raise Violation("floor above an uncovered event", loaded.floor, offset)

    def _durable(self) -> Iterable[tuple[bytes, bytes | None]]:
        return () if self.damaged else [record for record in self.broker.changelog if record]

    def _finish(self) -> None:
        """No more faults: a clean restart drains everything, one more must find the same in durable data alone."""
        self.broker.orders_end, self.failures = len(self.broker.orders), 0.0
        for worker in [*self.zombies, *filter(None, [self.owner])]:
            self.bury(worker)
        for _ in range(2):
            self._drain()
            self._freeze()
            assert self.owner
            partition = self.owner.partition
            self.bury(self.owner)
        self._compare(partition)

    def _drain(self) -> None:
        for _ in range(5_000):
            self._owner()
            self._deliver()
            if self.owner and self.owner.idle() and not any(channel.requests for channel in self.channels):
                return
        raise Violation("never drained")

    def _compare(self, partition: Any) -> None:
        found, expected = (self.table.subjects(each) for each in (partition, self.reference.partition))
        for name in expected:
            if name not in found or not _same(found[name].freeze(), expected[name].freeze(), name):
                raise Violation("book differs", name)
            if self.broker.last_seq[name] != len(self.reference.outputs[name]):
                raise Violation("output lost", name, self.broker.last_seq[name])

    def _end_tasks(self) -> None:
        for process in [*self.gateways, *self.zombies, *filter(None, [self.owner])]:
            if process.task:
                process.task.close()

    def _check_gateways(self) -> None:
        self.gateways.append(Gateway(self))
        for gateway in self.gateways:
            while gateway.task or gateway.position < len(self.broker.executions):
                gateway.step()
            for name, outputs in self.reference.outputs.items():
                if gateway.last[name] != len(outputs):
                    raise Violation("gateway differs", name, gateway.last[name], len(outputs))

    def _check_history(self) -> None:
        """Everything ever written to the changelog, by whomever, was true."""
        for text, value in self.broker.history:
            key = parse(text)
            assert key
            if value is None:
                self.met["tombstones"] += 1
            elif key.name == "_manifest":
                self.met["manifests"] += 1
                self._check_manifest(value)
            elif key.block is not None:
                self.met["id blocks"] += 1
                self._check_record(text, value)
            else:
                self._check_record(text, value)

    def _check_record(self, text: bytes, value: bytes) -> None:
        if self.reference.changelog.get(text) != value:
            raise Violation("record differs", text, value)

    def _check_manifest(self, value: bytes) -> None:
        manifest = json.loads(value)
        for name, (offset, seq, executions) in manifest["named"].items():
            if self.reference.seqs[name, offset] != seq:
                raise Violation("manifest differs", name, offset, seq)
            if executions < manifest["executions"]:
                raise Violation("what is not named begins above what is", name, executions, manifest["executions"])
            place = self.reference.places[name, seq]
            if executions > self.broker.effective_at.get((name, place + 1), executions):
                raise Violation("reading would begin above the next effective report", name, offset, executions)
        for name in {*self.table.names} - manifest["named"].keys():
            if manifest["executions"] > self.broker.effective_at.get((name, 1), manifest["executions"]):
                raise Violation("reading would begin above a first report", name, manifest)


def _same(found: Any, expected: Any, name: str) -> bool:
    return list(found.snapshot_records(name)) == list(expected.snapshot_records(name))


def run_schedules(first: int, count: int, world: type[World] = World) -> tuple[Counter[str], Counter[str], Any]:
    """Counters of violations by kind and of what was met, and the first failing seed with its difference."""
    kinds, met, failure = Counter[str](), Counter[str](), None
    with small_blocks():
        for seed in range(first, first + count):
            try:
                met.update(what for what, times in world(seed).run().items() if times)
            except Violation as violation:
                kinds[violation.args[0]] += 1
                failure = failure or (seed, violation.args)
    return kinds, met, failure


@contextmanager
def small_blocks(size: int = 4) -> Iterator[None]:
    """Blocks of a few records, so that short logs complete many of them."""
    usual = identities.BLOCK, history.BLOCK
    identities.BLOCK = states.BLOCK = size
    history.BLOCK = candle_snapshots.BLOCK = size
    try:
        yield
    finally:
        identities.BLOCK = states.BLOCK = usual[0]
        history.BLOCK = candle_snapshots.BLOCK = usual[1]
