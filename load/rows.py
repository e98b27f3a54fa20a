"""What Postgres should hold (O4): the rows that the expected reports give, and how the found ones differ."""

from collections.abc import Iterable, Iterator
from typing import Any

from app.models.reports import ExecutionReport, OrderChange

Row = dict[str, Any]
Key = tuple[Any, ...]
Rows = dict[Key, Row]

# The key of each table that is compared. Decimals are text as reported, times int ms, ids text.
KEYS: dict[str, tuple[str, ...]] = {
    "orders": ("instrument", "accepting_seq"),
    "order_events": ("order_id", "seq"),
    "trades": ("instrument", "seq"),
    "rejections": ("instrument", "seq"),
    "instruments": ("instrument",),
    "instrument_progress": ("instrument",),
    "sink_progress": ("topic", "partition"),
}
_STATE = ("status", "reason", "price", "quantity", "filled_quantity", "remaining_quantity", "avg_price", "triggered")
_LAST = ("last_price", "last_quantity", "liquidity")
_TERMS = ("client_order_id", "side", "type", "time_in_force", "stop_price", "display_quantity", "expire_time")
_CHOICES = ("post_only", "self_trade_prevention")


def rows(reports: Iterable[ExecutionReport]) -> dict[str, Rows]:
    """Every table that follows from the reports alone, rows by key."""
    tables: dict[str, Rows] = {name: {} for name in KEYS if name != "sink_progress"}
    latest: dict[str, Row] = {}
    for report in reports:
        tables["instrument_progress"][report.instrument,] = {"instrument": report.instrument, "last_seq": report.seq}
        for order in report.orders:
            _order(report, order, tables, latest)
        for trade in report.trades:
            row = {name: getattr(trade, name) for name in trade.__struct_fields__}
            row |= {"instrument": report.instrument, "report_seq": report.seq, "executed_at": report.time}
            tables["trades"][report.instrument, trade.seq] = row
        if report.raw is not None:
            tables["rejections"][report.instrument, report.seq] = _rejection(report)
        if report.listing or report.market_status:
            _instrument(report, tables["instruments"])
    return tables


def compare(table: str, found: Iterable[Row], expected: Rows) -> Iterator[str]:
    """Each missing row, each row that should not be there, each wrong field."""
    have: Rows = {}
    for row in found:
        key = tuple(row[name] for name in KEYS[table])
        if key in have:
            yield f"Postgres {table}: two rows for {_shown(key)}"
        have[key] = row
    for key, right in expected.items():
        mine = have.get(key)
        if mine is None:
            yield f"Postgres {table}: no row for {_shown(key)}"
            continue
        for name, value in right.items():
            if mine.get(name) != value:
                yield f"Postgres {table} {_shown(key)}: {name} is {mine.get(name)!r}, by the log {value!r}"
    for key in have:
        if key not in expected:
            yield f"Postgres {table}: a row for {_shown(key)} that the log does not give"


def _order(report: ExecutionReport, order: OrderChange, tables: dict[str, Rows], latest: dict[str, Row]) -> None:
    state = {name: _plain(getattr(order, name)) for name in _STATE}
    event = {"order_id": order.order_id, "instrument": report.instrument, "seq": report.seq, "time": report.time}
    event |= state | {name: _plain(getattr(order, name)) for name in _LAST}
    tables["order_events"][order.order_id, report.seq] = event
    if order.terms is not None:
        row = {"instrument": report.instrument, "accepting_seq": report.seq, "created_at": report.time}
        row |= {"order_id": order.order_id, "client_id": order.client_id}
        row |= {name: _plain(getattr(order.terms, name)) for name in _TERMS + _CHOICES}
        latest[order.order_id] = tables["orders"][report.instrument, report.seq] = row
    latest[order.order_id].update(state, seq=report.seq, updated_at=report.time)


def _rejection(report: ExecutionReport) -> Row:
    reason = _plain(report.reason)
    return {"instrument": report.instrument, "seq": report.seq, "source_offset": report.offset, "reason": reason}


def _instrument(report: ExecutionReport, instruments: Rows) -> None:
    row = instruments.setdefault((report.instrument,), {"instrument": report.instrument})
    row["seq"] = report.seq
    if report.market_status:
        row["market_status"] = _plain(report.market_status)
    if report.listing:
        row |= {"base_asset": report.listing.base_asset, "quote_asset": report.listing.quote_asset}
        row |= {"tick_size": report.listing.tick_size, "lot_size": report.listing.lot_size}


def _plain(value: Any) -> Any:
    """Words as text, so that differences read well."""
    return value.value if hasattr(value, "value") else value


def _shown(key: Key) -> str:
    return " ".join(map(str, key))
