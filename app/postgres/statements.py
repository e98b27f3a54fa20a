"""The SQL statements that write one batch of reports, in the order in which Postgres must execute them."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from app.models.commands import ListInstrument
from app.models.reports import ExecutionReport
from app.postgres.arrays import Columns
from app.postgres.rows import Rows, change_row, order_row, time_text

Statement = tuple[str, list[Any]]

EVENTS = Columns(
    "order_events",
    {
        "order_id": "uuid",
        "instrument": "text",
        "seq": "bigint",
        "time": "timestamptz",
        "status": "text",
        "reason": "text",
        "price": "numeric",
        "quantity": "numeric",
        "filled_quantity": "numeric",
        "remaining_quantity": "numeric",
        "avg_price": "numeric",
        "last_price": "numeric",
        "last_quantity": "numeric",
        "liquidity": "text",
        "triggered": "boolean",
        "fees": "numeric",
    },
    frozenset({"instrument"}),
)
ORDERS = Columns(
    "orders",
    {
        "instrument": "text",
        "accepting_seq": "bigint",
        "seq": "bigint",
        "order_id": "uuid",
        "client_id": "text",
        "client_order_id": "text",
        "side": "text",
        "type": "text",
        "time_in_force": "text",
        "price": "numeric",
        "stop_price": "numeric",
        "quantity": "numeric",
        "filled_quantity": "numeric",
        "remaining_quantity": "numeric",
        "avg_price": "numeric",
        "display_quantity": "numeric",
        "status": "text",
        "reason": "text",
        "triggered": "boolean",
        "post_only": "boolean",
        "self_trade_prevention": "text",
        "expire_time": "timestamptz",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "fees": "numeric",
    },
    frozenset({"instrument", "client_id", "client_order_id"}),
)
CHANGES = Columns(
    "orders",
    {
        "order_id": "uuid",
        "seq": "bigint",
        "updated_at": "timestamptz",
        "status": "text",
        "reason": "text",
        "price": "numeric",
        "quantity": "numeric",
        "filled_quantity": "numeric",
        "remaining_quantity": "numeric",
        "avg_price": "numeric",
        "triggered": "boolean",
        "fees": "numeric",
    },
)
TRADES = Columns(
    "trades",
    {
        "instrument": "text",
        "seq": "bigint",
        "trade_id": "text",
        "report_seq": "bigint",
        "price": "numeric",
        "quantity": "numeric",
        "buy_order_id": "uuid",
        "sell_order_id": "uuid",
        "buy_client_id": "text",
        "sell_client_id": "text",
        "aggressor_side": "text",
        "executed_at": "timestamptz",
        "buyer_fee": "numeric",
        "seller_fee": "numeric",
    },
    frozenset({"instrument", "trade_id", "buy_client_id", "sell_client_id"}),
)
_MOVING = [column for column in CHANGES.types if column != "order_id"]
# Without ON CONFLICT on purpose: rows and position commit together, so an existing row is an error and must be seen.
INSERT_EVENTS = EVENTS.insert()
INSERT_TRADES = TRADES.insert()
INSERT_ORDERS = ORDERS.insert()
# Updates the latest order of each id. The LATERAL subquery makes Postgres use the index even without statistics:
# with a plain join it read all open orders for every change until the table's first ANALYZE.
UPDATE_ORDERS = (
    "UPDATE orders SET "
    + ", ".join(f"{column} = given.{column}" for column in _MOVING)
    + f""" FROM {CHANGES.unnest()}, LATERAL (
    SELECT instrument, accepting_seq FROM orders AS same WHERE same.order_id = given.order_id
    ORDER BY accepting_seq DESC LIMIT 1
) AS latest
WHERE (orders.instrument, orders.accepting_seq) = (latest.instrument, latest.accepting_seq)
    AND orders.seq < given.seq"""
)
APPEND_SNAPSHOT = """
INSERT INTO book_snapshots (instrument, first_seq, seq, time, levels, complete) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (instrument, first_seq) DO UPDATE SET seq = excluded.seq, time = excluded.time,
    levels = book_snapshots.levels || excluded.levels, complete = excluded.complete
WHERE book_snapshots.seq < excluded.seq
"""
INSERT_REJECTION = """
INSERT INTO rejections (instrument, seq, source_offset, time, reason, raw, order_id)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
INSERT_BUST = """
INSERT INTO trade_busts (instrument, trade_seq, seq, busted_at, reason) VALUES (%s, %s, %s, %s, %s)
"""
LIST_INSTRUMENT = """
INSERT INTO instruments (instrument, seq, base_asset, quote_asset, tick_size, lot_size, listing, market_status,
    updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (instrument) DO UPDATE SET seq = excluded.seq, base_asset = excluded.base_asset,
    quote_asset = excluded.quote_asset, tick_size = excluded.tick_size, lot_size = excluded.lot_size,
    listing = excluded.listing, market_status = excluded.market_status, updated_at = excluded.updated_at
WHERE instruments.seq < excluded.seq
"""
CHANGE_MARKET = """
UPDATE instruments SET market_status = %s, seq = %s, updated_at = %s WHERE instrument = %s AND seq < %s
"""


def statements(rows: Rows) -> Iterator[Statement]:
    """Each statement with its parameters, built lazily because a large one takes milliseconds.

    Changes come before placed orders: a change is always for an order of an earlier batch, and an order that this batch
    places may reuse its id.
    """
    if rows.changed:
        changes = [change_row(order_id, *change) for order_id, change in rows.changed.items()]
        yield UPDATE_ORDERS, CHANGES.arrays(changes)
    if rows.placed:
        yield INSERT_ORDERS, ORDERS.arrays([order_row(order) for order in rows.placed])
    if rows.events:
        yield INSERT_EVENTS, EVENTS.arrays(rows.events)
    if rows.trades:
        yield INSERT_TRADES, TRADES.arrays(rows.trades)
    for (instrument, first_seq), snapshot in rows.snapshots.items():
        levels = msgspec.json.encode(snapshot.levels).decode()
        yield APPEND_SNAPSHOT, [instrument, first_seq, snapshot.seq, snapshot.time, levels, snapshot.complete]
    for bust in rows.busts:
        yield INSERT_BUST, list(bust)
    for rejection in rows.rejections:
        yield INSERT_REJECTION, list(rejection)
    for report in rows.market_changes:
        yield _market_change(report)


def _market_change(report: ExecutionReport) -> Statement:
    time, status = time_text(report.time), report.market_status
    listing = report.listing
    if listing is None:
        return CHANGE_MARKET, [status, report.seq, time, report.instrument, report.seq]
    sizes = [Decimal(listing.tick_size), Decimal(listing.lot_size)]
    assets = [listing.base_asset, listing.quote_asset]
    rules = msgspec.json.encode(listing_fields(listing)).decode()
    return LIST_INSTRUMENT, [report.instrument, report.seq, *assets, *sizes, rules, status, time]


def listing_fields(listing: ListInstrument) -> dict[str, Any]:
    """Every rule of a market by name, defaults included."""
    names = [field.name for field in msgspec.structs.fields(listing) if field.name != "command_id"]
    return {name: getattr(listing, name) for name in names}
