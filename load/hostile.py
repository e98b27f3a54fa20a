"""Requests that the venue must refuse: one for each kind of malformed or malicious input."""

from collections.abc import Callable
from random import Random

from app.verification.ledger import ORDERS_PATH, Kind, Request, order_name
from load.request import cancel, unknown_id

TOO_LONG = 65
OVER_BODY_LIMIT = 70_000
GOOD = '{"client_id":"mallory","instrument":"BTC-USD","side":"buy","type":"limit","price":"70000.00","quantity":"1.00"}'


def _body(body: str | bytes) -> Callable[[str], Request]:
    """A request with this body; `about` names the order that it would make if the venue accepted it."""
    raw = body.encode() if isinstance(body, str) else body

    def make(key: str) -> Request:
        made = order_name("mallory", "BTC-USD", key)
        return Request(Kind.HOSTILE, "POST", ORDERS_PATH, raw, key, made, must_refuse=True)

    return make


def _instead(old: str, new: str) -> Callable[[str], Request]:
    assert old in GOOD
    return _body(GOOD.replace(old, new))


def _without_key(key: str) -> Request:
    return _body(GOOD)(key)._replace(key=None, about=None)


def _as_text(key: str) -> Request:
    return _body(GOOD)(key)._replace(content_type="text/plain")


def _key_with_spaces(key: str) -> Request:
    return _body(GOOD)(key)._replace(key=f"{key} {key}", about=None)


def _elsewhere(method: str, path: str) -> Callable[[str], Request]:
    return lambda key: Request(Kind.HOSTILE, method, path, b"", key, must_refuse=True)


def _unlisted(key: str) -> Request:
    """An order for an unlisted instrument; a gateway that does not know all of them yet may leave it to the engine."""
    body = GOOD.replace("BTC-USD", "NO-SUCH")
    return _body(body)(key)._replace(about=None, must_refuse=False)


def _cancel_of_nothing(key: str) -> Request:
    """A cancel of an unknown order; if matching is down, a gateway answers 202 before the engine can refuse it."""
    return cancel(unknown_id("mallory", "BTC-USD", key), key)._replace(kind=Kind.HOSTILE)


HOSTILE: dict[str, Callable[[str], Request]] = {
    "broken JSON": _body(GOOD[:40]),
    "not an object": _body('["buy"]'),
    "null": _body("null"),
    "empty": _body(""),
    "not UTF-8": _body(GOOD.replace("mallory", "mall\udcff").encode("utf-8", "surrogateescape")),
    "negative quantity": _instead('"1.00"', '"-1.00"'),
    "quantity zero": _instead('"1.00"', '"0.00"'),
    "quantity true": _instead('"1.00"', "true"),
    "quantity as a list": _instead('"1.00"', "[1]"),
    "enormous exponent": _instead('"1.00"', '"1E+1000000"'),
    "enormous number": _instead('"1.00"', "1e400"),
    "NaN": _instead('"1.00"', "NaN"),
    "Arabic digits": _instead('"1.00"', '"\u0661"'),
    "nine decimals": _instead('"70000.00"', '"70000.000000001"'),
    "negative price": _instead('"70000.00"', '"-70000.00"'),
    "limit without a price": _instead(',"price":"70000.00"', ""),
    "unknown side": _instead('"buy"', '"hold"'),
    "unknown type": _instead('"limit"', '"wish"'),
    "no instrument": _instead('"instrument":"BTC-USD",', ""),
    "unlisted instrument": _unlisted,
    "reserved instrument": _instead('"BTC-USD"', '"_partition-0"'),
    "unknown field": _instead('"side"', '"admin":true,"side"'),
    "client id too long": _instead("mallory", "m" * TOO_LONG),
    "client id with a line break": _instead("mallory", "mal\\nlory"),
    "deep nesting": _body('{"client_id":' + "[" * 2_000 + "]" * 2_000 + "}"),
    "body too large": _instead("mallory", "m" * OVER_BODY_LIMIT),
    "no key": _without_key,
    "key with spaces": _key_with_spaces,
    "body as text": _as_text,
    "unknown path": _elsewhere("POST", "/api/v1/nothing"),
    "unknown verb for orders": _elsewhere("PUT", ORDERS_PATH),
    "cancel of an id that is none": _elsewhere("POST", f"{ORDERS_PATH}/not-an-id/cancel"),
    "cancel of an order that never was": _cancel_of_nothing,
}
NAMES = tuple(HOSTILE)


def hostile(random: Random, key: str) -> Request:
    """A random one of these requests, under this key."""
    return HOSTILE[NAMES[random.randrange(len(NAMES))]](key)


def other_body(earlier: Request) -> Request:
    """An earlier order's key with another quantity: refused while the key is remembered, and never a second order."""
    body = earlier.body.replace(b'"quantity":"', b'"quantity":"1').replace(b'"quantity": ', b'"quantity": 1')
    return earlier._replace(kind=Kind.HOSTILE, body=body)
