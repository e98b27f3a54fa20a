"""The shapes of the API's answers, for the OpenAPI document (docs/API.md).

Handlers and history build plain dicts, which is faster; the tests compare every answer with these shapes.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, defstruct
from msgspec.structs import fields

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
from app.models.commands import BustReason, ClientFeeRates, Identifier, ListInstrument, OrderIdText, Rate
from app.models.reports import Fee

_DECIMAL = r"^[0-9]+(\.[0-9]{1,8})?$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
Price = Annotated[str, Meta(pattern=_DECIMAL, description="with the decimals of the tick size", examples=["70000.00"])]
Quantity = Annotated[str, Meta(pattern=_DECIMAL, description="with the decimals of the lot size", examples=["0.5000"])]
AveragePrice = Annotated[str, Meta(pattern=_DECIMAL, description="eight decimals", examples=["70000.00000000"])]
Time = Annotated[str, Meta(pattern=_TIME, description="RFC 3339, UTC", examples=["2026-01-31T09:30:00.000Z"])]
Seq = Annotated[int, Meta(ge=1, description="dense per instrument")]
Count = Annotated[int, Meta(ge=0)]
Number = Annotated[int, Meta(ge=1)]
Amount = Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]*[1-9])?$", description="exact", examples=["-14001.4"])]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
CycleState = Literal["open", "closed", "netted", "settled"]
InstructionState = Literal["pending", "settled", "failed"]
HttpStatus = Annotated[int, Meta(ge=100, le=599)]


class Order(Struct, forbid_unknown_fields=True):
    """An order's current state; `seq` is that of the last report about it, null while it is pending.

    For an order from before this gateway's start, some members are null while Postgres is unreachable or behind.
    """

    order_id: OrderIdText
    client_order_id: Identifier | None
    client_id: Identifier
    instrument: Identifier
    side: Side | None
    type: OrderType | None
    time_in_force: TimeInForce | None
    price: Price | None
    stop_price: Price | None
    quantity: Quantity
    filled_quantity: Quantity
    remaining_quantity: Quantity
    avg_price: AveragePrice | None
    fees: Fee
    status: Status
    reason: Reason | None
    post_only: bool | None
    display_quantity: Quantity | None
    expire_time: Time | None
    self_trade_prevention: SelfTradePrevention | None
    seq: Seq | None
    created_at: Time | None
    updated_at: Time | None


class CreatedOrder(Struct, forbid_unknown_fields=True):
    """A new order that Kafka has acknowledged, before the engine has seen it."""

    order_id: OrderIdText
    client_order_id: Identifier
    instrument: Identifier
    status: Status


class ChangingOrder(Struct, forbid_unknown_fields=True):
    """An order whose change is in the log, but which the engine has not answered yet."""

    order_id: OrderIdText
    instrument: Identifier


class OrderEvent(Struct, forbid_unknown_fields=True):
    """An order's state after one report; `last_*` and `liquidity` are those of its last fill in that report."""

    order_id: OrderIdText
    instrument: Identifier
    seq: Seq
    time: Time
    status: Status
    reason: Reason | None
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


class OrderPage(Struct, forbid_unknown_fields=True):
    """Orders, newest first, and the cursor of the next page, null on the last page; of one instrument also its seq."""

    orders: list[Order]
    next_cursor: str | None
    seq: Seq | UnsetType = UNSET


class Trade(Struct, forbid_unknown_fields=True):
    """A public trade; `seq` counts the trades of the instrument. `busted_at`: it was canceled then."""

    trade_id: str
    instrument: Identifier
    price: Price
    quantity: Quantity
    buy_order_id: OrderIdText
    sell_order_id: OrderIdText
    aggressor_side: Side
    seq: Seq
    executed_at: Time
    busted_at: Time | UnsetType = UNSET


class ListedTrade(Trade, forbid_unknown_fields=True):
    """A trade in a list, with the fee of each side that the caller may see: a client its own, an admin both."""

    buyer_fee: Fee | UnsetType = UNSET
    seller_fee: Fee | UnsetType = UNSET


class TradePage(Struct, forbid_unknown_fields=True):
    """Trades, newest first, and the cursor of the next page, null on the last page; of one instrument also its seq."""

    trades: list[ListedTrade]
    next_cursor: str | None
    seq: Seq | UnsetType = UNSET


class Fees(Struct, forbid_unknown_fields=True):
    """What fills of an instrument cost, in basis points of the notional; `seq` is that of the report which set it.

    `clients` are those with rates of their own, as far as the caller may see them.
    """

    instrument: Identifier
    maker: Rate
    taker: Rate
    clients: dict[Identifier, ClientFeeRates]
    seq: Seq | None


class BustedTrade(Struct, forbid_unknown_fields=True):
    """A trade that was canceled; `seq` is that of the report which says so."""

    trade_id: str
    instrument: Identifier
    seq: Seq
    busted_at: Time
    reason: BustReason


class BookLevel(Struct, forbid_unknown_fields=True):
    """A price level; `cumulative` is the total quantity from the best level to this one."""

    price: Price
    quantity: Quantity
    orders: Annotated[int, Meta(ge=1)]
    cumulative: Quantity


class Book(Struct, forbid_unknown_fields=True):
    """The best levels of both sides, best first, after the report with this seq; a CRC-32 of the ten best of each."""

    instrument: Identifier
    seq: Seq
    time: Time
    bids: list[BookLevel]
    asks: list[BookLevel]
    checksum: Annotated[int, Meta(ge=0, le=2**32 - 1)]


class Canceled(Struct, forbid_unknown_fields=True):
    """The orders of one instrument that a mass cancel ended, and its seq; null if the engine has not answered yet."""

    instrument: Identifier
    canceled: list[OrderIdText] | None
    seq: Seq | None


class MassCancel(Struct, forbid_unknown_fields=True):
    """The results of a mass cancel, by instrument."""

    results: list[Canceled]


class SnapshotLevel(Struct, forbid_unknown_fields=True):
    """A price level of a snapshot."""

    side: Side
    price: Price
    quantity: Quantity
    orders: Annotated[int, Meta(ge=1)]


class Snapshot(Struct, forbid_unknown_fields=True):
    """A whole book as recorded in Postgres: bids, then asks, best first."""

    instrument: Identifier
    seq: Seq
    time: Time
    levels: list[SnapshotLevel]


class TakenSnapshot(Struct, forbid_unknown_fields=True):
    """The seq of the report with the snapshot; null if the engine has not answered yet."""

    instrument: Identifier
    seq: Seq | None


class Snapshots(Struct, forbid_unknown_fields=True):
    """The requested snapshots, by instrument."""

    results: list[TakenSnapshot]


class Range(Struct, forbid_unknown_fields=True):
    """The reports of an instrument that a cycle owns: above `after_seq`, up to and including `to_seq`."""

    instrument: Identifier
    after_seq: Count
    to_seq: Seq


class Conservation(Struct, forbid_unknown_fields=True):
    """What flowed in an asset; `sum` is what the accounts add up to, always 0."""

    asset: Identifier
    gross_in: Amount
    gross_out: Amount
    fees: Amount
    sum: Amount


class Cycle(Struct, forbid_unknown_fields=True):
    """A cycle of clearing; its seal is there once it is netted and its statements are digested."""

    cycle: Number
    key: Identifier
    state: CycleState
    cutoff_time: Time | None
    requested_at: Time
    closed_at: Time | None
    seal: Digest | None


class CycleDetail(Cycle, forbid_unknown_fields=True):
    """A cycle with what it owns, and what flowed in each asset."""

    ranges: list[Range]
    conservation: list[Conservation]


class RequestedCycle(Struct, forbid_unknown_fields=True):
    """A cycle that is asked for and not netted yet; the same request with this key answers it later."""

    key: Identifier


class PreviewedObligation(Struct, forbid_unknown_fields=True):
    """What a client would owe (negative) or be owed in an asset."""

    client_id: Identifier
    asset: Identifier
    gross_in: Amount
    gross_out: Amount
    fees: Amount
    carried: Amount
    net: Amount
    opening: Amount
    closing: Amount


class Obligation(PreviewedObligation, forbid_unknown_fields=True):
    """What a client owes (negative) or is owed in an asset, and the sums it is made of."""


class Preview(Struct, forbid_unknown_fields=True):
    """What a cycle closed now would own and net; nothing is written."""

    ranges: list[Range]
    obligations: list[PreviewedObligation]


class ObligationPage(Struct, forbid_unknown_fields=True):
    """Obligations by client and asset; `next_cursor` is null on the last page."""

    obligations: list[Obligation]
    next_cursor: str | None


class Instruction(Struct, forbid_unknown_fields=True):
    """A payment or delivery; positive: the client receives it. What failed is due again in `carried_into`."""

    instruction: Number
    client_id: Identifier
    asset: Identifier
    amount: Amount
    state: InstructionState
    reason: str | None
    decided_at: Time | None
    carried_into: Number | None


class InstructionPage(Struct, forbid_unknown_fields=True):
    """Instructions by number; `next_cursor` is null on the last page."""

    instructions: list[Instruction]
    next_cursor: str | None


class Position(Struct, forbid_unknown_fields=True):
    """What a client holds in an instrument from its trades; docs/CLEARING.md defines each number."""

    instrument: Identifier
    quantity: Amount
    bought: Amount
    sold: Amount
    fees: Amount
    realised_cash: Amount
    average_cost: Amount | None


class Balance(Struct, forbid_unknown_fields=True):
    """What a client has in an asset: the sum of its legs up to what is recorded, and what it is made of.

    `closing` is that of its last obligation, of `cycle`; `due` is what its instructions still have to move.
    """

    asset: Identifier
    balance: Amount
    closing: Amount
    cycle: Number | None
    due: Amount


class Leg(Struct, forbid_unknown_fields=True):
    """A change of an account; `@ccp` and `@fees` are the house's."""

    account: Annotated[str, Meta(pattern="^@?[A-Za-z0-9._:-]+$")]
    asset: Identifier
    amount: Amount
    is_fee: bool


class JournalEntry(Struct, forbid_unknown_fields=True):
    """A trade or a bust with its legs, as far as the caller may see them, and the cycle that owns it, if one does."""

    instrument: Identifier
    seq: Seq
    kind: Literal["trade", "bust"]
    trade_id: str
    time: Time
    cycle: Number | None
    legs: list[Leg]


class JournalPage(Struct, forbid_unknown_fields=True):
    """Entries of a market by seq; `next_cursor` is null on the last page."""

    entries: list[JournalEntry]
    next_cursor: str | None


class Statement(Struct, forbid_unknown_fields=True):
    """What a cycle did to a client: the lines of the CSV (docs/CLEARING.md), without their empty fields."""

    client_id: Identifier
    cycle: Number
    rows: list[dict[str, str]]


class NamedTrade(Struct, forbid_unknown_fields=True):
    """A trade whose bust is in the log; the engine has not answered yet."""

    trade_id: str


class NamedInstrument(Struct, forbid_unknown_fields=True):
    """An instrument whose change is in the log, but which the engine has not answered yet."""

    instrument: Identifier


class FieldError(Struct, forbid_unknown_fields=True):
    """An error in one field, parameter or header; an empty `field` stands for the whole request."""

    field: str
    message: str


class Problem(Struct):
    """An error (RFC 9457). Programs should decide by `code`."""

    type: str
    title: str
    status: HttpStatus
    detail: str
    instance: str
    code: Annotated[str, Meta(pattern="^[a-z_]+$", examples=["unknown_order"])]
    errors: list[FieldError] | UnsetType = UNSET
    order_id: str | UnsetType = UNSET
    order: Order | UnsetType | None = UNSET


class BatchResult(Struct, forbid_unknown_fields=True):
    """The result of one order of a batch: the order, or its problem."""

    status: HttpStatus
    order: CreatedOrder | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class BatchResults(Struct, forbid_unknown_fields=True):
    """The results, in the same order as the batch."""

    results: list[BatchResult]


class Health(Struct):
    """Answered while the process serves requests."""

    status: str


class Readiness(Struct):
    """Whether the gateway can accept orders, and the state of each part in words."""

    status: str
    gateway: str
    kafka: str
    feed: str
    matching: str
    keys: str
    postgres: str
    recording: str
    history: str
    valkey: str


class Stage(Struct, forbid_unknown_fields=True):
    """A role, and how many records of its input it has not worked off; null while Kafka or Postgres does not answer."""

    role: str
    lag: Count | None


class Pipeline(Struct, forbid_unknown_fields=True):
    """Totals, and how far each role is.

    `commands` that the engine has reported, and its `reports`; `matched`: orders that took part in a trade since this
    gateway's start. `checkpoint_age_s`: how old the oldest command is that no snapshot covers, 0 if all are covered.
    """

    time: Time
    commands: Count
    reports: Count
    matched: Count
    stages: list[Stage]
    checkpoint_age_s: float | None


# The fields of `commands.ListInstrument`, which defines them.
_RULES = [(field.name, field.type) for field in fields(ListInstrument) if field.name != "command_id"]
Instrument = defstruct(
    "Instrument",
    [*_RULES, ("market_status", MarketStatus), ("seq", Seq)],
    namespace={"__doc__": "A listed instrument: its rules, its status, and the seq of its last report."},
    module=__name__,
    forbid_unknown_fields=True,
)
