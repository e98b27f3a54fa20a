"""The log of a schedule, drawn by chance, and the undisturbed run over it."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from app.engine import Partition
from app.matching.versions import NEWEST_VERSION
from app.matching.words import Outcome, Status
from app.models import identity
from app.models.commands import decode_command, encode_command
from app.models.reports import encode
from tables.books.subjects import Subjects, codec
from tables.recovery.changelog import Codec

LOG_ID = "3d7f2b0e-0000-8000-8000-000000000000"


INSTRUMENTS = ("A-X", "B-X", "C-X")


RESERVED = "_partition-0"


LENGTH = 24


GENESIS = {"command": "genesis", "log_id": LOG_ID, "engine_version": NEWEST_VERSION}


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
        key, value = x.encode(), _as_a_gateway_writes(fields)
        if rng.random() < 0.05:
            key, value = rng.choice(((b"B-X", value), (None, b"poison"), (key, value[:-1])))
        log.append(LogRecord(key, clock + rng.choice((0, 0, 0, -20)), value))
    return log


def _as_a_gateway_writes(fields: dict[str, Any]) -> bytes:
    return encode_command(decode_command(json.dumps(fields).encode()))


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


class Applied(NamedTuple):
    """What an event did: the subject, its outputs as (seq, bytes), and what the table's own code returned."""

    name: str
    outputs: list[tuple[int, bytes]]
    raw: Any


class Table(Protocol):
    """A table as the schedules need it: its log, and the code that a worker of it runs."""

    names: tuple[str, ...]
    codec: Codec

    def make_log(self, rng: random.Random) -> list[LogRecord]:
        """The events."""

    def new(self) -> Any:
        """A partition with no state."""

    def subjects(self, partition: Any) -> Any:
        """Its subjects, as the table's `Subjects`."""

    def apply(self, partition: Any, offset: int, record: LogRecord) -> Applied | None:
        """Apply an event."""

    def shown(self, partition: Any, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """These records are in the worker's RocksDB."""

    def meet(self, reference: "Reference", applied: Applied, log: list[LogRecord]) -> None:
        """Count in `reference.met` what the protocol finds hard."""


class Reference:
    """The undisturbed run: every output, and of every subject the snapshot after each of its events, as bytes."""

    def __init__(self, log: list[LogRecord], table: Table) -> None:
        self.partition = table.new()
        self.outputs: dict[str, list[bytes]] = {x: [] for x in table.names}
        self.places: dict[tuple[str, int], int] = {(x, 0): 0 for x in table.names}
        """Subject and seq of an output -> how manyth of the subject it is."""
        self.changelog: dict[bytes, bytes] = {}
        self.seqs: dict[tuple[str, int], int] = {}
        self.met: Counter[str] = Counter()
        self.placed: set[str | None] = set()
        self.owners: list[str | None] = []
        subjects = table.subjects(self.partition)
        for offset, record in enumerate(log):
            applied = table.apply(self.partition, offset, record)
            self.owners.append(applied.name if applied else None)
            if applied:
                for seq, value in applied.outputs:
                    self.outputs[applied.name].append(value)
                    self.places[applied.name, seq] = len(self.outputs[applied.name])
                table.meet(self, applied, log)
                self._freeze(subjects, applied.name, offset)

    def _freeze(self, subjects: Any, name: str, offset: int) -> None:
        frozen = subjects[name].freeze()
        self.seqs[name, offset] = frozen.seq
        self.changelog.update((k, v) for k, v in frozen.snapshot_records(name) if v is not None)
        for number in range(frozen.first_block, frozen.end_block):
            self.changelog[f"{name}#{number}".encode()] = frozen.block_value(number)


class Books:
    """The books table."""

    names = (*INSTRUMENTS, RESERVED)
    codec = codec(LOG_ID)

    def make_log(self, rng: random.Random) -> list[LogRecord]:
        return make_log(rng)

    def new(self) -> Partition:
        return Partition(0, 1)

    def subjects(self, partition: Partition) -> Subjects:
        return Subjects(partition, LOG_ID)

    def apply(self, partition: Partition, offset: int, record: LogRecord) -> Applied | None:
        output = partition.apply(offset, record.timestamp, record.key, record.value)
        if output is None:
            return None
        return Applied(output.instrument, [(report.seq, encode(report)) for report in output.reports], output)

    def shown(self, partition: Partition, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """It never reads them."""

    def meet(self, reference: Reference, applied: Applied, log: list[LogRecord]) -> None:
        report = applied.raw.reports[0]
        if report.command == "tick" and any(order.status is Status.EXPIRED for order in report.orders):
            reference.met["expired by a tick"] += 1
            reference.met["expired in a quiet market"] += all(b'"tick"' in each.value for each in log[report.offset :])
        if report.original_seq is not None:
            reference.met["a repeat"] += 1
        elif report.outcome is Outcome.ACCEPTED and report.command == "place":
            reference.met["a key used again after its window"] += report.order_id in reference.placed
            reference.placed.add(report.order_id)
