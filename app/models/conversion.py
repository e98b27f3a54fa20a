"""Converts commands to the core's and back: decimals to ticks and lots, keys to ids and fingerprints."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from app.matching import commands as core
from app.matching.commands import NOT_REPRESENTABLE
from app.matching.words import OrderType
from app.models import identity
from app.models.commands import (
    AmendOrder,
    BustTrade,
    CancelOrder,
    CommandMessage,
    HaltInstrument,
    ListInstrument,
    MassCancelOrders,
    PassTime,
    PlaceOrder,
    ReduceOrder,
    ReplaceOrder,
    ResumeInstrument,
    SetEngineVersion,
    SetInstrumentFees,
    SnapshotBook,
    UndecodableCommand,
)
from app.models.decimals import LARGEST_UNITS, InvalidDecimal, Scale, shortest, units
from app.models.fees import fee_schedule, trade_seq

_new = tuple.__new__  # a NamedTuple's own constructor takes twice as long
_UNPRICED = (OrderType.MARKET, OrderType.STOP)
_FIRST_RULES = core.Listing._fields.index("max_slices")


def to_core(
    message: CommandMessage, scale: Scale | None, secret: bytes = identity.NO_SECRET, strictly: bool = True
) -> core.Command:
    """The core's command for a message, with the order ids of a log that has this secret. Raises UndecodableCommand.

    Only `list` needs no scale. Without `strictly` it ignores a price on a market or stop order, as engine version 1
    did.
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
    return Scale(listing.tick_size, listing.lot_size, listing.quote_scale)


def _place(m: PlaceOrder | ReplaceOrder, scale: Scale, secret: bytes) -> core.Place:
    price = m.price
    if price is not None and m.type is OrderType.MARKET:
        units(price)  # it must be a decimal, but otherwise we ignore it
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
    fingerprint = identity.fingerprint("amend", m.order_id, _optional_units(m.price), _optional_units(m.quantity))
    quantity = None if m.quantity is None else _lots(m.quantity, scale)
    return core.Amend(
        _id(m, m.client_id),
        fingerprint,
        _order(m),
        m.client_id,
        _optional_ticks(m.price, scale),
        quantity,
    )


def _reduce(m: ReduceOrder, scale: Scale, secret: bytes) -> core.Reduce:
    fingerprint = identity.fingerprint("reduce", m.order_id, units(m.quantity))
    return core.Reduce(_id(m, m.client_id), fingerprint, _order(m), _lots(m.quantity, scale), m.client_id)


def _replace(m: ReplaceOrder, scale: Scale, secret: bytes) -> core.Replace:
    new = _place(m, scale, secret)
    fingerprint = identity.fingerprint("replace", m.order_id, new.order_id.hex(), new.fingerprint)
    return core.Replace(_id(m, m.client_id), fingerprint, _order(m), new, m.client_id)


def _mass_cancel(m: MassCancelOrders, scale: Scale, secret: bytes) -> core.MassCancel:
    fingerprint = identity.fingerprint("mass_cancel", m.client_id, m.side and m.side.value)
    return core.MassCancel(_id(m, m.client_id), fingerprint, m.client_id, m.side)


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
        m.quote_scale,
    )
    return core.List(_id(m, None), identity.fingerprint("list", *without_later_defaults(listing)), listing)


def without_later_defaults(listing: core.Listing) -> tuple[Any, ...]:
    """The rules, without the last ones that were added after the first release, as long as these have their defaults.

    So fingerprints and snapshots from the logs of each release keep their bytes.
    """
    kept, defaults = len(listing), core.Listing._field_defaults
    while kept > _FIRST_RULES and listing[kept - 1] == defaults[core.Listing._fields[kept - 1]]:
        kept -= 1
    return listing[:kept]


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
        quote_scale=listing.quote_scale,
    )


def _halt(m: HaltInstrument, scale: Scale, secret: bytes) -> core.Halt:
    return core.Halt(_id(m, None), identity.fingerprint("halt"))


def _resume(m: ResumeInstrument, scale: Scale, secret: bytes) -> core.Resume:
    return core.Resume(_id(m, None), identity.fingerprint("resume"))


def _snapshot(m: SnapshotBook, scale: Scale, secret: bytes) -> core.Snapshot:
    return core.Snapshot(_id(m, None), identity.fingerprint("snapshot"))


def _engine_version(m: SetEngineVersion, scale: Scale, secret: bytes) -> core.EngineVersion:
    return core.EngineVersion(_id(m, None), identity.fingerprint("engine_version", m.version), m.version)


def _set_fees(m: SetInstrumentFees, scale: Scale, secret: bytes) -> core.SetFees:
    schedule = fee_schedule(m.fees)
    return core.SetFees(_id(m, None), identity.fingerprint("set_fees", schedule), schedule)


def _bust(m: BustTrade, scale: Scale, secret: bytes) -> core.Bust:
    fingerprint = identity.fingerprint("bust", m.trade_id, m.reason)
    return core.Bust(_id(m, None), fingerprint, trade_seq(m.instrument, m.trade_id), m.reason)


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
    SetInstrumentFees: _set_fees,
    BustTrade: _bust,
    PassTime: _tick,
}


def _id(message: CommandMessage, client_id: str | None) -> bytes:
    assert not isinstance(message, PlaceOrder | PassTime), "their identity is not a command id"
    return identity.command_id(client_id, message.instrument, message.command_id)


def _order(message: CancelOrder | AmendOrder | ReduceOrder | ReplaceOrder) -> bytes:
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
