"""Parses requests strictly: bodies, keys, numbers and parameters; raises a Problem for anything malformed."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from app.matching.words import OrderType, SelfTradePrevention, Side, TimeInForce
from app.models.commands import RATE_PATTERN, ListInstrument, PlaceOrder
from app.models.http import (
    DECIMAL_RULES,
    NAME_RULE,
    InvalidNumber,
    InvalidTime,
    Number,
    PlaceOrderRequest,
    decimal_text,
    decode_place,
    is_name,
    milliseconds,
)
from web.edge.answers import unknown_order
from web.edge.callers import Caller, caller_of
from web.edge.problems import Problem

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 10.0
MAX_LIMIT = 1_000
MAX_PAGE = 100_000
MAX_PAGED_ROWS = 100_000  # Postgres reads all rows that a page skips; a cursor skips none
MAX_AFTER_SEQ = 10**15
MAX_NUMBER_DIGITS = 16
MAX_WAIT_S = 30
DEFAULT_WAIT_S = 2
DUPLICATE_FIELD = "duplicate field in the body"
NOT_AN_IDENTIFIER = "must be 1 to 64 of A-Z a-z 0-9 . _ : -"
NOT_A_NAME = f"must be {NAME_RULE}"
NOT_A_RATE = "must be basis points with at most two decimals, like 2.5 or -0.75"
# JSON, and the defaults of curl and of simple clients.
ACCEPTED_TYPES = frozenset(("application/json", "application/octet-stream", "application/x-www-form-urlencoded"))
IDENTITY = ["identity"]
_IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_FIELD = re.compile(r" - at (?:`key` in )?`\$\.?(.*)`$")
_NAMED_FIELD = re.compile(r"(?:unknown|required) field `([^`]{1,64})`")
_NAMES = re.compile(rb'"([a-z_]+)"\s*:')
_EXCLUDED = re.compile(r"q=0(\.0*)?", re.ASCII)
_WAIT = re.compile(r"\s*wait=([0-9]{1,3})\s*", re.ASCII)
_time = partial(msgspec.convert, type=datetime)
T = TypeVar("T")
W = TypeVar("W", bound=StrEnum)


async def body_of(request: web.Request, most: int = MAX_BODY_BYTES) -> bytes:
    """The whole body, at most `most` bytes; raises 408, 413 and 415."""
    content_type = request.headers.get("Content-Type")
    if content_type is not None and content_type not in ACCEPTED_TYPES and request.content_type not in ACCEPTED_TYPES:
        raise Problem(415, "unsupported_media_type", "the body must be application/json")
    if request.headers.getall("Content-Encoding", IDENTITY) != IDENTITY:
        raise Problem(415, "unsupported_media_type", "a body may not be compressed")
    if (request.content_length or 0) > most:
        raise _too_large(most)
    content = request.content
    if content.is_eof():
        body = content.read_nowait()
    else:
        body = await _read(content, most)
    if len(body) > most:
        raise _too_large(most)
    return body


def decoded(decode: Callable[[bytes], T], body: bytes, is_flat: bool = True) -> T:
    """The decoded body; raises 400 with the field, also for a repeated name. `is_flat`: it has no nested objects."""
    try:
        shaped = decode(body)
        if is_flat and b"\\" not in body and body.isascii():
            names = _NAMES.findall(body)
            if len(set(names)) != len(names):
                raise malformed("", DUPLICATE_FIELD)
        else:
            json.loads(body.decode(), object_pairs_hook=_each_once, parse_int=str, parse_float=str)
    except msgspec.ValidationError as error:
        raise _misshapen(str(error)) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise malformed("", f"not JSON: {error}") from error
    return shaped


async def place_request(request: web.Request) -> PlaceOrder:
    """The command for a request that places an order; raises 400, 403, 408, 413, 415 and 422."""
    return place_command(decoded(decode_place, await body_of(request)), header_key(request), caller_of(request))


def place_command(requested: PlaceOrderRequest, key: str | None, caller: Caller) -> PlaceOrder:
    """The command for a requested order; `key` is the key from the header, if any. Raises 400, 403 and 422."""
    type_ = word(OrderType, "type", requested.type.lower())
    price = decimal("price", requested.price)
    mode, time_in_force = requested.self_trade_prevention, requested.time_in_force or "GTC"
    return PlaceOrder(
        instrument=requested.instrument,
        client_id=caller.client_of_order(requested.client_id) or _absent("client_id"),
        client_order_id=_key(key, requested),
        side=word(Side, "side", requested.side.lower()),
        type=type_,
        quantity=decimal("quantity", requested.quantity) or _absent("quantity"),
        price=None if type_ is OrderType.MARKET else price,  # a market order ignores the price
        time_in_force=word(TimeInForce, "time_in_force", time_in_force.upper()),
        stop_price=decimal("stop_price", requested.stop_price),
        display_quantity=decimal("display_quantity", requested.display_quantity),
        expire_time=moment("expire_time", requested.expire_time),
        post_only=requested.post_only,
        self_trade_prevention=None
        if mode is None
        else word(SelfTradePrevention, "self_trade_prevention", mode.lower()),
        deadline=moment("deadline", requested.deadline),
    )


def listing_command(requested: Any, key: str) -> ListInstrument:
    """The command for a `ListInstrumentRequest`; raises 400 and 422."""
    rules = msgspec.structs.asdict(requested)
    for name, is_required in DECIMAL_RULES.items():
        text = decimal(name, rules[name])
        rules[name] = text or (_absent(name) if is_required else msgspec.UNSET)
    return ListInstrument(command_id=key, **rules)


def decimal(name: str, number: Number) -> str | None:
    """A JSON number or string as decimal text; raises 422."""
    try:
        return decimal_text(name, number)
    except InvalidNumber as error:
        raise invalid(name, str(error.args[1])) from error


def instant(given: dict[str, str], name: str) -> int | None:
    """A parameter with an RFC 3339 time, in ms since the epoch; None if it is not given. Raises 400 and 422."""
    if name not in given:
        return None
    try:
        return moment(name, _time(given[name]))
    except msgspec.ValidationError as error:
        raise malformed(name, "must be a time like 2026-01-31T09:30:00Z, with + written as %2B") from error


def moment(name: str, time: datetime | None) -> int | None:
    """A time in ms since the epoch, as in the topics; raises 422."""
    try:
        return milliseconds(time)
    except InvalidTime as error:
        raise invalid(name, str(error)) from error


def word(words: type[W], name: str, text: str) -> W:
    """One of the words of an enumeration; raises 422."""
    found = words._value2member_map_.get(text)
    if found is None:
        raise invalid(name, f"must be one of {', '.join(words)}")
    return found  # type: ignore[return-value]


def header_key(request: web.Request) -> str | None:
    """The header `Idempotency-Key`, quoted (as the IETF draft says) or plain; raises 400."""
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    if len(request.headers.getall("Idempotency-Key")) > 1:
        raise malformed("Idempotency-Key", "was given twice")
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not is_name(key):
        raise malformed("Idempotency-Key", NOT_A_NAME)
    return key


def identifier(name: str, value: str) -> str:
    """A value of 1 to 64 of A-Z a-z 0-9 . _ : -; raises 400."""
    if not is_identifier(value):
        raise malformed(name, NOT_AN_IDENTIFIER)
    return value


def is_identifier(value: str) -> bool:
    """Whether it is 1 to 64 of A-Z a-z 0-9 . _ : -."""
    return _IDENTIFIER.fullmatch(value) is not None


def parameters(request: web.Request, *allowed: str) -> dict[str, str]:
    """The query's parameters; raises 400 for unknown or repeated ones."""
    if not request.query_string:
        return {}
    given = dict(request.query)
    if len(given) != len(request.query):
        raise malformed("", "a parameter was given twice")
    if unknown := sorted(set(given) - set(allowed)):
        known = f"known are {', '.join(allowed)}" if allowed else "there are none"
        raise malformed(unknown[0][:64], f"is an unknown parameter; {known}")
    return given


def number(given: dict[str, str], name: str, default: int, most: int, least: int = 1) -> int:
    """A parameter as an int from `least` to `most`; raises 400."""
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS and least <= int(text) <= most):
        raise malformed(name, f"must be a number from {least} to {most}")
    return int(text)


def page_number(given: dict[str, str], limit: int) -> int:
    """The parameter `page`; raises 400, also for a page beyond MAX_PAGED_ROWS, which only a cursor can reach."""
    if "page" in given and "cursor" in given:
        raise malformed("page", "cannot be given with cursor")
    page = number(given, "page", 1, MAX_PAGE)
    if page * limit > MAX_PAGED_ROWS:
        raise malformed("page", f"ends at row {MAX_PAGED_ROWS:,}; what is older can be had with cursor")
    return page


def seconds_to_wait(request: web.Request) -> int | None:
    """How many seconds to wait for the engine, from `?wait=matched` or `Prefer: wait=SECONDS`; None: do not wait."""
    requested = parameters(request, "wait").get("wait")
    if requested not in (None, "matched"):
        raise malformed("wait", "can only be matched")
    preferred = preferred_wait(request)
    return DEFAULT_WAIT_S if preferred is None and requested is not None else preferred


def preferred_wait(request: web.Request) -> int | None:
    """The seconds of `Prefer: wait=SECONDS`, at most MAX_WAIT_S; None without that header."""
    preferred = _WAIT.fullmatch(request.headers.get("Prefer", ""))
    return None if preferred is None else min(int(preferred[1]), MAX_WAIT_S)


def asks_for(content_type: str, request: web.Request) -> bool:
    """Whether `Accept` names this content type and does not exclude it with `q=0`."""
    for accepted in request.headers.get("Accept", "").lower().split(","):
        name, *parameters = (part.strip() for part in accepted.split(";"))
        if name == content_type:
            return not any(map(_EXCLUDED.fullmatch, parameters))
    return False


def order_id_of(request: web.Request) -> str:
    """The path's order id in canonical form; anything else is an unknown order (404)."""
    return canonical_order_id(request.match_info["order_id"])


def canonical_order_id(text: str) -> str:
    """An order id in canonical form; raises 404 for anything else."""
    try:
        order_id = str(UUID(text))
    except ValueError:
        raise unknown_order(text) from None
    if order_id != text.lower():
        raise unknown_order(text)
    return order_id


def malformed(field: str, message: str) -> Problem:
    """A 400 about a field, a parameter or a header, or about the whole request ("")."""
    errors = [{"field": field, "message": message}]
    return Problem(400, "malformed_request", f"{field} {message}".strip(), errors=errors)


def invalid(field: str, message: str) -> Problem:
    """A 422 about a field with an invalid value."""
    return Problem(422, "invalid_value", f"{field} {message}", errors=[{"field": field, "message": message}])


async def _read(content: Any, most: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in content.iter_any():
                body += piece
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise Problem(408, "request_timeout", f"the body did not come within {BODY_TIMEOUT_S:.0f} s") from None
    except RequestPayloadError as error:
        raise malformed("", "the body is broken") from error
    return bytes(body)


def _too_large(most: int) -> Problem:
    return Problem(413, "body_too_large", f"a body has at most {most} bytes")


def _misshapen(message: str) -> Problem:
    """The 400 for a body that does not fit its model; the text names the field."""
    at, named = _FIELD.search(message), _NAMED_FIELD.search(message)
    field = ".".join(found[1] for found in (at, named) if found is not None)
    if "matching regex" in message:
        return malformed(field, NOT_A_RATE if repr(RATE_PATTERN) in message else NOT_A_NAME)
    return malformed(field, _FIELD.sub("", message))


def _key(header: str | None, requested: PlaceOrderRequest) -> str:
    key = header or requested.client_order_id or requested.idempotency_key
    if key is None:
        raise Problem(400, "missing_key", "give a header Idempotency-Key, or client_order_id in the body")
    if (requested.client_order_id or key) != key or (requested.idempotency_key or key) != key:
        raise Problem(400, "different_keys", "Idempotency-Key, client_order_id and idempotency_key must be equal")
    return key


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise malformed("", DUPLICATE_FIELD)


def _absent(name: str) -> str:
    raise malformed(name, "is required")
