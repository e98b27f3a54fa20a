"""What crosses the socket `/stream`: requests, answers and messages (docs/STREAMS.md).

A message is encoded once for all its receivers. They differ in `prev_seq` only, so that is the first field of each.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.matching.words import (
    Liquidity,
    MarketStatus,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)
from app.models.answers import AveragePrice, HttpStatus, Price, Quantity, Seq, Time, Trade
from app.models.bars import CandleAnswer, TickerData
from app.models.commands import Identifier, OrderIdText
from app.models.http import BatchRequest, Name, Number, PlaceOrderRequest, rfc3339, trade_answer
from app.models.reports import ExecutionReport, Fee, LevelChange, OrderChange, OrderTerms, TradeReport

MAX_REQUEST_ID_CHARACTERS = 64
LARGEST_SEQ = 10**15


class Channel(StrEnum):
    """What can be subscribed to."""

    BOOK = "book"
    TRADES = "trades"
    ORDERS = "orders"
    STATUS = "status"
    CANDLES = "candles"
    TICKER = "ticker"


OF_BARS = frozenset((Channel.CANDLES, Channel.TICKER))
"""The channels that are made of the topic `candles`, not of reports."""


class OnSlow(StrEnum):
    """What becomes of a subscription whose client reads too slowly."""

    CLOSE = "close"
    CONFLATE = "conflate"
    SKIP = "skip"


class MessageType(StrEnum):
    """`heartbeat`: nothing happened up to `seq`. `skipped`: what happened after `prev_seq` up to `seq` is left out."""

    SNAPSHOT = "snapshot"
    UPDATE = "update"
    HEARTBEAT = "heartbeat"
    SKIPPED = "skipped"


ALIASES = {"orderbook_deltas": Channel.BOOK}
ChannelName = Literal["book", "orderbook_deltas", "trades", "orders", "status", "candles", "ticker"]
Depth = Literal[10, 20, 50, 100, 500]
"""From ten on, because the checksum is of ten levels; few, because each costs work for each report."""
RequestId = Annotated[str, Meta(max_length=MAX_REQUEST_ID_CHARACTERS)] | int | None
Position = Annotated[int, Meta(ge=0, le=LARGEST_SEQ)]
Epoch = Annotated[str, Meta(description="the identity of the log in which `seq` counts", max_length=64)]


class SubscribeParams(Struct, forbid_unknown_fields=True):
    """What is wanted, and from where on.

    `from_seq` is the last seq that the client has, of the log `epoch`; without it the subscription begins with a
    snapshot, unless `snapshot` is false. `client_id` is for `orders`, where no API key says it.
    """

    channel: ChannelName
    instrument: Identifier
    depth: Depth | None = None
    from_seq: Position | None = None
    epoch: Epoch | None = None
    snapshot: bool = True
    on_slow: OnSlow | None = None
    client_id: Identifier | None = None


class UnsubscribeParams(Struct, forbid_unknown_fields=True):
    """Which subscription ends."""

    channel: ChannelName
    instrument: Identifier
    client_id: Identifier | None = None


class SubscribeRequest(Struct, forbid_unknown_fields=True, tag_field="method", tag="subscribe"):
    """Begin a subscription; `req_id` comes back in the answer."""

    params: SubscribeParams
    req_id: RequestId = None


class UnsubscribeRequest(Struct, forbid_unknown_fields=True, tag_field="method", tag="unsubscribe"):
    """End a subscription; what is on its way still comes."""

    params: UnsubscribeParams
    req_id: RequestId = None


class CancelParams(Struct, forbid_unknown_fields=True):
    """Which order to cancel; a repeat with the same key does nothing twice."""

    order_id: OrderIdText
    client_id: Identifier | None = None
    idempotency_key: Name | None = None


class AmendParams(Struct, forbid_unknown_fields=True):
    """The new price, the new total quantity (filled + open), or both."""

    order_id: OrderIdText
    price: Number = UNSET
    quantity: Number = UNSET
    client_id: Identifier | None = None
    idempotency_key: Name | None = None


class PlaceOnStream(Struct, forbid_unknown_fields=True, tag_field="method", tag="place"):
    """Place an order, as `POST /orders`; with `wait_s` the answer is the order as the engine left it."""

    params: PlaceOrderRequest
    req_id: RequestId = None
    wait_s: Annotated[int, Meta(ge=0, le=30)] | None = None


class BatchOnStream(Struct, forbid_unknown_fields=True, tag_field="method", tag="batch"):
    """Place many orders, as `POST /orders/batch`, as far as they fit into one request."""

    params: BatchRequest
    req_id: RequestId = None


class CancelOnStream(Struct, forbid_unknown_fields=True, tag_field="method", tag="cancel"):
    """Cancel an order, as `POST /orders/{id}/cancel`."""

    params: CancelParams
    req_id: RequestId = None


class AmendOnStream(Struct, forbid_unknown_fields=True, tag_field="method", tag="amend"):
    """Amend an order, as `PATCH /orders/{id}`."""

    params: AmendParams
    req_id: RequestId = None


StreamRequest = SubscribeRequest | UnsubscribeRequest | PlaceOnStream | BatchOnStream | CancelOnStream | AmendOnStream


class Subscription(Struct):
    """A subscription as it begins, or as it has ended: then only `last_seq`, from where it may be resumed.

    The `seq` of its first message is above `last_seq`, but that of a snapshot equals it. With `from_seq` it is
    `recovered`: what happened since follows, and `last_seq` is `from_seq`. `first_seq` is the first report that this
    gateway could begin with.
    """

    channel: Channel
    instrument: Identifier
    last_seq: Position
    epoch: Epoch | UnsetType = UNSET
    first_seq: Position | UnsetType = UNSET
    recovered: bool | UnsetType = UNSET


class StreamError(Struct, omit_defaults=True):
    """Why a request was refused; other subscriptions continue. `first_seq` and `last_seq`: what is available."""

    code: str
    message: str
    epoch: Epoch | None = None
    first_seq: Position | None = None
    last_seq: Position | None = None
    retry_after_s: int | None = None
    more: dict[str, Any] = {}


class Answer(Struct):
    """The answer to a request, by its `req_id`: a result or an error."""

    req_id: RequestId
    result: Subscription | UnsetType = UNSET
    error: StreamError | UnsetType = UNSET


class OrderAnswer(Struct):
    """The answer to an order request: status and body are those of the HTTP call; a repeat is `replayed`."""

    req_id: RequestId
    status: HttpStatus
    result: dict[str, Any]


class Notice(Struct):
    """The gateway closes this connection soon: resume at another one."""

    closes_in_s: float
    type: Literal["shutdown"] = "shutdown"


class StreamOrder(Struct, kw_only=True):
    """An order after a report. What does not change while it lives is there when it first appears, and in snapshots."""

    order_id: OrderIdText
    client_id: Identifier
    status: Status
    reason: Reason | None
    seq: Seq | None
    price: Price | None
    quantity: Quantity
    filled_quantity: Quantity
    remaining_quantity: Quantity
    avg_price: AveragePrice | None
    last_price: Price | None
    last_quantity: Quantity | None
    liquidity: Liquidity | None
    triggered: bool
    fees: Fee
    client_order_id: Identifier | UnsetType | None = UNSET
    side: Side | UnsetType | None = UNSET
    type: OrderType | UnsetType | None = UNSET
    time_in_force: TimeInForce | UnsetType | None = UNSET
    stop_price: Price | UnsetType | None = UNSET
    display_quantity: Quantity | UnsetType | None = UNSET
    expire_time: Time | UnsetType | None = UNSET
    post_only: bool | UnsetType | None = UNSET
    self_trade_prevention: SelfTradePrevention | UnsetType | None = UNSET


class Fill(Struct):
    """One trade of an order, with its fee; `seq` counts the instrument's trades. `busted_at`: it was canceled then."""

    trade_id: str
    order_id: OrderIdText
    side: Side
    price: Price
    quantity: Quantity
    liquidity: Liquidity
    fee: Fee
    seq: Seq
    executed_at: Time
    busted_at: Time | UnsetType = UNSET


class Bust(Struct):
    """A trade that was canceled: the ledger returns its money and its fees, its orders stay as they are.

    `seq` is that of the trade.
    """

    trade_id: str
    instrument: Identifier
    seq: Seq
    busted_at: Time


class MarketEvent(Struct, omit_defaults=True):
    """A command that changed the market; `rules` as `GET /instruments` has them."""

    event: str
    market_status: MarketStatus | None = None
    rules: dict[str, Any] | None = None


class _Message(Struct, kw_only=True):
    prev_seq: Position = 0
    channel: Channel
    type: MessageType
    instrument: Identifier
    seq: Seq
    time: Time


class BookMessage(_Message, kw_only=True):
    """Levels after the report: all of a snapshot, best first, or those that changed; without orders a level is gone.

    `checksum` is that of `GET /orderbook`; what is replayed from Kafka comes without one.
    """

    data: list[LevelChange]
    checksum: int | UnsetType = UNSET


class TradesMessage(_Message, kw_only=True):
    """The trades of the report, or the latest ones, oldest first. `busts`: the earlier trade that it cancels."""

    data: list[Trade]
    busts: list[Bust] | UnsetType = UNSET


class OrdersMessage(_Message, kw_only=True):
    """A client's orders that the report changed, and its fills; in a snapshot its open orders and latest fills.

    `busts`: the earlier trade of the market that the report cancels, whoever traded; the report does not name them.
    """

    client_id: Identifier
    data: list[StreamOrder]
    fills: list[Fill]
    busts: list[Bust] | UnsetType = UNSET


class StatusMessage(_Message, kw_only=True):
    """A halt, a resume, a change of the rules; in a snapshot what holds now."""

    data: list[MarketEvent]


class CandlesMessage(_Message, kw_only=True):
    """Every bar that has changed since `prev_seq`, as it is now; in a snapshot the newest bar of each interval."""

    data: list[CandleAnswer]


class TickerMessage(_Message, kw_only=True):
    """The ticker as it is now."""

    data: list[TickerData]


class PlainMessage(Struct, kw_only=True):
    """A heartbeat, or the announcement of what was skipped."""

    prev_seq: Position = 0
    channel: Channel
    type: MessageType
    instrument: Identifier
    seq: Position
    client_id: Identifier | UnsetType = UNSET


Body = BookMessage | TradesMessage | OrdersMessage | StatusMessage | CandlesMessage | TickerMessage | PlainMessage

encode = msgspec.json.Encoder().encode
decode_request = msgspec.json.Decoder(StreamRequest).decode


class _Named(Struct):
    req_id: RequestId = None


_decode_named = msgspec.json.Decoder(_Named).decode


def channel_of(name: str) -> Channel:
    """The channel that a request names."""
    return ALIASES.get(name) or Channel(name)


def request_id_of(text: bytes) -> str | int | None:
    """The `req_id` of a request that cannot be read otherwise; None when that cannot be read either."""
    try:
        return _decode_named(text).req_id
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def error_answer(req_id: RequestId, code: str, message: str, headers: dict[str, str], more: dict[str, Any]) -> Answer:
    """A problem as it is answered on the socket."""
    retry_after = headers.get("Retry-After")
    error = StreamError(code, message, retry_after_s=None if retry_after is None else int(retry_after))
    error.more = {name: value for name, value in more.items() if name not in ("epoch", "first_seq", "last_seq")}
    error.epoch, error.first_seq, error.last_seq = more.get("epoch"), more.get("first_seq"), more.get("last_seq")
    return Answer(req_id, error=error)


def trade_of(instrument: str, trade: TradeReport, time_ms: int, busted_ms: int | None = None) -> Trade:
    """A trade as everybody may see it."""
    return Trade(**trade_answer(instrument, trade, time_ms, busted_ms))


def busts_of(report: ExecutionReport) -> list[Bust] | UnsetType:
    """The trade that a report cancels, if it does."""
    bust = report.bust
    if bust is None:
        return UNSET
    return [Bust(bust.trade_id, report.instrument, bust.trade_seq, rfc3339(report.time))]


def order_of(terms: OrderTerms | None, change: OrderChange, seq: int | None) -> StreamOrder:
    """An order after a change; with its terms if they are known."""
    order = StreamOrder(
        order_id=change.order_id,
        client_id=change.client_id,
        status=change.status,
        reason=change.reason,
        seq=seq,
        price=change.price,
        quantity=change.quantity,
        filled_quantity=change.filled_quantity,
        remaining_quantity=change.remaining_quantity,
        avg_price=change.avg_price,
        last_price=change.last_price,
        last_quantity=change.last_quantity,
        liquidity=change.liquidity,
        triggered=change.triggered,
        fees=change.fees,
    )
    if terms is not None:
        order.client_order_id = terms.client_order_id or None
        order.side, order.type, order.time_in_force = terms.side, terms.type, terms.time_in_force
        order.stop_price, order.display_quantity = terms.stop_price, terms.display_quantity
        order.expire_time = None if terms.expire_time is None else rfc3339(terms.expire_time)
        order.post_only, order.self_trade_prevention = terms.post_only, terms.self_trade_prevention
    return order


def fills_of(client_id: str, trade: TradeReport, time_ms: int, busted_ms: int | None = None) -> list[Fill]:
    """A client's part in a trade: none, one, or both sides of it."""
    sides = (
        (Side.BUY, trade.buy_client_id, trade.buy_order_id, trade.buyer_fee),
        (Side.SELL, trade.sell_client_id, trade.sell_order_id, trade.seller_fee),
    )
    return [
        Fill(
            trade.trade_id,
            order_id,
            side,
            trade.price,
            trade.quantity,
            Liquidity.TAKER if side is trade.aggressor_side else Liquidity.MAKER,
            fee,
            trade.seq,
            rfc3339(time_ms),
            UNSET if busted_ms is None else rfc3339(busted_ms),
        )
        for side, client, order_id, fee in sides
        if client == client_id
    ]


def concerned(report: ExecutionReport) -> set[str]:
    """The clients whose orders or fills are in a report."""
    clients = {change.client_id for change in report.orders}
    for trade in report.trades:
        clients.add(trade.buy_client_id)
        clients.add(trade.sell_client_id)
    return clients
