"""A world for the recovery protocol: the real engine and checkpoint code over logs in memory and a seeded schedule.

A schedule is a random sequence of actions: orders arrive, the owner works a step, requests reach the broker or fail,
the owner is killed or displaced (and goes on for a while as a zombie), the cleaner compacts, readers read. Requests of
a writer to one log arrive in order, perhaps after its death; of a dead writer's a prefix arrives. At the end a clean
restart drains everything, and all durable data must be what an undisturbed run gives. A difference is a Violation.

Coroutines of the real code are driven by hand, one step at a time, so a schedule is a function of its seed.
"""

import json
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from app.engine import Output, Partition
from app.matching import identities, states
from app.matching.versions import NEWEST_VERSION
from app.matching.words import Outcome, Status
from app.models import identity
from app.models.reports import encode
from tables.books.subjects import Subjects, codec
from tables.recovery.changelog import Damaged, Fence, fold, interpret, parse
from tables.recovery.checkpoint import Abandoned, Checkpoint
from tables.recovery.loader import load
from tables.recovery.ports import PartitionPorts

LOG_ID = "3d7f2b0e-0000-8000-8000-000000000000"
CODEC = codec(LOG_ID)
INSTRUMENTS = ("A-X", "B-X", "C-X")
RESERVED = "_partition-0"
LENGTH = 24
GENESIS = {"command": "genesis", "log_id": LOG_ID, "engine_version": NEWEST_VERSION}


class Violation(Exception):
    """Durable data differ from the undisturbed run; the first argument is the kind."""


class Stopped(Exception):
    """A loader refused data that the schedule had really damaged: allowed, unlike a wrong result."""


# The log


class LogRecord:
    """A record of `orders` as the engine gets it."""

    def __init__(self, key: bytes | None, timestamp: int, value: bytes) -> None:
        self.key, self.timestamp, self.value = key, timestamp, value


def make_log(rng: random.Random) -> list[LogRecord]:
    """Genesis, listings, then mixed commands: repeats near the window's edge, GTD, ticks, poison, clocks going back.

    Some end in a quiet market, in which only ticks tell that time passes.
    """
    clock, quiet_from = 1_000, LENGTH - rng.choice((0, 0, 4))
    log = [LogRecord(None, clock, json.dumps(GENESIS).encode())]
    sent: dict[str, list[dict[str, Any]]] = {x: [] for x in INSTRUMENTS}
    while len(log) < LENGTH:
        x = INSTRUMENTS[len(log) - 1] if len(log) < 4 else rng.choice("AAAABBC") + "-X"
        late_listing = x == "C-X" and not sent[x] and rng.random() < 0.5
        if len(log) >= quiet_from:
            fields = {"command": "tick", "instrument": x}
        else:
            fields = _order(rng, x, len(log), clock) if late_listing else _command(rng, x, len(log), clock, sent[x])
        if fields["command"] != "tick" and not late_listing:
            sent[x].append(fields)
        clock += rng.choice((0, 3, 6, 6, 35))
        key, value = x.encode(), json.dumps(fields).encode()
        if rng.random() < 0.05:
            key, value = rng.choice(((b"B-X", value), (None, b"poison"), (key, value[:-1])))
        log.append(LogRecord(key, clock + rng.choice((0, 0, 0, -20)), value))
    return log


def _command(rng: random.Random, x: str, n: int, clock: int, sent: list[dict[str, Any]]) -> dict[str, Any]:
    dice = rng.random()
    if not sent or dice > 0.94:
        return _list(rng, x, n)
    if dice > 0.88:
        return {"command": "tick", "instrument": x}
    if dice > 0.78 and (orders := [said for said in sent if said["command"] == "place"]):
        key = rng.choice(orders[-3:])["client_order_id"]
        order_id = identity.id_text(identity.order_id("c", x, key))
        return {"command": "cancel", "instrument": x, "order_id": order_id, "command_id": f"k{n}"}
    if dice > 0.45:
        earlier = sent[-min(len(sent), rng.randint(1, 7))]
        changed = earlier["command"] == "place" and rng.random() < 0.3
        return earlier | {"quantity": "2.5"} if changed else earlier
    return _order(rng, x, n, clock)


def _list(rng: random.Random, x: str, n: int) -> dict[str, Any]:
    window = {"id_window_count": rng.choice((3, 4, 6)), "id_window_ms": rng.choice((40, 150, 10_000))}
    sizes = {"base_asset": x[0], "quote_asset": "X", "tick_size": "1", "lot_size": "0.5"}
    return {"command": "list", "instrument": x, "command_id": f"k{n}"} | sizes | window


def _order(rng: random.Random, x: str, n: int, clock: int) -> dict[str, Any]:
    order = {"command": "place", "instrument": x, "client_id": "c", "client_order_id": f"k{n}", "type": "limit"}
    order |= {
        "side": rng.choice(("buy", "sell")),
        "price": rng.choice("12"),
        "quantity": rng.choice(("0.5", "1", "1.5")),
    }
    order["self_trade_prevention"] = "none"
    if rng.random() < 0.25:
        order |= {"time_in_force": "GTD", "expire_time": clock + 30}
    return order


class Reference:
    """The undisturbed run: every report, and of every subject the snapshot after each of its events, as bytes."""

    def __init__(self, log: list[LogRecord]) -> None:
        self.partition = Partition(0, 1)
        self.outputs: dict[str, list[bytes]] = {x: [] for x in (*INSTRUMENTS, RESERVED)}
        self.changelog: dict[bytes, bytes] = {}
        self.seqs: dict[tuple[str, int], int] = {}
        self.met: Counter[str] = Counter()
        self.placed: set[str | None] = set()
        self.owners: list[str | None] = []
        subjects = Subjects(self.partition, LOG_ID)
        for offset, record in enumerate(log):
            output = apply(self.partition, offset, record)
            self.owners.append(output.instrument if output else None)
            if output:
                self.outputs[output.instrument] += [encode(report) for report in output.reports]
                self._meet(output, log)
                self._freeze(subjects, output.instrument, offset)

    def _meet(self, output: Output, log: list[LogRecord]) -> None:
        """What the engine did of what the protocol finds hard."""
        report = output.reports[0]
        if report.command == "tick" and any(order.status is Status.EXPIRED for order in report.orders):
            self.met["expired by a tick"] += 1
            self.met["expired in a quiet market"] += all(b'"tick"' in record.value for record in log[report.offset :])
        if report.original_seq is not None:
            self.met["a repeat"] += 1
        elif report.outcome is Outcome.ACCEPTED and report.command == "place":
            self.met["a key used again after its window"] += report.order_id in self.placed
            self.placed.add(report.order_id)

    def _freeze(self, subjects: Subjects, name: str, offset: int) -> None:
        frozen = subjects[name].freeze()
        self.seqs[name, offset] = frozen.seq
        self.changelog.update((k, v) for k, v in frozen.snapshot_records(name) if v is not None)
        for number in range(frozen.first_block, frozen.end_block):
            self.changelog[f"{name}#{number}".encode()] = frozen.block_value(number)


def apply(partition: Partition, offset: int, record: LogRecord) -> Output | None:
    return partition.apply(offset, record.timestamp, record.key, record.value)


# The broker


class Request:
    """A record on its way; `done` comes with the broker's acknowledgement."""

    def __init__(self, record: Any) -> None:
        self.record, self.done = record, False


class Channel:
    """Requests of one writer to one log, in order; they may outlive their writer."""

    def __init__(self, append: Callable[[Any], None], writer: "Worker | None") -> None:
        self.append, self.writer = append, writer
        self.requests: deque[Request] = deque()

    def send(self, record: Any) -> Request:
        self.requests.append(Request(record))
        return self.requests[-1]


class Broker:
    """The three logs. `executions` keeps what a reader following I10 has accepted."""

    def __init__(self, log: list[LogRecord], reference: Reference) -> None:
        self.orders, self.orders_end, self.reference = log, 1, reference
        self.executions: list[tuple[str, int, bytes]] = []
        self.last_seq: Counter[str] = Counter()
        self.effective_at: dict[tuple[str, int], int] = {}
        self.changelog: list[tuple[bytes, bytes | None] | None] = []
        self.history: list[tuple[bytes, bytes | None]] = []
        self.committed = 0  # the group's position, as Faust commits it: after the last batch that was acknowledged

    def append_execution(self, output: tuple[str, int, bytes]) -> None:
        name, seq, value = output
        if self.reference.outputs[name][seq - 1 : seq] != [value]:
            raise Violation("wrong output", name, seq, value)
        if seq == self.last_seq[name] + 1:
            self.last_seq[name] = seq
            self.effective_at[name, seq] = len(self.executions)
        self.executions.append(output)

    def append_changelog(self, record: tuple[bytes, bytes | None]) -> None:
        self.changelog.append(record)
        self.history.append(record)

    def clean(self, rng: random.Random) -> None:
        """Keep the latest record per key below some segment, perhaps only in part yet; old tombstones may go."""
        log, end = self.changelog, rng.randint(0, len(self.changelog))
        latest = {record[0]: i for i in range(end) if (record := log[i])}
        for i in range(rng.randint(0, end)):
            if (record := log[i]) and (latest[record[0]] != i or (record[1] is None and rng.random() < 0.3)):
                log[i] = None


# Coroutines by hand


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


# The processes


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
        self.partition = Partition(0, 1)
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
        pass

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
        subjects = Subjects(self.partition, LOG_ID)
        subjects.restore(loaded)
        self.world.met["loaded a snapshot above the floor"] += any(
            s.offset >= loaded.floor for s in loaded.states.values()
        )
        self.checkpoint = self.world.checkpoint_class(subjects, loaded, self, self, LOG_ID, loaded.floor)

    def _match(self) -> None:
        assert self.checkpoint
        offset = self.checkpoint.position
        self.checkpoint.position += 1
        output = apply(self.partition, offset, self.broker.orders[offset])
        self.ports.hold(HeldBatch(self.broker, output.instrument if output else None, offset))
        if output is None:
            return
        for report in output.reports:
            self.sent.append(self.executions.send((report.instrument, report.seq, encode(report))))
        self.checkpoint.note(output.instrument, offset, 0)

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
        names, named, others = (*INSTRUMENTS, RESERVED), self.loaded.named, self.loaded.executions
        self.last = {x: named[x].seq if x in named else 0 for x in names}
        self.start = {x: named[x].executions if x in named else others for x in names}
        self.position = self.loaded.first_report

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


# The schedule and its judge


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

    def __init__(self, seed: int) -> None:
        self.rng, self.met = random.Random(seed), Counter[str]()
        log = make_log(self.rng)
        self.reference = Reference(log)
        self.broker = Broker(log, self.reference)
        self.owner: Worker | None = None
        self.zombies: list[Worker] = []
        self.channels: list[Channel] = []
        self.gateways: list[Gateway] = []
        self.damaged, self.failures = False, 0.015

    async def load(self, reader: Reader) -> Any:
        return await load(reader, CODEC, LOG_ID)

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
            loaded = interpret(latest, CODEC, LOG_ID, Fence(0, 0))
        except Damaged as damage:
            raise Violation("promised state is missing", str(damage)) from damage
        if self.broker.committed > loaded.floor and not self.damaged:
            raise Violation("committed above the floor", self.broker.committed, loaded.floor)
        for name, state in loaded.states.items():
            if self.reference.seqs[name, state.offset] > self.broker.last_seq[name]:
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

    def _compare(self, partition: Partition) -> None:
        found, expected = Subjects(partition, LOG_ID), Subjects(self.reference.partition, LOG_ID)
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
            if executions > self.broker.effective_at.get((name, seq + 1), executions):
                raise Violation("reading would begin above the next effective report", name, offset, executions)
        for name in {*INSTRUMENTS, RESERVED} - manifest["named"].keys():
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
    """Id blocks of a few records, so that short logs complete many of them."""
    usual = identities.BLOCK
    identities.BLOCK = states.BLOCK = size
    try:
        yield
    finally:
        identities.BLOCK = states.BLOCK = usual
