"""The JSON shapes of the `executions` and `trades` topics, and their conversion from the core's events.

Prices and quantities are decimal strings with the decimals of the instrument's tick and lot; `avg_price` has eight.
Times are int milliseconds since the epoch. Absent fields have their default.
"""

from collections.abc import Iterable
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
from app.models.commands import BustReason, FeeRates, ListInstrument
from app.models.conversion import list_message
from app.models.decimals import Scale
from app.models.fees import fee_rates, trade_id
from app.models.identity import id_text
from app.models.undecodable import read_own

Seq = Annotated[int, Meta(ge=1)]
Fee = Annotated[
    str,
    Meta(description="an amount of the quote asset with the decimals of the market's quote_scale; 0: nothing is paid"),
]
_BUY = Side.BUY  # looked up once, because looking up an enum member costs as much as a function call


class OrderTerms(Struct, omit_defaults=True, frozen=True):
    """The parts of an order that never change; `price` and `quantity` can change, so OrderChange has them."""

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
    """An order's state after the command; its first state has `terms`.

    `quantity` = `filled_quantity` + `remaining_quantity`; `last_*` and `liquidity` are those of its last fill in this
    command. A price that is not a multiple of the tick size is null (and the order is rejected).
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
    fees: Fee = "0"


class TradeReport(Struct, omit_defaults=True, frozen=True):
    """One fill with both clients' ids and fees, which the public must not see."""

    trade_id: str
    seq: Seq
    price: str
    quantity: str
    buy_order_id: str
    sell_order_id: str
    buy_client_id: str
    sell_client_id: str
    aggressor_side: Side
    buyer_fee: Fee = "0"
    seller_fee: Fee = "0"


class LevelChange(Struct, frozen=True):
    """A level after the command: displayed quantity and number of orders; both are zero if the level is gone."""

    side: Side
    price: str
    quantity: str
    orders: int


class BustReport(Struct, frozen=True):
    """The trade that a bust cancels, and the operator's reason. The ledger mirrors that trade and returns its fees."""

    trade_id: str
    trade_seq: Seq
    reason: BustReason


class ExecutionReport(Struct, omit_defaults=True, frozen=True):
    """The outcome of one command, or a part of it (`part` of `parts`).

    `command_id` is absent for orders, which have `order_id` instead. `seq` is dense per instrument. `offset` is that of
    the command, in the partition of `orders` with the same number. A reader applies a report only if its seq is that of
    the last one plus 1. `fees` are the rates that hold after this report; of a report in several parts the first has
    them, and `bust`.
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
    fees: FeeRates | None = None
    bust: BustReport | None = None
    part: int = 1
    parts: int = 1


class PublicTrade(Struct, frozen=True):
    """A public trade; `seq` is dense over all trades of the instrument."""

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


class Head(Struct):
    """The fields that every record of `executions` and `trades` has."""

    instrument: str
    seq: int


decode_head = msgspec.json.Decoder(Head).decode


def read_report(value: bytes | None) -> ExecutionReport | None:
    """The report; None if the record lacks even instrument and seq, so that another program must have written it.

    Raises UNDECODABLE for a report that this release cannot read: skipping it would lose it.
    """
    return read_own(value, decode_report, decode_head)


def report_message(report: core.Report, scale: Scale | None) -> ExecutionReport:
    """One part of a report (see `events.split`) as a message for the topic; without a scale it has no numbers."""
    assert scale or not (report.orders or report.levels), "numbers need a scale"
    # Taking all fields at once is as fast as asking for two of them by name.
    (
        instrument,
        seq,
        offset,
        time_ms,
        version,
        command,
        command_id,
        outcome,
        reason,
        order_id,
        original_seq,
        orders,
        trades,
        levels,
        listing,
        market_status,
        raw,
        fees,
        bust,
        part,
        parts,
    ) = report
    return ExecutionReport(
        instrument,
        seq,
        offset,
        time_ms,
        version,
        command,
        outcome,
        id_text(command_id) if command_id and command_id != order_id else None,
        reason,
        id_text(order_id) if order_id else None,
        original_seq,
        [_order(order, scale) for order in orders] if scale else [],
        [_trade(trade, instrument, scale) for trade in trades] if scale else [],
        [_level(level, scale) for level in levels] if scale else [],
        listing and _listing(listing, command_id),
        market_status,
        raw,
        None if fees is None else fee_rates(fees),
        None if bust is None else BustReport(trade_id(instrument, bust.trade_seq), bust.trade_seq, bust.reason),
        part,
        parts,
    )


def public_trades(parts: Iterable[ExecutionReport]) -> list[PublicTrade]:
    """The trades in a report's parts as messages for the `trades` topic."""
    return [
        PublicTrade(
            t.trade_id,
            report.instrument,
            t.seq,
            t.price,
            t.quantity,
            t.buy_order_id,
            t.sell_order_id,
            t.aggressor_side,
            report.time,
        )
        for report in parts
        for t in report.trades
    ]


def _order(order: core.OrderState, scale: Scale) -> OrderChange:
    (
        order_id,
        client_id,
        status,
        reason,
        price,
        total,
        filled,
        remaining,
        notional,
        last_price,
        last_quantity,
        liquidity,
        triggered,
        terms,
        fees,
    ) = order
    quantity = scale.quantity
    return OrderChange(
        id_text(order_id),
        client_id,
        status,
        quantity(total) if total >= 0 else "0",
        quantity(filled),
        quantity(remaining) if remaining >= 0 else "0",
        reason,
        None if price is None or price < 0 else scale.price(price),
        scale.average_price(notional, filled) if filled else None,
        None if last_price is None else scale.price(last_price),
        None if last_quantity is None else quantity(last_quantity),
        liquidity,
        triggered,
        terms and _terms(terms, scale),
        scale.fee(fees) if fees else "0",
    )


def _terms(terms: Place, scale: Scale) -> OrderTerms:
    _, _, _, client_order_id, side, type_, _, _, force, stop_price, display, expire_ms, post_only, mode, _ = terms
    return OrderTerms(
        client_order_id,
        side,
        type_,
        force,
        None if stop_price is None or stop_price < 0 else scale.price(stop_price),
        None if display is None or display < 0 else scale.quantity(display),
        expire_ms,
        post_only,
        mode,
    )


def _level(level: core.Level, scale: Scale) -> LevelChange:
    side, price, quantity, orders = level
    return LevelChange(side, scale.price(price), scale.quantity(quantity), orders)


def _trade(trade: core.Trade, instrument: str, scale: Scale) -> TradeReport:
    seq, price, quantity, maker_id, taker_id, maker_client, taker_client, taker_side, buyer_fee, seller_fee = trade
    maker, taker = id_text(maker_id), id_text(taker_id)
    buys = taker_side is _BUY
    return TradeReport(
        trade_id(instrument, seq),
        seq,
        scale.price(price),
        scale.quantity(quantity),
        taker if buys else maker,
        maker if buys else taker,
        taker_client if buys else maker_client,
        maker_client if buys else taker_client,
        taker_side,
        scale.fee(buyer_fee) if buyer_fee else "0",
        scale.fee(seller_fee) if seller_fee else "0",
    )


def _listing(listing: Listing, command_id: bytes | None) -> ListInstrument:
    return list_message(listing, command_id=command_id.hex() if command_id else "list")
