"""Answers in JSON, and questions to Postgres that may go unanswered."""

from collections.abc import Awaitable
from typing import Any, TypeVar

import orjson
from aiohttp import web

from app.matching.words import Reason
from app.postgres import HistoryUnavailable
from web.edge.problems import Problem

JSON = "application/json"
RETRY_SOON = {"Retry-After": "1"}
T = TypeVar("T")


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, body=orjson.dumps(body), content_type=JSON, headers=headers)


async def asked(question: Awaitable[T]) -> T:
    """What Postgres answers; 503 when it is away."""
    try:
        return await question
    except HistoryUnavailable as error:
        sentence = "history is not available: Postgres does not answer; order entry and books go on"
        raise Problem(503, "history_unavailable", sentence, RETRY_SOON) from error


def order_path(order_id: str) -> dict[str, str]:
    """The header that says where an order is found."""
    return {"Location": f"/api/v1/orders/{order_id}"}


def unknown_order(order_id: str) -> Problem:
    """The 404 of an order that nobody knows, or that is somebody else's."""
    return Problem(404, Reason.UNKNOWN_ORDER, f"no order {order_id[:64]}")
