"""A log drawn by chance, as JSON, in which what the versions of the engine do differently happens often.

`python -m tests.recorded.market` records one for the newest version: the log, and what this release makes of it. It is
recorded once, when the version is finished, and never again: each later release must make the same of it
(test_recorded_logs.py).
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from app.engine import Output, Partition
from app.matching.versions import NEWEST_VERSION
from app.models.identity import id_text, order_id
from app.models.reports import encode
from tables.books.subjects import Subjects

FOLDER = Path(__file__).parent
LOG_ID = "3d7f2b0e-0000-8000-8000-000000000000"
COMMANDS = 500
INSTRUMENTS = ("A-X", "B-X")
START_MS = 1_000
Fields = dict[str, Any]
SIZES = {"base_asset": "A", "quote_asset": "X", "tick_size": "0.5", "lot_size": "0.1", "quote_scale": 4}
# A market of its own, in which each difference between the versions shows once.
STAGED = "D-X"
STAGE = (
    "list max_fills=2 min_quantity=0.5",
    "place by=ann side=sell type=limit price=10 quantity=100 display_quantity=0.1",
    "place by=ann side=sell type=limit price=10 quantity=9 display_quantity=0.1",
    "place by=bob side=buy type=stop stop_price=10 quantity=0.5",
    "place by=cid side=buy type=limit price=10 quantity=2",
    "place by=bob side=buy type=limit price=10 quantity=0.5 time_in_force=FOK",
    "tick",
    "place by=bob side=buy type=limit price=5 quantity=1",
    "place by=cid side=sell type=limit price=5 quantity=0.6",
    "amend by=bob order=8 quantity=0.2",
    "amend by=ann order=3 quantity=90",
    "place by=bob side=sell type=stop stop_price=3 price=4 quantity=1",
    "place by=bob side=sell type=stop stop_price=3 price=abc quantity=1",
    "place by=bob side=sell type=market price=abc quantity=1",
    "place by=cid side=buy type=limit price=10 quantity=1.5",
    "cancel by=ann order=2",
    "cancel by=ann order=3",
    "place by=ann side=sell type=limit price=10 quantity=8 display_quantity=0.1",
    "place by=cid side=buy type=limit price=10 quantity=1.5",
    "place by=cid side=buy type=limit price=10 quantity=3 time_in_force=FOK",
    "place by=ann side=sell type=limit price=11 quantity=1",
    "place by=bob side=buy type=stop stop_price=10 quantity=0.5 time_in_force=FOK",
    "tick",
    "set_fees maker=-2.5 taker=7.77",
    "place by=ann side=sell type=limit price=9.5 quantity=1",
    "place by=bob side=buy type=limit price=9.5 quantity=0.3",
    "place by=cid side=buy type=limit price=9.5 quantity=0.3",
    "bust trade=1",
    "bust trade=1",
    "bust trade=99",
    "place by=bob side=buy type=limit price=9.5 quantity=0.7",
    "bust trade=E-X-1",
    "engine_version version=2",
    "place by=cid side=buy type=limit price=9.5 quantity=0.4",
    "place by=bob side=sell type=limit price=9.5 quantity=0.2",
    "bust trade=2",
    "set_fees maker=0 taker=0",
    "engine_version version=3",
    "place by=bob side=sell type=limit price=9.5 quantity=0.1",
)
# When these markets get rates, by the number of commands before.
RATED = {len(STAGE) + 20: "A-X", len(STAGE) + 30: "B-X"}
Record = tuple[int, int, bytes | None, bytes | None]


def records_of(version: int) -> Iterator[Record]:
    """The recorded log of a version: offset, time, key and value of each record."""
    for line in (FOLDER / f"engine_version_{version}.jsonl").read_text().splitlines():
        offset, time_ms, key, value = json.loads(line)
        yield offset, time_ms, _bytes(key), _bytes(value)


class Digests:
    """What came of a log, in three hashes: every report, every trade, and the snapshot after each record."""

    def __init__(self) -> None:
        self.reports, self.trades, self.snapshots = sha256(), sha256(), sha256()

    def take(self, output: Output | None, partition: Partition) -> None:
        """The next record gave this."""
        if output is None:
            return
        for report in output.reports:
            self.reports.update(encode(report) + b"\n")
        for trade in output.trades:
            self.trades.update(encode(trade) + b"\n")
        subject = Subjects(partition, LOG_ID)[output.instrument]
        for key, value in subject.freeze().snapshot_records(output.instrument):
            self.snapshots.update(key + (value or b""))

    def told(self) -> dict[str, str]:
        return {name: getattr(self, name).hexdigest() for name in ("reports", "trades", "snapshots")}


class Market:
    """Draws commands; it knows what it has sent and nothing about what became of it."""

    def __init__(self, seed: int, genesis: Fields) -> None:
        self.random = Random(seed)
        self.genesis = genesis
        self.time_ms = START_MS
        self.numbers = 0
        self.places: dict[str, list[Fields]] = {name: [] for name in INSTRUMENTS}
        self.sent: list[Fields] = []

    def records(self) -> Iterator[Record]:
        """Genesis, the listings, and commands of all kinds."""
        yield 0, self.time_ms, None, json.dumps(self.genesis).encode()
        for offset in range(1, COMMANDS):
            fields = self.staged(offset) if offset <= len(STAGE) else self.next()
            self.time_ms += self.random.choice((0, 1, 2, 2, 9))
            self.sent.append(fields)
            key, value = fields["instrument"].encode(), json.dumps(fields, separators=(",", ":")).encode()
            yield (
                offset,
                self.time_ms - self.random.choice((0, 0, 0, 7)),
                *((key, value) if offset <= len(STAGE) else self.spoiled(key, value)),
            )

    def staged(self, number: int) -> Fields:
        """A line of the stage; its orders are named by their lines, from 1."""
        word, *parts = STAGE[number - 1].split()
        said = dict(part.split("=") for part in parts)
        fields: Fields = {"command": word, "instrument": STAGED}
        if word == "list":
            return fields | {"command_id": "l"} | SIZES | said | {"max_fills": int(said["max_fills"])}
        if word == "tick":
            return fields
        if word == "engine_version":
            return fields | {"command_id": str(number), "version": int(said["version"])}
        if word == "set_fees":
            return fields | {"command_id": str(number), "fees": said}
        if word == "bust":
            trade = said["trade"] if "-" in said["trade"] else f"{STAGED}-{said['trade']}"
            return fields | {"command_id": str(number), "trade_id": trade, "reason": "an error"}
        fields["client_id"] = said.pop("by")
        if "order" in said:
            fields["order_id"] = id_text(order_id(fields["client_id"], STAGED, said.pop("order")))
        return fields | said | {"client_order_id" if word == "place" else "command_id": str(number)}

    def next(self) -> Fields:
        """Each market is listed before anything else is asked of it; one of them obeys older versions for a while."""
        version = {COMMANDS // 2: 1, COMMANDS * 5 // 8: 2, COMMANDS * 3 // 4: NEWEST_VERSION}.get(len(self.sent))
        if version is not None:
            return {"command": "engine_version", "instrument": "B-X", "command_id": self.key(), "version": version}
        if len(self.sent) in RATED:
            return self.set_fees(RATED[len(self.sent)])
        listed = {fields["instrument"] for fields in self.sent}
        new = next((name for name in INSTRUMENTS if name not in listed), None)
        return self.command() if new is None else self.list(new)

    def spoiled(self, key: bytes | None, value: bytes | None) -> tuple[bytes | None, bytes | None]:
        """Mostly as it is; sometimes what a program may write to the topic and should not."""
        draw = self.random.random()
        assert value is not None
        if draw < 0.02:
            return key, value.replace(b'"quantity":', b'"quantity":"7","quantity":')
        if draw < 0.03:
            return self.random.choice(((b"C-X", value), (None, value), (key, None), (key, value[:-1])))
        if draw < 0.035:
            return b"C-X", value.replace(b"A-X", b"C-X")
        return key, value

    def command(self) -> Fields:
        name, key = self.random.choice("AAAB") + "-X", self.key()
        market = {"instrument": name}
        halted = next((fields for fields in self.sent[-5:] if fields["command"] == "halt"), None)
        if halted is not None and self.random.random() < 0.5:
            return {"command": "resume", "instrument": halted["instrument"], "command_id": key}
        if not self.places[name]:
            return self.place(name)
        target = self.random.choice(self.places[name][-14:])
        named = market | {"order_id": self.id_of(target), "command_id": key}
        if self.random.random() < 0.8:
            named |= {"client_id": target["client_id"]}
        draw = self.random.random()
        if draw < 0.58:
            return self.place(name)
        if draw < 0.7:
            return {"command": "amend"} | named | self.terms(target["side"])
        if draw < 0.74:
            return {"command": "reduce"} | named | {"quantity": self.quantity(3)}
        if draw < 0.8:
            return {"command": "cancel"} | named
        if draw < 0.85:
            new = self.place(name) | {"client_id": target["client_id"]}
            return new | {"command": "replace", "command_id": key, "order_id": self.id_of(target)}
        if draw < 0.88:
            return {"command": "tick"} | market
        if draw < 0.91:
            return self.random.choice(self.sent[-10:])
        if draw < 0.93:
            return self.list(name)
        if draw < 0.95:
            return self.set_fees(name)
        if draw < 0.97:
            trade = f"{name}-{self.random.randint(1, 60)}"
            return {"command": "bust"} | market | {"command_id": key, "trade_id": trade, "reason": "an error"}
        rare: Fields = self.random.choice(
            (
                {"command": "halt"},
                {"command": "snapshot"},
                {"command": "snapshot"},
                {"command": "mass_cancel", "side": self.random.choice(("buy", "sell"))},
            )
        )
        return rare | market | {"command_id": key}

    def list(self, name: str) -> Fields:
        rules: Fields = SIZES | {
            "max_fills": self.random.choice((2, 3, 5)),
            "min_quantity": self.random.choice(("0.1", "0.5")),
        }
        rules |= {"self_trade_prevention": self.random.choice(("none", "cancel_oldest", "decrement_and_cancel"))}
        if self.random.random() < 0.3:
            rules |= {"id_window_count": 40, "id_window_ms": 200}
        return {"command": "list", "instrument": name, "command_id": self.key()} | rules

    def set_fees(self, name: str) -> Fields:
        rates = [f"{self.random.randint(-30, 30)}.{self.random.randint(0, 99):02}" for _ in range(4)]
        fees = {"maker": rates[0], "taker": rates[1], "clients": {"bob": {"maker": rates[2], "taker": rates[3]}}}
        return {"command": "set_fees", "instrument": name, "command_id": self.key(), "fees": fees}

    def place(self, name: str) -> Fields:
        """A limit order more often than not; few prices, so that much trades and triggers."""
        side = self.random.choice(("buy", "sell"))
        order: Fields = {"command": "place", "instrument": name, "client_id": self.random.choice(("ann", "bob", "cid"))}
        order |= {"client_order_id": self.key(), "side": side, "quantity": self.quantity(20)}
        type_ = self.random.choice(("limit",) * 9 + ("market", "stop", "stop", "stop_limit"))
        order["type"] = type_
        if type_ in ("limit", "stop_limit"):
            order["price"] = self.price(side)
        elif self.random.random() < 0.3:
            order["price"] = self.random.choice((self.price(side), "abc", "0.7"))
        if type_ in ("stop", "stop_limit"):
            order["stop_price"] = self.price("sell" if side == "buy" else "buy")
        draw = self.random.random()
        if type_ == "limit" and draw < 0.4:
            order["display_quantity"] = self.random.choice(("0.1", "0.1", "0.3", "0.5"))
        elif draw < 0.5:
            order["time_in_force"] = self.random.choice(("IOC", "FOK", "FOK"))
        elif draw < 0.6 and type_ != "market":
            order |= {"time_in_force": "GTD", "expire_time": self.time_ms + self.random.randint(5, 80)}
        elif draw < 0.65 and type_ == "limit":
            order["post_only"] = True
        self.places[name].append(order)
        return order

    def terms(self, side: str) -> Fields:
        draw = self.random.random()
        price = {} if draw < 0.4 else {"price": self.price(side)}
        return price if draw > 0.75 else price | {"quantity": self.random.choice(("0.1", "0.2", self.quantity(40)))}

    def key(self) -> str:
        self.numbers += 1
        return f"k{self.numbers}"

    def quantity(self, most: int) -> str:
        lots = self.random.randint(1, most)
        return f"{lots // 10}.{lots % 10}"

    def price(self, side: str) -> str:
        half = self.random.randint(16, 22) + (2 if side == "sell" else 0)
        return f"{half // 2}.{half % 2 * 5}"

    @staticmethod
    def id_of(place: Fields) -> str:
        return id_text(order_id(place["client_id"], place["instrument"], place["client_order_id"]))


def record(version: int) -> None:
    """Write the log and its digests."""
    genesis: Fields = {"command": "genesis", "log_id": LOG_ID, "engine_version": version}
    partition, digests, lines = Partition(0, 1), Digests(), list[str]()
    for offset, time_ms, key, value in Market(version, genesis).records():
        digests.take(partition.apply(offset, time_ms, key, value), partition)
        lines.append(json.dumps([offset, time_ms, _text(key), _text(value)]))
    (FOLDER / f"engine_version_{version}.jsonl").write_text("\n".join(lines) + "\n")
    (FOLDER / f"engine_version_{version}.json").write_text(json.dumps(digests.told(), indent=2) + "\n")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


if __name__ == "__main__":
    record(NEWEST_VERSION)
