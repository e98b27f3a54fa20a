"""The JSON of API requests, and the orders and trades in answers (docs/API.md).

Numbers in requests are JSON numbers or strings, read exactly; answers have decimal strings and RFC 3339 times.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from app.clearing.cycles import Decision
from app.matching.words import OrderType, SelfTradePrevention, Side, Status, TimeInForce
from app.models.clearing import MAX_REASON, Settle
from app.models.commands import BustReason, DecimalText, FeeRates, Identifier, ListInstrument, PlaceOrder
from app.models.decimals import InvalidDecimal, Scale, plain, units
from app.models.reports import OrderChange, OrderTerms, PublicTrade, TradeReport

MAX_BATCH_ORDERS = 1_000
LARGEST_TIME_MS = 253_402_300_799_999  # the end of 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,8})?$"},
        {"type": "number", "minimum": 0, "maximum": 999_999_999_999},
    ],
    "description": "at most 12 digits, a point, at most 8 digits; a JSON number may have any spelling, such as 1e-05, "
    "and is read exactly, never through a float",
}
_OR_NULL = {**_NUMBER, "anyOf": [*_NUMBER["anyOf"], {"type": "null"}]}
# Not `.` or `..`, because HTTP clients resolve them in paths as folders. Old commands in the topic may still have them.
NAME_PATTERN = r"^(?!\.{1,2}$)[A-Za-z0-9._:-]{1,64}$(?!\n)"
NAME_RULE = "1 to 64 of A-Z a-z 0-9 . _ : -, but not . or .."
Name = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=64, description=NAME_RULE)]
"""What a new name (of a client, an instrument or a key) must match; names that exist already may not."""
_NAME = re.compile(NAME_PATTERN)
RequiredNumber = Annotated[Raw, Meta(extra_json_schema=_NUMBER)]
Number = Annotated[Raw, Meta(extra_json_schema=_OR_NULL)] | UnsetType


class InvalidNumber(ValueError):
    """A field is not an allowed number; the first argument is its name."""


class InvalidTime(ValueError):
    """A time that our messages cannot carry: before 1970 or after 9999."""


def _word(words: type[StrEnum]) -> Meta:
    """The schema of an enumeration's word, in any letter case."""
    return Meta(extra_json_schema={"enum": list(words), "description": "in any letter case"})


class PlaceOrderRequest(Struct, forbid_unknown_fields=True):
    """`POST /orders`. The idempotency key may be here or in the header `Idempotency-Key`. Words have any letter case.

    With an API key `client_id` is optional: it defaults to the API key's client.
    """

    instrument: Name
    side: Annotated[str, _word(Side)]
    type: Annotated[str, _word(OrderType)]
    quantity: RequiredNumber
    client_id: Name | None = None
    price: Number = UNSET
    time_in_force: Annotated[str, _word(TimeInForce)] | None = None
    stop_price: Number = UNSET
    display_quantity: Number = UNSET
    expire_time: datetime | None = None
    post_only: bool = False
    self_trade_prevention: Annotated[str, _word(SelfTradePrevention)] | None = None
    client_order_id: Name | None = None
    idempotency_key: Name | None = None
    deadline: datetime | None = None


# We decode entries one by one, so that a malformed entry does not make us refuse the others.
_Entry = Annotated[Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/PlaceOrderRequest"})]


class BatchRequest(Struct, forbid_unknown_fields=True):
    """`POST /orders/batch`: each entry is the body of a `POST /orders`, including its idempotency key."""

    orders: Annotated[list[_Entry], Meta(min_length=1, max_length=MAX_BATCH_ORDERS)]


class SettleRequest(Struct, forbid_unknown_fields=True):
    """`POST /settlements`: settle all trades before `cutoff_time`, or without it all that are recorded now."""

    cutoff_time: datetime | None = None


class OutcomeRequest(Struct, forbid_unknown_fields=True):
    """`POST /settlements/{cycle}/instructions/{instruction}`: whether the bank carried out the payment or delivery."""

    state: Decision
    reason: Annotated[str, Meta(max_length=MAX_REASON)] | None = None


class BustRequest(Struct, forbid_unknown_fields=True):
    """`POST /trades/{id}/bust`: the reason for which the venue busts the trade."""

    reason: BustReason


class CancelRequest(Struct, forbid_unknown_fields=True):
    """`POST /orders/{id}/cancel`; the whole body is optional."""

    client_id: Identifier | None = None


class AmendRequest(Struct, forbid_unknown_fields=True):
    """`PATCH /orders/{id}`: the new price, the new total quantity (filled + open), or both."""

    client_id: Identifier | None = None
    price: Number = UNSET
    quantity: Number = UNSET


_TYPES = {DecimalText: RequiredNumber, DecimalText | UnsetType: Number, Identifier: Name}
_RULES = [field for field in msgspec.structs.fields(ListInstrument) if field.name != "command_id"]
DECIMAL_RULES = {rule.name: rule.required for rule in _RULES if _TYPES.get(rule.type) in (RequiredNumber, Number)}
"""Name of each rule that is a number -> whether it is required."""
ListInstrumentRequest = msgspec.defstruct(
    "ListInstrumentRequest",
    [(rule.name, _TYPES.get(rule.type, rule.type), *(() if rule.required else (rule.default,))) for rule in _RULES],
    namespace={"__doc__": "`POST /instruments`: the rules of a market, named as in a `list` command."},
    module=__name__,
    forbid_unknown_fields=True,
)

decode_place = msgspec.json.Decoder(PlaceOrderRequest).decode
decode_batch = msgspec.json.Decoder(BatchRequest).decode
decode_settle = msgspec.json.Decoder(SettleRequest).decode
decode_outcome = msgspec.json.Decoder(OutcomeRequest).decode
decode_cancel = msgspec.json.Decoder(CancelRequest).decode
decode_amend = msgspec.json.Decoder(AmendRequest).decode
decode_fees = msgspec.json.Decoder(FeeRates).decode
decode_bust = msgspec.json.Decoder(BustRequest).decode
decode_listing = msgspec.json.Decoder(ListInstrumentRequest).decode
_decode_text = msgspec.json.Decoder(str).decode
_UNKNOWN_TERMS: Any = SimpleNamespace(**dict.fromkeys(OrderTerms.__struct_fields__))


def decimal_text(name: str, number: Number) -> str | None:
    """A JSON number in any spelling, or a string with a plain decimal, as decimal text; None if absent or null.

    Raises InvalidNumber.
    """
    if number is UNSET:
        return None
    written = bytes(number)
    if written == b"null":
        return None
    try:
        text = _decode_text(written) if written.startswith(b'"') else plain(written.decode())
        units(text)
    except msgspec.MsgspecError as error:
        raise InvalidNumber(name, f"is not a valid string: {error}") from error
    except InvalidDecimal as error:
        raise InvalidNumber(name, f"is {error}") from error
    return text


def milliseconds(moment: datetime | None) -> int | None:
    """A request's time in ms since the epoch; a time without zone is UTC. Raises InvalidTime."""
    if moment is None:
        return None
    time_ms = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= time_ms <= LARGEST_TIME_MS:
        raise InvalidTime("must be a time from 1970 to 9999")
    return time_ms


def is_name(text: str) -> bool:
    """Whether a new client, instrument or key may be called so."""
    return _NAME.match(text) is not None


def other_cycle(fact: Settle, cycle: Mapping[str, Any]) -> str | None:
    """What the key of `fact` was used for, if this cycle (as the API shows it) has another cutoff time; else None."""
    if cycle["cutoff_time"] == (None if fact.cutoff_time is None else rfc3339(fact.cutoff_time)):
        return None
    return f"cycle {cycle['cycle']}, up to {cycle['cutoff_time'] or 'what was recorded when it was closed'}"


def rfc3339(time_ms: int) -> str:
    """A time in ms since the epoch as RFC 3339 text, UTC."""
    seconds, rest = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def order_answer(
    instrument: str,
    terms: OrderTerms | None,
    change: OrderChange,
    seq: int | None,
    created: int | None,
    updated: int | None,
) -> dict[str, Any]:
    """The answer for an order, from its terms and its latest change; unknown members are null."""
    terms = terms or _UNKNOWN_TERMS
    return {
        "order_id": change.order_id,
        "client_order_id": terms.client_order_id or None,
        "client_id": change.client_id,
        "instrument": instrument,
        "side": terms.side,
        "type": terms.type,
        "time_in_force": terms.time_in_force,
        "price": change.price,
        "stop_price": terms.stop_price,
        "quantity": change.quantity,
        "filled_quantity": change.filled_quantity,
        "remaining_quantity": change.remaining_quantity,
        "avg_price": change.avg_price,
        "fees": change.fees,
        "status": change.status,
        "reason": change.reason,
        "post_only": terms.post_only,
        "display_quantity": terms.display_quantity,
        "expire_time": None if terms.expire_time is None else rfc3339(terms.expire_time),
        "self_trade_prevention": terms.self_trade_prevention,
        "seq": seq,
        "created_at": None if created is None else rfc3339(created),
        "updated_at": None if updated is None else rfc3339(updated),
    }


def changed_answer(order: dict[str, Any], change: OrderChange, seq: int, updated: int) -> dict[str, Any]:
    """The answer for an order, updated with a later change."""
    moving = ("price", "quantity", "filled_quantity", "remaining_quantity", "avg_price", "fees", "status", "reason")
    moved = {name: getattr(change, name) for name in moving}
    return {**order, **moved, "seq": seq, "updated_at": rfc3339(updated)}


def pending_answer(order_id: str, order: PlaceOrder, scale: Scale, time_ms: int) -> dict[str, Any]:
    """The answer for an order that the engine has not seen; its numbers must be whole ticks and lots."""
    quantity = _in_lots(order.quantity, scale)
    assert quantity is not None, "the gateway takes whole lots only"
    terms = OrderTerms(
        order.client_order_id,
        order.side,
        order.type,
        order.time_in_force,
        _in_ticks(order.stop_price, scale),
        _in_lots(order.display_quantity, scale),
        order.expire_time,
        order.post_only,
        order.self_trade_prevention,
    )
    price, zero = _in_ticks(order.price, scale), scale.quantity(0)
    change = OrderChange(order_id, order.client_id, Status.PENDING_NEW, quantity, zero, quantity, price=price)
    return order_answer(order.instrument, terms, change, None, time_ms, time_ms)


def _in_ticks(price: str | None, scale: Scale) -> str | None:
    ticks = None if price is None else scale.ticks(price)
    return None if ticks is None else scale.price(ticks)


def _in_lots(quantity: str | None, scale: Scale) -> str | None:
    lots = None if quantity is None else scale.lots(quantity)
    return None if lots is None else scale.quantity(lots)


def trade_answer(
    instrument: str, trade: TradeReport | PublicTrade, time_ms: int, busted_ms: int | None = None
) -> dict[str, Any]:
    """The answer for a trade; `busted_at` only if it was busted."""
    answer = {
        "trade_id": trade.trade_id,
        "instrument": instrument,
        "price": trade.price,
        "quantity": trade.quantity,
        "buy_order_id": trade.buy_order_id,
        "sell_order_id": trade.sell_order_id,
        "aggressor_side": trade.aggressor_side,
        "seq": trade.seq,
        "executed_at": rfc3339(time_ms),
    }
    if busted_ms is not None:
        answer["busted_at"] = rfc3339(busted_ms)
    return answer
