"""The reports of the `executions` topic and the trades of the `trades` topic: JSON shapes, made from the core's events.

Prices and quantities are decimal strings with the decimals of the instrument's tick and lot, `avg_price` has eight;
times are int milliseconds since the epoch; absent fields have their default.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from app.matching import events as core
from app.matching.commands import Listing, Place
from app.matching.words import (
    Liquidity,
    MarketStatus,
    OrderType,
    Outcome,
    Reason,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)
from app.models.commands import ListInstrument, list_message
from app.models.decimals import Scale
from app.models.identity import id_text

Seq = Annotated[int, Meta(ge=1)]


class OrderTerms(Struct, omit_defaults=True, frozen=True):
    """What does not change while an order lives; `price` and `quantity` may, so they stand in OrderChange."""

    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce = TimeInForce.GTC
    stop_price: str | None = None
    display_quantity: str | None = None
    expire_time: int | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePrevention | None = None


class OrderChange(Struct, omit_defaults=True, frozen=True):
    """An order after the command; `terms` is given when it first appears.

    `quantity` = `filled_quantity` + `remaining_quantity`; `last_*` and `liquidity` are those of its last fill in this
    command. A price off the tick size is null (the order was rejected for it).
    """

    order_id: str
    client_id: str
    status: Status
    quantity: str
    filled_quantity: str
    remaining_quantity: str
    reason: Reason | None = None
    price: str | None = None
    avg_price: str | None = None
    last_price: str | None = None
    last_quantity: str | None = None
    liquidity: Liquidity | None = None
    triggered: bool = False
    terms: OrderTerms | None = None


class TradeReport(Struct, frozen=True):
    """One fill, with both clients: for the ledger, not for the public."""

    trade_id: str
    seq: Seq
    price: str
    quantity: str
    buy_order_id: str
    sell_order_id: str
    buy_client_id: str
    sell_client_id: str
    aggressor_side: Side


class LevelChange(Struct, frozen=True):
    """A level after the command: displayed quantity and number of orders, both zero when it is gone."""

    side: Side
    price: str
    quantity: str
    orders: int


class ExecutionReport(Struct, omit_defaults=True, frozen=True):
    """The outcome of one command, or a part of it (`part` of `parts`).

    `command_id` is absent for orders: theirs is the order id.
    `seq` is dense per instrument. `offset` is the command's in the partition of `orders` with the same number. A
    reader applies a report iff its seq is the last one's + 1.
    """

    instrument: str
    seq: Seq
    offset: int
    time: int
    engine_version: int
    command: str
    outcome: Outcome
    command_id: str | None = None
    reason: Reason | None = None
    order_id: str | None = None
    original_seq: int | None = None
    orders: list[OrderChange] = []
    trades: list[TradeReport] = []
    levels: list[LevelChange] = []
    listing: ListInstrument | None = None
    market_status: MarketStatus | None = None
    raw: str | None = None
    part: int = 1
    parts: int = 1


class PublicTrade(Struct, frozen=True):
    """One trade as everybody may see it; `seq` is dense per instrument over all its trades."""

    trade_id: str
    instrument: str
    seq: Seq
    price: str
    quantity: str
    buy_order_id: str
    sell_order_id: str
    aggressor_side: Side
    time: int


encode = msgspec.json.Encoder().encode
decode_report = msgspec.json.Decoder(ExecutionReport).decode
decode_trade = msgspec.json.Decoder(PublicTrade).decode


def reserved_instrument(partition: int) -> str:
    """The name under which records are reported that belong to no listed instrument."""
    return f"_partition-{partition}"


def report_message(report: core.Report, scale: Scale | None) -> ExecutionReport:
    """One part of a report (see `events.split`) as it goes to the topic; without a scale it has no numbers."""
    assert scale or not (report.orders or report.levels), "numbers need a scale"
    return ExecutionReport(
        report.instrument,
        report.seq,
        report.offset,
        report.time_ms,
        report.engine_version,
        report.command,
        report.outcome,
        id_text(report.command_id) if report.command_id and report.command_id != report.order_id else None,
        report.reason,
        id_text(report.order_id) if report.order_id else None,
        report.original_seq,
        [_order(order, scale) for order in report.orders] if scale else [],
        [_trade(trade, report.instrument, scale) for trade in report.trades] if scale else [],
        [LevelChange(v.side, scale.price(v.price), scale.quantity(v.quantity), v.orders) for v in report.levels]
        if scale
        else [],
        report.listing and _listing(report.listing, report.command_id),
        report.market_status,
        report.raw,
        report.part,
        report.parts,
    )


def public_trades(report: core.Report, scale: Scale) -> list[PublicTrade]:
    """The trades of a report as they go to the `trades` topic."""
    instrument, time = report.instrument, report.time_ms
    return [
        PublicTrade(
            t.trade_id,
            instrument,
            t.seq,
            t.price,
            t.quantity,
            t.buy_order_id,
            t.sell_order_id,
            t.aggressor_side,
            time,
        )
        for t in (_trade(trade, instrument, scale) for trade in report.trades)
    ]


def _order(order: core.OrderState, scale: Scale) -> OrderChange:
    price, last_price, last_quantity = (
        order.price,
        order.last_price,
        order.last_quantity,
    )
    quantity = scale.quantity
    return OrderChange(
        id_text(order.order_id),
        order.client_id,
        order.status,
        quantity(order.quantity) if order.quantity >= 0 else "0",
        quantity(order.filled),
        quantity(order.remaining) if order.remaining >= 0 else "0",
        order.reason,
        None if price is None or price < 0 else scale.price(price),
        scale.average_price(order.notional, order.filled) if order.filled else None,
        None if last_price is None else scale.price(last_price),
        None if last_quantity is None else quantity(last_quantity),
        order.liquidity,
        order.triggered,
        order.terms and _terms(order.terms, scale),
    )


def _terms(terms: Place, scale: Scale) -> OrderTerms:
    stop_price, display = terms.stop_price, terms.display_quantity
    return OrderTerms(
        terms.client_order_id,
        terms.side,
        terms.type,
        terms.time_in_force,
        None if stop_price is None or stop_price < 0 else scale.price(stop_price),
        None if display is None or display < 0 else scale.quantity(display),
        terms.expire_time_ms,
        terms.post_only,
        terms.self_trade_prevention,
    )


def _trade(trade: core.Trade, instrument: str, scale: Scale) -> TradeReport:
    taker = id_text(trade.taker_order_id), trade.taker_client_id
    maker = id_text(trade.maker_order_id), trade.maker_client_id
    buy, sell = (taker, maker) if trade.taker_side is Side.BUY else (maker, taker)
    return TradeReport(
        f"{instrument}-{trade.seq}",
        trade.seq,
        scale.price(trade.price),
        scale.quantity(trade.quantity),
        buy[0],
        sell[0],
        buy[1],
        sell[1],
        trade.taker_side,
    )


def _listing(listing: Listing, command_id: bytes | None) -> ListInstrument:
    return list_message(listing, command_id=command_id.hex() if command_id else "list")
