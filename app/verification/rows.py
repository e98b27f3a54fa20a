"""The rows that Postgres should have (O4): built from reports, handed out once final, and compared."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from msgspec import to_builtins

from app.models.identity import NO_SECRET
from app.models.reports import BustReport, ExecutionReport, OrderChange
from app.postgres.retention import REMOVABLE
from app.postgres.rows import order_id_in, storable
from app.verification.clearing import ClearingTables

Row = dict[str, Any]
Key = tuple[Any, ...]
Rows = dict[Key, Row]

# Each compared table -> its key. Decimals are text as reported, times int ms, ids text.
KEYS: dict[str, tuple[str, ...]] = {
    "orders": ("instrument", "accepting_seq"),
    "order_events": ("order_id", "seq"),
    "trades": ("instrument", "seq"),
    "trade_busts": ("instrument", "trade_seq"),
    "book_snapshots": ("instrument", "first_seq"),
    "rejections": ("instrument", "seq"),
    "instruments": ("instrument",),
    "instrument_progress": ("instrument",),
}
OPEN = ("new", "partially_filled")
_NUMBERS = ("price", "quantity", "filled_quantity", "remaining_quantity", "avg_price", "fees")
_STATE = ("status", "reason", "triggered", *_NUMBERS)
_LAST = ("last_price", "last_quantity", "liquidity")
_TERMS = ("client_order_id", "side", "type", "time_in_force", "stop_price", "display_quantity", "expire_time")
_SIZES = ("tick_size", "lot_size")
_CHOICES = ("post_only", "self_trade_prevention")


class _Missing:
    """The value of a column that a row does not have."""

    def __repr__(self) -> str:
        return "missing"


_MISSING = _Missing()


class Tables(ClearingTables, Protocol):
    """The recorded tables, all as of one moment."""

    @property
    def positions(self) -> Mapping[int, int]:
        """Partition of `executions` -> the offset up to which it is recorded."""

    @property
    def log_ids(self) -> Mapping[int, str]:
        """Partition -> the id of the log that was recorded."""

    @property
    def strange_topics(self) -> Sequence[str]:
        """Topics other than `executions` for which positions are recorded."""

    async def counts(self, table: str) -> Mapping[str, int]:
        """How many rows each instrument has."""


class ExpectedRows:
    """The rows of one partition's reports. Holds only rows that may still change: open orders, one per instrument."""

    def __init__(self, partition_id: int, removed: Mapping[str, int] | None = None) -> None:
        """`removed`: instrument -> the seq up to which its orders' history may be absent."""
        self._partition_id, self._removed = partition_id, removed or {}
        self.secret = NO_SECRET
        """The secret of the log's order ids, from its genesis record."""
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in KEYS}
        """Table -> instrument -> number of rows."""
        self.settled = 0
        """How many rows `take` would return."""
        self._settled: dict[str, Rows] = {name: {} for name in KEYS}
        self._open: dict[str, Row] = {}
        self._snapshots: Rows = {}
        self._instruments: Rows = {}
        self._progress: Rows = {}

    def add(self, report: ExecutionReport) -> None:
        """Take in the next report of its instrument."""
        name = report.instrument
        self._progress[name,] = {
            "instrument": name,
            "partition": self._partition_id,
            "last_seq": report.seq,
            "last_time": report.time,
        }
        for order in report.orders:
            self._order(report, order)
        for trade in report.trades:
            row = {field: getattr(trade, field) for field in trade.__struct_fields__}
            row |= {"instrument": name, "report_seq": report.seq, "executed_at": report.time}
            self._settle("trades", (name, trade.seq), row)
        if report.command == "snapshot" and report.outcome.value == "accepted":
            self._snapshot(report)
        if report.bust is not None:
            self._settle("trade_busts", (name, report.bust.trade_seq), _bust(report, report.bust))
        if report.raw is not None:
            self._settle("rejections", (name, report.seq), _rejection(report, self.secret))
        if report.listing or report.market_status:
            self._instrument(report)

    def take(self) -> dict[str, Rows]:
        """The rows that are final; each row is returned once."""
        taken, self._settled, self.settled = self._settled, {name: {} for name in KEYS}, 0
        return taken

    def rest(self) -> dict[str, Rows]:
        """The remaining rows; call it after the last report."""
        for row in self._open.values():
            self._settle("orders", (row["instrument"], row["accepting_seq"]), row)
        for key, row in self._snapshots.items():
            self._settle("book_snapshots", key, row)
        for table, rows in (("instruments", self._instruments), ("instrument_progress", self._progress)):
            for key, row in rows.items():
                self._settle(table, key, row)
        return self.take()

    def _settle(self, table: str, key: Key, row: Row) -> None:
        is_old = table in REMOVABLE and row["seq"] <= self._removed.get(row["instrument"], 0)
        if is_old and not (table == "orders" and row["status"] in OPEN):
            return
        self._settled[table][key] = row
        self.counts[table][row["instrument"]] += 1
        self.settled += 1

    def _order(self, report: ExecutionReport, order: OrderChange) -> None:
        state = {name: _plain(getattr(order, name)) for name in _STATE}
        event = {"order_id": order.order_id, "instrument": report.instrument, "seq": report.seq, "time": report.time}
        event |= state | {name: _plain(getattr(order, name)) for name in _LAST}
        self._settle("order_events", (order.order_id, report.seq), event)
        if order.terms is not None:
            row = {"instrument": report.instrument, "accepting_seq": report.seq, "created_at": report.time}
            row |= {"order_id": order.order_id, "client_id": order.client_id}
            row |= {name: _plain(getattr(order.terms, name)) for name in _TERMS + _CHOICES}
            self._open[order.order_id] = row
        self._open[order.order_id].update(state, seq=report.seq, updated_at=report.time)
        if state["status"] not in OPEN:
            row = self._open.pop(order.order_id)
            self._settle("orders", (row["instrument"], row["accepting_seq"]), row)

    def _snapshot(self, report: ExecutionReport) -> None:
        """Collect a snapshot's levels part by part; the last part completes it."""
        key = report.instrument, report.seq - report.part + 1
        row = self._snapshots.pop(key, {"instrument": key[0], "first_seq": key[1], "levels": []})
        row |= {"seq": report.seq, "time": report.time, "complete": report.part == report.parts}
        row["levels"] += [to_builtins(level) for level in report.levels if level.orders]
        if row["complete"]:
            self._settle("book_snapshots", key, row)
        else:
            self._snapshots[key] = row

    def _instrument(self, report: ExecutionReport) -> None:
        row = self._instruments.setdefault((report.instrument,), {"instrument": report.instrument})
        row |= {"seq": report.seq, "updated_at": report.time}
        if report.market_status:
            row["market_status"] = _plain(report.market_status)
        if report.listing:
            row |= {name: getattr(report.listing, name) for name in ("base_asset", "quote_asset", *_SIZES)}
            rules = (name for name in report.listing.__struct_fields__ if name != "command_id")
            row["listing"] = {name: _plain(getattr(report.listing, name)) for name in rules}


def compare(
    table: str, found: Iterable[Row], expected: Mapping[Key, Row], key_columns: Sequence[str] | None = None
) -> Iterator[str]:
    """Each missing row and each wrong column. `found` has the rows with the expected keys.

    `key_columns` are those of KEYS if not given.

    A column that the expected row lacks counts as wrong, so that nobody can add a column and forget to compare it.
    """
    have = {tuple(row[name] for name in key_columns or KEYS[table]): row for row in found}
    for key, right in expected.items():
        mine = have.get(key)
        if mine is None:
            yield f"Postgres {table}: no row for {_shown(key)}"
            continue
        for name in right | mine:
            if mine.get(name, _MISSING) != right.get(name, _MISSING):
                has, should = (_value(row.get(name, _MISSING)) for row in (mine, right))
                yield f"Postgres {table} {_shown(key)}: {name} is {has}, by the log {should}"


def compare_counts(table: str, found: Mapping[str, int], expected: Mapping[str, int]) -> Iterator[str]:
    """Each instrument with more rows than the log gives; `compare` reports missing ones."""
    for instrument, count in sorted(found.items()):
        if count > expected.get(instrument, 0):
            right = f"{expected.get(instrument, 0)} up to the position in sink_progress"
            yield f"Postgres {table}: {count} rows of {instrument}, but the log gives {right}"


def _rejection(report: ExecutionReport, secret: bytes) -> Row:
    raw = report.raw or ""
    return {
        "instrument": report.instrument,
        "seq": report.seq,
        "source_offset": report.offset,
        "time": report.time,
        "reason": _plain(report.reason),
        "raw": storable(raw),
        "order_id": order_id_in(raw, secret),
    }


def _bust(report: ExecutionReport, bust: BustReport) -> Row:
    return {
        "instrument": report.instrument,
        "trade_seq": bust.trade_seq,
        "seq": report.seq,
        "busted_at": report.time,
        "reason": storable(bust.reason),
    }


def _plain(value: Any) -> Any:
    """An enum member as its text, so that differences read well."""
    return value.value if hasattr(value, "value") else value


def _value(value: Any) -> str:
    """A column's value for a sentence; times are Decimals, whose repr reads badly."""
    return str(value) if isinstance(value, Decimal) else repr(value)


def _shown(key: Key) -> str:
    return " ".join(map(str, key))
