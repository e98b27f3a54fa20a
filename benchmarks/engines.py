"""Matching engines on one stream: ours with full reports, and two published packages, each through its own API.

`ready` builds the inputs that a user of the engine would have anyway (text ids where its API takes text); we do not
time it. We time `run`, including everything needed to call the engine. `trades` returns the trades in a common form.
"""

import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from app.matching.commands import Cancel, Moment, Place
from app.matching.events import Trade
from app.matching.words import OrderType, Side, TimeInForce
from benchmarks.flow import UNLIMITED, Operation, listed

_new = tuple.__new__  # a NamedTuple's own constructor takes twice as long
_PLAIN_REST = (TimeInForce.GTC, None, None, None, False, None, None)  # the remaining fields of a plain limit order

ROOT = Path(__file__).parents[1]
REQUIREMENTS = Path(__file__).with_name("peers.txt")
ENVIRONMENT = ROOT / ".venv-peers"


class Traded(NamedTuple):
    """One fill: the ids as UUID text, price in ticks, quantity in lots."""

    maker: str
    taker: str
    price: int
    quantity: int


class Engine(Protocol):
    """An engine with an empty book."""

    name: str

    def ready(self, operations: Sequence[Operation], ids: dict[int, bytes]) -> Sequence[Any]: ...

    def run(self, ready: Sequence[Any]) -> None: ...

    def trades(self) -> list[Traded]: ...


class Ours:
    """app/matching, as the matching worker calls it."""

    name = "matchstream"

    def __init__(self) -> None:
        self._book = listed(UNLIMITED)
        self._offset = 0
        self._trades: list[Trade] = []

    def ready(self, operations: Sequence[Operation], ids: dict[int, bytes]) -> Sequence[Any]:
        return [
            (
                None if op.target is None else ids[op.target],
                ids[op.number],
                op.number * 0x9E3779B97F4A7C15 % 2**64,  # as large as a real fingerprint
                f"client-{op.client}",
                ids[op.number].hex()[:20],
                op.side,
                op.price,
                op.quantity,
            )
            for op in operations
        ]

    def run(self, ready: Sequence[Any]) -> None:
        apply, trades = self._book.apply, self._trades
        for command, at in commands(ready, self._offset):
            trades += apply(command, at).trades
        self._offset += len(ready)

    def trades(self) -> list[Traded]:
        return [Traded(_text(t.maker_order_id), _text(t.taker_order_id), t.price, t.quantity) for t in self._trades]


def commands(ready: Sequence[Any], offset: int = 0) -> Iterator[tuple[Place | Cancel, Moment]]:
    """The output of `Ours.ready` as commands, created as the matching worker's converter creates them."""
    limit, rest = OrderType.LIMIT, _PLAIN_REST
    for target, key, said, client, client_order_id, side, price, quantity in ready:
        offset += 1
        at = _new(Moment, (offset, offset))
        if target is None:
            yield _new(Place, (key, said, client, client_order_id, side, limit, quantity, price, *rest)), at
        else:
            yield _new(Cancel, (key, said, target, None)), at


class Akhil4n:
    """akhil4n-orderbook: prices are Decimal, order ids are text, and it keeps a log of trades."""

    name = "akhil4n-orderbook"

    def __init__(self) -> None:
        import orderbook

        self._module = orderbook
        self._book = orderbook.OrderBook()

    def ready(self, operations: Sequence[Operation], ids: dict[int, bytes]) -> Sequence[Any]:
        sides = {Side.BUY: self._module.OrderSide.BID, Side.SELL: self._module.OrderSide.ASK}
        return [
            (op.target and _text(ids[op.target]), _text(ids[op.number]), sides[op.side], Decimal(op.price), op.quantity)
            for op in operations
        ]

    def run(self, ready: Sequence[Any]) -> None:
        add, cancel, new = self._book.add_limit_order, self._book.cancel_order, self._module.Order
        for target, key, side, price, quantity in ready:
            if target is None:
                order = new(side, price, quantity)
                order.order_id = key
                add(order)
            else:
                cancel(target)

    def trades(self) -> list[Traded]:
        return [Traded(t.filler_id, t.aggressor_id, int(t.price), t.quantity_filled) for t in self._book.trade_log]


class LightMatchingEngine:
    """lightmatchingengine: it numbers the orders itself, so its caller must keep the numbers."""

    name = "lightmatchingengine"

    def __init__(self) -> None:
        from lightmatchingengine.lightmatchingengine import LightMatchingEngine as Published

        self._engine = Published()
        self._numbers: dict[str, int] = {}
        self._trades: list[Any] = []

    def ready(self, operations: Sequence[Operation], ids: dict[int, bytes]) -> Sequence[Any]:
        sides = {Side.BUY: 1, Side.SELL: 2}
        return [
            (op.target and _text(ids[op.target]), _text(ids[op.number]), sides[op.side], op.price, op.quantity)
            for op in operations
        ]

    def run(self, ready: Sequence[Any]) -> None:
        add, cancel, numbers, kept = self._engine.add_order, self._engine.cancel_order, self._numbers, self._trades
        instrument = UNLIMITED.instrument
        for target, key, side, price, quantity in ready:
            if target is None:
                order, trades = add(instrument, price, quantity, side)
                numbers[key] = order.order_id
                kept += trades
            else:
                cancel(numbers[target], instrument)

    def trades(self) -> list[Traded]:
        keys = {number: key for key, number in self._numbers.items()}
        return [Traded(keys[maker], keys[taker], *rest) for maker, taker, *rest in self._fills()]

    def _fills(self) -> Iterator[tuple[int, int, int, int]]:
        """Its list has, at each price, the taker's execution and then those of its makers."""
        taker, left = 0, 0
        for trade in self._trades:
            if not left:
                taker, left = trade.order_id, trade.trade_qty
            else:
                yield trade.order_id, taker, trade.trade_price, trade.trade_qty
                left -= trade.trade_qty


PEERS: tuple[type[Engine], ...] = (Akhil4n, LightMatchingEngine)


def install_peers() -> None:
    """Install the packages into a separate environment, again if their list has changed, and make them importable."""
    stamp, wanted = ENVIRONMENT / "made.stamp", REQUIREMENTS.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(wanted)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    sys.path.append(str(ENVIRONMENT / "lib" / version / "site-packages"))


def differences(name: str, expected: Iterable[Traded], found: Iterable[Traded]) -> str | None:
    """The first difference between two engines' trades, if any."""
    expected, found = list(expected), list(found)
    for number, (one, other) in enumerate(zip(expected, found, strict=False)):
        if one != other:
            return f"{name}: trade {number} is {other}, not {one}"
    return None if len(expected) == len(found) else f"{name}: {len(found)} trades, not {len(expected)}"


def _text(value: bytes) -> str:
    return str(UUID(bytes=value))
