"""Builds JSON answers and the few headers and problems that several handlers share."""

from typing import Any

import orjson
from aiohttp import web

from app.matching.words import Reason
from web.edge.problems import Problem

JSON = "application/json"
CSV = "text/csv"
RETRY_SOON = {"Retry-After": "1"}


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, body=orjson.dumps(body), content_type=JSON, headers=headers)


def up_to(seq: int | None) -> dict[str, str]:
    """The header that says up to which report of the instrument a list has everything; none of several instruments."""
    return {} if seq is None else {"X-Seq": str(seq)}


def order_path(order_id: str) -> dict[str, str]:
    """The `Location` header of an order."""
    return {"Location": f"/api/v1/orders/{order_id}"}


def unknown_order(order_id: str) -> Problem:
    """The 404 for an order that does not exist or belongs to another client."""
    return Problem(404, Reason.UNKNOWN_ORDER, f"no order {order_id[:64]}")
