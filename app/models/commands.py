"""The commands of the `orders` topic: their JSON shapes, and how a record is read and written.

Prices and quantities are decimal strings, times int milliseconds since the epoch, the key of the record is the
instrument. `genesis` is the first record of each partition and no command (docs/EXACTNESS.md, I14).
"""

import json
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.matching.words import OrderType, SelfTradePrevention, Side, TimeInForce
from app.models import identity

# `$` also matches before a final newline, hence the look-ahead; every JSON Schema dialect reads it alike.
_PATTERN = r"^[A-Za-z0-9._:-]{1,64}$(?!\n)"
Identifier = Annotated[
    str,
    Meta(pattern=_PATTERN, max_length=64, description="1 to 64 of A-Z a-z 0-9 . _ : -"),
]
# What does not fit the pattern is refused when it is converted, which is cheaper than looking twice.
DecimalText = Annotated[
    str,
    Meta(
        max_length=21,
        description="at most 12 digits, a point, at most 8 digits",
        extra_json_schema={"pattern": r"^[0-9]{1,12}(\.[0-9]{1,8})?$"},
    ),
]
OrderIdText = Annotated[str, Meta(min_length=36, max_length=36, description="an order id, UUID text")]
TimeMs = Annotated[
    int,
    Meta(ge=0, le=253_402_300_799_999, description="milliseconds since 1970-01-01 UTC"),
]
PositiveInt = Annotated[int, Meta(ge=1, le=10_000_000)]


RATE_PATTERN = r"^-?[0-9]{1,5}(\.[0-9]{1,2})?$(?!\n)"
Rate = Annotated[
    str,
    Meta(
        max_length=9,
        pattern=RATE_PATTERN,
        description="basis points of the notional, to a hundredth, from -10000 to 10000",
    ),
]
BustReason = Annotated[str, Meta(min_length=1, max_length=200, description="why the trade is canceled, for people")]


class UndecodableCommand(ValueError):
    """The record is no command: not JSON, not this shape, or a number that is no plain decimal."""


class _Command(
    Struct,
    tag_field="command",
    forbid_unknown_fields=True,
    omit_defaults=True,
    frozen=True,
):
    instrument: Identifier


class PlaceOrder(_Command, tag="place", frozen=True):
    client_id: Identifier
    client_order_id: Identifier
    side: Side
    type: OrderType
    quantity: DecimalText
    price: DecimalText | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    stop_price: DecimalText | None = None
    display_quantity: DecimalText | None = None
    expire_time: TimeMs | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePrevention | None = None
    deadline: TimeMs | None = None


class CancelOrder(_Command, tag="cancel", frozen=True):
    order_id: OrderIdText
    command_id: Identifier
    client_id: Identifier | None = None


class AmendOrder(_Command, tag="amend", frozen=True):
    order_id: OrderIdText
    command_id: Identifier
    client_id: Identifier | None = None
    price: DecimalText | None = None
    quantity: DecimalText | None = None


class ReduceOrder(_Command, tag="reduce", frozen=True):
    order_id: OrderIdText
    command_id: Identifier
    quantity: DecimalText
    client_id: Identifier | None = None


class ReplaceOrder(_Command, tag="replace", frozen=True):
    """Cancel `order_id` and place the rest as a new order of the same client."""

    order_id: OrderIdText
    command_id: Identifier
    client_id: Identifier
    client_order_id: Identifier
    side: Side
    type: OrderType
    quantity: DecimalText
    price: DecimalText | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    stop_price: DecimalText | None = None
    display_quantity: DecimalText | None = None
    expire_time: TimeMs | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePrevention | None = None
    deadline: TimeMs | None = None


class MassCancelOrders(_Command, tag="mass_cancel", frozen=True):
    command_id: Identifier
    client_id: Identifier | None = None
    side: Side | None = None


class ListInstrument(_Command, tag="list", frozen=True):
    command_id: Identifier
    base_asset: Identifier
    quote_asset: Identifier
    tick_size: DecimalText
    lot_size: DecimalText
    min_price: DecimalText | UnsetType = UNSET
    max_price: DecimalText | UnsetType = UNSET
    min_quantity: DecimalText | UnsetType = UNSET
    max_quantity: DecimalText | UnsetType = UNSET
    max_fills: PositiveInt = 1_000
    max_open_orders: PositiveInt = 100_000
    max_open_orders_per_client: PositiveInt = 10_000
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST
    id_window_count: PositiveInt = 100_000
    id_window_ms: TimeMs = 86_400_000
    max_slices: PositiveInt = 100
    quote_scale: Annotated[int, Meta(ge=0, le=8)] = 8


class ClientFeeRates(Struct, forbid_unknown_fields=True, frozen=True):
    """The rates of one client."""

    maker: Rate
    taker: Rate


class FeeRates(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What fills cost: basis points of the notional, negative for a rebate; up to 1,000 `clients` have their own."""

    maker: Rate
    taker: Rate
    clients: dict[Identifier, ClientFeeRates] = {}


class SetInstrumentFees(_Command, tag="set_fees", frozen=True):
    command_id: Identifier
    fees: FeeRates


class BustTrade(_Command, tag="bust", frozen=True):
    command_id: Identifier
    trade_id: Annotated[str, Meta(max_length=100)]
    reason: BustReason


class HaltInstrument(_Command, tag="halt", frozen=True):
    command_id: Identifier


class ResumeInstrument(_Command, tag="resume", frozen=True):
    command_id: Identifier


class SnapshotBook(_Command, tag="snapshot", frozen=True):
    command_id: Identifier


class SetEngineVersion(_Command, tag="engine_version", frozen=True):
    command_id: Identifier
    version: PositiveInt


class PassTime(_Command, tag="tick", frozen=True):
    """Its own time is the record's timestamp."""


class Genesis(Struct, tag_field="command", tag="genesis", forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """The first record of each `orders` partition: which log this is, and how it begins.

    All partitions of a venue share the secret that keys its order ids; a log without one has the ids of the time before
    there were secrets.
    """

    log_id: Annotated[str, Meta(min_length=36, max_length=36)]
    engine_version: PositiveInt = 1
    id_secret: Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{2 * identity.SECRET_BYTES}}}$(?!\n)")] | None = None

    @property
    def secret(self) -> bytes:
        """What the order ids of this log are keyed with."""
        return identity.NO_SECRET if self.id_secret is None else bytes.fromhex(self.id_secret)

    def __repr__(self) -> str:
        """Without the secret: it must not come into a log or an error."""
        return f"Genesis(log_id={self.log_id!r}, engine_version={self.engine_version})"


CommandMessage = (
    PlaceOrder
    | CancelOrder
    | AmendOrder
    | ReduceOrder
    | ReplaceOrder
    | MassCancelOrders
    | ListInstrument
    | HaltInstrument
    | ResumeInstrument
    | SnapshotBook
    | SetEngineVersion
    | SetInstrumentFees
    | BustTrade
    | PassTime
)

_decoder: msgspec.json.Decoder[CommandMessage | Genesis] = msgspec.json.Decoder(CommandMessage | Genesis)
_decode = _decoder.decode
encode_command = msgspec.json.Encoder().encode


def decode_command(value: bytes | None) -> CommandMessage | Genesis:
    """A record's value as a message; raises UndecodableCommand."""
    try:
        return _decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableCommand(str(error)) from error


def require_each_name_once(message: CommandMessage, value: bytes) -> None:
    """Raise UndecodableCommand if the record that was read as this message has a name twice."""
    if encode_command(message) != value:  # what a gateway writes need not be looked through
        json.loads(value, object_pairs_hook=_require_once)


def _require_once(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise UndecodableCommand("duplicate field")
