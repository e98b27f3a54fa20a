"""What a request says, read strictly: bodies, keys, numbers and parameters, or the problem with them."""

import re
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET

from app.matching.words import OrderType, SelfTradePrevention, Side, TimeInForce
from app.models.commands import PlaceOrder
from app.models.http import InvalidNumber, PlaceOrderRequest, decimal_text, decode_place, milliseconds
from web.problems import Problem

MAX_BODY_BYTES = 64 * 1024
# JSON, and what curl and bare clients say when nobody told them.
ACCEPTED_TYPES = ("application/json", "application/octet-stream", "application/x-www-form-urlencoded")
MAX_PAGE = 1_000_000
IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_FIELD = re.compile(r" - at `\$\.?(.*)`$")
T = TypeVar("T")


async def body_of(request: web.Request) -> bytes:
    """The whole body, at most MAX_BODY_BYTES; raises 413."""
    too_large = Problem(413, "body_too_large", f"a body has at most {MAX_BODY_BYTES} bytes")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise too_large
    return bytes(body)


def decoded(decode: Any, body: bytes) -> Any:
    """The body as its shape; raises 400 with the field."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        message = str(error)
        field = match[1] if (match := _FIELD.search(message)) else ""
        said = _FIELD.sub("", message)
        errors = [{"field": field, "message": said}]
        raise Problem(400, "malformed_request", f"{field}: {said}" if field else said, errors=errors) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "malformed_request", f"not JSON: {error}") from error


async def place_request(request: web.Request) -> PlaceOrder:
    """The order that a request wants to place; raises 400, 413, 415 and 422."""
    if request.content_type not in (
        "application/json",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    ):
        raise Problem(415, "unsupported_media_type", "the body must be application/json")
    said: PlaceOrderRequest = decoded(decode_place, await body_of(request))
    key = _key(request, said)
    try:
        price = None if said.type.lower() in ("market", "stop") else said.price
        return PlaceOrder(
            instrument=said.instrument,
            client_id=said.client_id,
            client_order_id=key,
            side=_word(Side, "side", said.side.lower()),
            type=_word(OrderType, "type", said.type.lower()),
            quantity=decimal_text("quantity", said.quantity) or _absent("quantity"),
            price=decimal_text("price", UNSET if price is None else price),
            time_in_force=_word(TimeInForce, "time_in_force", (said.time_in_force or "GTC").upper()),
            stop_price=decimal_text("stop_price", said.stop_price),
            display_quantity=decimal_text("display_quantity", said.display_quantity),
            expire_time=milliseconds(said.expire_time),
            post_only=said.post_only,
            self_trade_prevention=_mode(said.self_trade_prevention),
            deadline=milliseconds(said.deadline),
        )
    except InvalidNumber as error:
        raise _invalid(str(error.args[0]), str(error.args[1])) from error


def header_key(request: web.Request) -> str | None:
    """The header `Idempotency-Key`, quoted as the draft says or plain; raises 400."""
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    return identifier("Idempotency-Key", key)


def identifier(name: str, value: str) -> str:
    """A value of 1 to 64 of A-Z a-z 0-9 . _ : -; raises 400."""
    if IDENTIFIER.fullmatch(value) is None:
        raise Problem(400, "malformed_request", f"{name} must be 1 to 64 of A-Z a-z 0-9 . _ : -")
    return value


def parameters(request: web.Request, *allowed: str) -> dict[str, str]:
    """The query's parameters; raises 400 for unknown or repeated ones."""
    given = dict(request.query)
    if len(given) != len(request.query):
        raise Problem(400, "malformed_request", "a parameter was given twice")
    if unknown := sorted(set(given) - set(allowed)):
        raise Problem(400, "malformed_request", f"unknown parameter {unknown[0]!r}; known are {', '.join(allowed)}")
    return given


def number(given: dict[str, str], name: str, default: int, most: int) -> int:
    """A parameter as an int from 1; raises 400."""
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise Problem(400, "malformed_request", f"{name} must be a number from 1 to {most}")
    return int(text)


def _key(request: web.Request, said: PlaceOrderRequest) -> str:
    given = {header_key(request), said.client_order_id, said.idempotency_key} - {None}
    if not given:
        raise Problem(400, "missing_key", "give a header Idempotency-Key, or client_order_id in the body")
    if len(given) > 1:
        raise Problem(400, "different_keys", "Idempotency-Key, client_order_id and idempotency_key must be equal")
    return str(given.pop())


def _word(words: type[T], name: str, said: str) -> T:
    try:
        return words(said)  # type: ignore[call-arg]
    except ValueError:
        known = ", ".join(word.value for word in words)  # type: ignore[attr-defined]
        raise _invalid(name, f"must be one of {known}") from None


def _mode(said: str | None) -> SelfTradePrevention | None:
    return None if said is None else _word(SelfTradePrevention, "self_trade_prevention", said.lower())


def _absent(name: str) -> str:
    raise Problem(400, "malformed_request", f"{name} is required", errors=[{"field": name, "message": "required"}])


def _invalid(name: str, message: str) -> Problem:
    return Problem(422, "invalid_value", f"{name} {message}", errors=[{"field": name, "message": message}])
