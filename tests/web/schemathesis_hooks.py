"""For schemathesis: most of what it makes up is about a market and orders that exist, so that it gets past the 404s."""

import os
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import schemathesis

MARKET = os.environ["SCHEMATHESIS_MARKET"]
HALTED = os.environ["SCHEMATHESIS_HALTED"]
"""The market that is halted and resumed: on the other one orders go on."""
PLACE = "POST /api/v1/orders"
LIST = "POST /api/v1/instruments"
MAX_KNOWN = 50
_IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,8})?", re.ASCII)
_order_ids: list[str] = []


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Four times in five put the market for any valid name of one, and likewise orders, numbers and keys."""
    if case.operation.label == LIST:
        _put(case.body, lambda name: f"S-{name}"[:64])
        return
    if case.operation.label.startswith("POST /api/v1/instruments/"):
        _put(case.path_parameters, lambda _: HALTED)
        return
    body = case.body if isinstance(case.body, dict) else {}
    orders = body.get("orders")
    for members in (case.path_parameters, case.query, body, *(orders if isinstance(orders, list) else [])):
        if isinstance(members, dict) and len(repr(members)) % 5:
            _make_real(members)
    if case.headers and _is(_IDENTIFIER, case.headers.get("Idempotency-Key")):
        case.headers["Idempotency-Key"] = str(uuid4())


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remember the orders that were made."""
    if case.operation.label == PLACE and response.status_code == 201:
        _order_ids.append(response.json()["order_id"])
        del _order_ids[:-MAX_KNOWN]


def _put(members: Any, instrument: Callable[[str], str]) -> None:
    """What changes a market is for one that the run makes, or for one of its own."""
    if isinstance(members, dict) and _is(_IDENTIFIER, members.get("instrument")):
        members["instrument"] = instrument(members["instrument"])


def _make_real(members: dict[str, Any]) -> None:
    """What is valid becomes likely; what is meant to be wrong stays as it is."""
    if _is(_IDENTIFIER, members.get("instrument")):
        members["instrument"] = MARKET
    if members.get("type") in ("limit", "market", "stop", "stop_limit") and len(repr(members)) % 2:
        _make_plain(members)
    order_id = members.get("order_id")
    if _is(_IDENTIFIER, order_id) and len(order_id) == 36 and _order_ids:
        members["order_id"] = _order_ids[sum(order_id.encode()) % len(_order_ids)]


def _make_plain(order: dict[str, Any]) -> None:
    """A limit order without refinements."""
    order["type"] = "limit"
    if order.get("client_id") is None:
        order["client_id"] = "ann"  # which only an API key would tell
    if order.get("time_in_force") in ("IOC", "FOK", "GTD"):
        order["time_in_force"] = "GTC"
    if _is(_DECIMAL, order.get("quantity")):
        order["quantity"] = "1"
    if order.get("price") is None or _is(_DECIMAL, order["price"]):
        order["price"] = "2"
    for name in ("stop_price", "display_quantity", "expire_time", "deadline"):
        if order.get(name) is None or _is(_DECIMAL, order[name]):
            order.pop(name, None)
    if isinstance(order.get("post_only"), bool):
        del order["post_only"]


def _is(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
