"""What people send over HTTP, and orders and trades as they are answered: the JSON shapes of the API (api.md).

Numbers come as JSON numbers or strings and are read exactly; answers have decimal strings and RFC 3339 times.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from app.models.commands import Identifier
from app.models.decimals import InvalidDecimal, units
from app.models.reports import OrderChange, OrderTerms, PublicTrade, TradeReport

Number = Raw | UnsetType


class InvalidNumber(ValueError):
    """A field is no plain decimal; the first argument is its name."""


class PlaceOrderRequest(Struct, forbid_unknown_fields=True):
    """`POST /orders`. The key may come here or in the header `Idempotency-Key`. Letter case of words is free."""

    client_id: Identifier
    instrument: Identifier
    side: str
    type: str
    quantity: Raw
    price: Number = UNSET
    time_in_force: str | None = None
    stop_price: Number = UNSET
    display_quantity: Number = UNSET
    expire_time: datetime | None = None
    post_only: bool = False
    self_trade_prevention: str | None = None
    client_order_id: Identifier | None = None
    idempotency_key: Identifier | None = None
    deadline: datetime | None = None


class CancelRequest(Struct, forbid_unknown_fields=True):
    """`POST /orders/{id}/cancel`, all of it optional."""

    client_id: Identifier | None = None


decode_place = msgspec.json.Decoder(PlaceOrderRequest).decode
decode_cancel = msgspec.json.Decoder(CancelRequest).decode
_decode_text = msgspec.json.Decoder(str).decode


def decimal_text(name: str, number: Number) -> str | None:
    """A JSON number or string as decimal text, exactly as it was written; None for absent or null."""
    if number is UNSET:
        return None
    written = bytes(number)
    if written == b"null":
        return None
    try:
        text = _decode_text(written) if written.startswith(b'"') else written.decode()
        units(text)
    except (msgspec.MsgspecError, InvalidDecimal) as error:
        raise InvalidNumber(name, str(error)) from error
    return text


def milliseconds(moment: datetime | None) -> int | None:
    """A time of a request as the topics have it; without a zone it is UTC."""
    if moment is None:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def rfc3339(time_ms: int) -> str:
    """A time of the log as people read it."""
    seconds, rest = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def order_answer(instrument: str, terms: OrderTerms, change: OrderChange, seq: int, created: int, updated: int) -> Any:
    """An order as it is answered, from its terms and its latest change."""
    return {
        "order_id": change.order_id,
        "client_order_id": terms.client_order_id,
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
        "status": change.status,
        "reason": change.reason,
        "post_only": terms.post_only,
        "display_quantity": terms.display_quantity,
        "expire_time": None if terms.expire_time is None else rfc3339(terms.expire_time),
        "self_trade_prevention": terms.self_trade_prevention,
        "seq": seq,
        "created_at": rfc3339(created),
        "updated_at": rfc3339(updated),
    }


def trade_answer(instrument: str, trade: TradeReport | PublicTrade, time_ms: int) -> dict[str, Any]:
    """A trade as it is answered."""
    return {
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
