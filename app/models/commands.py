"""The commands of the `orders` topic: JSON shapes, and their conversion to the core's commands.

Prices and quantities are decimal strings, times int milliseconds since the epoch, the key of the record is the
instrument. `genesis` is the first record of each partition and no command (docs/EXACTNESS.md, I14).
"""

import json
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.matching import commands as core
from app.matching.commands import NOT_REPRESENTABLE
from app.matching.words import OrderType, SelfTradePrevention, Side, TimeInForce
from app.models import identity
from app.models.decimals import LARGEST_UNITS, InvalidDecimal, Scale, shortest, units

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
    | PassTime
)

_decoder: msgspec.json.Decoder[CommandMessage | Genesis] = msgspec.json.Decoder(CommandMessage | Genesis)
_decode = _decoder.decode
_new = tuple.__new__  # a NamedTuple's own constructor takes twice as long
_UNPRICED = (OrderType.MARKET, OrderType.STOP)
_FIRST_RULES = core.Listing._fields.index("max_slices")
_LATER_DEFAULTS = tuple(core.Listing._field_defaults[name] for name in core.Listing._fields[_FIRST_RULES:])
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


def to_core(
    message: CommandMessage, scale: Scale | None, secret: bytes = identity.NO_SECRET, strictly: bool = True
) -> core.Command:
    """The message in the core's terms, with the order ids of a log that has this secret.

    Only `list` does without the scale; raises UndecodableCommand. Not `strictly`: as in a log of engine version 1,
    where a price on a market or stop order was passed over.
    """
    if not strictly and isinstance(message, PlaceOrder | ReplaceOrder) and message.type in _UNPRICED:
        message = msgspec.structs.replace(message, price=None)
    try:
        if isinstance(message, ListInstrument):
            return _list(message)
        assert scale is not None, "a listed instrument has a scale"
        return _CONVERSIONS[type(message)](message, scale, secret)
    except InvalidDecimal as error:
        raise UndecodableCommand(str(error)) from error


def scale_of(listing: core.Listing) -> Scale:
    """The conversion between text and this market's ticks and lots."""
    return Scale(listing.tick_size, listing.lot_size)


def _place(m: "PlaceOrder | ReplaceOrder", scale: Scale, secret: bytes) -> core.Place:
    price = m.price
    if price is not None and m.type is OrderType.MARKET:
        units(price)  # a decimal it must be; otherwise it says nothing, and is no part of the order
        price = None
    side, type_, force, stop_price, display = m.side, m.type, m.time_in_force, m.stop_price, m.display_quantity
    client_id, client_order_id, mode = m.client_id, m.client_order_id, m.self_trade_prevention
    return _new(
        core.Place,
        (
            identity.order_id(client_id, m.instrument, client_order_id, secret),
            identity.fingerprint(
                side._value_,
                type_._value_,
                force._value_,
                units(m.quantity),
                None if price is None else units(price),
                None if stop_price is None else units(stop_price),
                None if display is None else units(display),
                m.expire_time,
                m.post_only,
                mode and mode._value_,
                m.deadline,
            ),
            client_id,
            client_order_id,
            side,
            type_,
            _lots(m.quantity, scale),
            None if price is None else _ticks(price, scale),
            force,
            None if stop_price is None else _ticks(stop_price, scale),
            None if display is None else _lots(display, scale),
            m.expire_time,
            m.post_only,
            mode,
            m.deadline,
        ),
    )


def _cancel(m: CancelOrder, scale: Scale, secret: bytes) -> core.Cancel:
    return core.Cancel(
        _id(m, m.client_id),
        identity.fingerprint("cancel", m.order_id),
        _order(m),
        m.client_id,
    )


def _amend(m: AmendOrder, scale: Scale, secret: bytes) -> core.Amend:
    said = identity.fingerprint("amend", m.order_id, _optional_units(m.price), _optional_units(m.quantity))
    quantity = None if m.quantity is None else _lots(m.quantity, scale)
    return core.Amend(
        _id(m, m.client_id),
        said,
        _order(m),
        m.client_id,
        _optional_ticks(m.price, scale),
        quantity,
    )


def _reduce(m: ReduceOrder, scale: Scale, secret: bytes) -> core.Reduce:
    said = identity.fingerprint("reduce", m.order_id, units(m.quantity))
    return core.Reduce(_id(m, m.client_id), said, _order(m), _lots(m.quantity, scale), m.client_id)


def _replace(m: ReplaceOrder, scale: Scale, secret: bytes) -> core.Replace:
    new = _place(m, scale, secret)
    said = identity.fingerprint("replace", m.order_id, new.order_id.hex(), new.fingerprint)
    return core.Replace(_id(m, m.client_id), said, _order(m), new, m.client_id)


def _mass_cancel(m: MassCancelOrders, scale: Scale, secret: bytes) -> core.MassCancel:
    said = identity.fingerprint("mass_cancel", m.client_id, m.side and m.side.value)
    return core.MassCancel(_id(m, m.client_id), said, m.client_id, m.side)


def _list(m: ListInstrument) -> core.List:
    tick, lot = units(m.tick_size), units(m.lot_size)
    if not tick or not lot:
        raise UndecodableCommand("tick_size and lot_size must be positive")
    if m.instrument.startswith("_"):
        raise UndecodableCommand("names that begin with _ are reserved")
    scale, defaults = Scale(tick, lot), core.Listing._field_defaults
    listing = core.Listing(
        m.instrument,
        m.base_asset,
        m.quote_asset,
        tick,
        lot,
        _limit(m.min_price, scale.ticks, defaults["min_price"], tick),
        _limit(m.max_price, scale.ticks, defaults["max_price"], tick),
        _limit(m.min_quantity, scale.lots, defaults["min_quantity"], lot),
        _limit(m.max_quantity, scale.lots, defaults["max_quantity"], lot),
        m.max_fills,
        m.max_open_orders,
        m.max_open_orders_per_client,
        m.self_trade_prevention,
        m.id_window_count,
        m.id_window_ms,
        m.max_slices,
    )
    return core.List(_id(m, None), identity.fingerprint("list", *without_later_defaults(listing)), listing)


def without_later_defaults(listing: core.Listing) -> tuple[Any, ...]:
    """The rules without those that the first release lacked, as long as they have their defaults.

    So fingerprints and snapshots of the logs of that release keep their bytes.
    """
    return listing[:_FIRST_RULES] if listing[_FIRST_RULES:] == _LATER_DEFAULTS else listing


def list_message(listing: core.Listing, command_id: str) -> ListInstrument:
    """The `list` command that gives a market these rules."""
    scale = scale_of(listing)
    return ListInstrument(
        instrument=listing.instrument,
        command_id=command_id,
        base_asset=listing.base_asset,
        quote_asset=listing.quote_asset,
        tick_size=shortest(listing.tick_size),
        lot_size=shortest(listing.lot_size),
        min_price=scale.price(listing.min_price),
        max_price=scale.price(listing.max_price),
        min_quantity=scale.quantity(listing.min_quantity),
        max_quantity=scale.quantity(listing.max_quantity),
        max_fills=listing.max_fills,
        max_open_orders=listing.max_open_orders,
        max_open_orders_per_client=listing.max_open_orders_per_client,
        self_trade_prevention=listing.self_trade_prevention,
        id_window_count=listing.id_window_count,
        id_window_ms=listing.id_window_ms,
        max_slices=listing.max_slices,
    )


def _halt(m: HaltInstrument, scale: Scale, secret: bytes) -> core.Halt:
    return core.Halt(_id(m, None), identity.fingerprint("halt"))


def _resume(m: ResumeInstrument, scale: Scale, secret: bytes) -> core.Resume:
    return core.Resume(_id(m, None), identity.fingerprint("resume"))


def _snapshot(m: SnapshotBook, scale: Scale, secret: bytes) -> core.Snapshot:
    return core.Snapshot(_id(m, None), identity.fingerprint("snapshot"))


def _engine_version(m: SetEngineVersion, scale: Scale, secret: bytes) -> core.EngineVersion:
    return core.EngineVersion(_id(m, None), identity.fingerprint("engine_version", m.version), m.version)


def _tick(m: PassTime, scale: Scale, secret: bytes) -> core.Tick:
    return core.Tick()


_CONVERSIONS: dict[type, Callable[[Any, Scale, bytes], core.Command]] = {
    PlaceOrder: _place,
    CancelOrder: _cancel,
    AmendOrder: _amend,
    ReduceOrder: _reduce,
    ReplaceOrder: _replace,
    MassCancelOrders: _mass_cancel,
    HaltInstrument: _halt,
    ResumeInstrument: _resume,
    SnapshotBook: _snapshot,
    SetEngineVersion: _engine_version,
    PassTime: _tick,
}


def _require_once(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise UndecodableCommand("a name stands twice")


def _id(message: CommandMessage, client_id: str | None) -> bytes:
    assert not isinstance(message, PlaceOrder | PassTime), "their identity is not a command id"
    return identity.command_id(client_id, message.instrument, message.command_id)


def _order(message: "CancelOrder | AmendOrder | ReduceOrder | ReplaceOrder") -> bytes:
    try:
        return identity.id_bytes(message.order_id)
    except ValueError as error:
        raise UndecodableCommand(f"not an order id: {message.order_id!r}") from error


def _lots(quantity: str, scale: Scale) -> int:
    lots = scale.lots(quantity)
    return NOT_REPRESENTABLE if lots is None else lots


def _ticks(price: str, scale: Scale) -> int:
    ticks = scale.ticks(price)
    return NOT_REPRESENTABLE if ticks is None else ticks


def _optional_ticks(price: str | None, scale: Scale) -> int | None:
    return None if price is None else _ticks(price, scale)


def _optional_units(decimal: str | None) -> int | None:
    return None if decimal is None else units(decimal)


def _limit(given: str | UnsetType, whole: Callable[[str], int | None], default: int, size: int) -> int:
    if given is UNSET:
        return min(default, LARGEST_UNITS // size)
    limit = whole(given)
    if not limit:
        raise UndecodableCommand(f"a limit must be a positive whole number of ticks or lots: {given}")
    return limit
