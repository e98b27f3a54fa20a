"""Defines routes, and serves them with or without a trailing slash and with errors as problems."""

from typing import Any, Literal, NamedTuple

from aiohttp import web

from app import app
from app.models.api_keys import KeyRole
from web.edge.connections import bound_connections, require_port
from web.edge.names import guard_names
from web.edge.problems import Handler, answer_broken_http, problems

JSON = "application/json"
# `batch` is not an order id: an unsupported method on `/orders/batch` is 405, not an unknown order (404).
_ORDER_ID = r"{order_id:(?!batch/?$)[^{}/]+}"


class Parameter(NamedTuple):
    """A parameter of a call: its type for msgspec, and its description."""

    name: str
    type: Any
    description: str
    place: Literal["query", "header"] = "query"
    required: bool = False
    example: str | None = None


class Call(NamedTuple):
    """The parameters, body and answers of a call, for the OpenAPI document; its text is the handler's docstring."""

    tag: str
    answers: dict[int, Any]
    """Status -> type of the body."""
    problems: tuple[int, ...] = ()
    """The statuses of its problems, besides 400 for a malformed request."""
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    is_body_optional: bool = False
    example: Any = None
    """A body that a new venue accepts unchanged."""
    content_type: str = JSON
    text_type: str | None = None
    """A 200 is also answered as text of this type, to clients that ask for it."""
    headers: tuple[str, ...] = ()
    """Headers of a 200 beside those of every answer."""


class Route(NamedTuple):
    """A method and path of the API, with its role, its handler and a summary."""

    method: str
    path: str
    role: KeyRole | None
    """The lowest role that may call it. None: open to all, for probes, Prometheus and the API documentation."""
    handler: Handler
    summary: str
    call: Call | None = None


def serve_routes(routes: tuple[Route, ...], has_keys: bool = False, second_port: int = 0) -> web.Application:
    """Make the worker's web server serve these routes."""
    web_app: web.Application = app.web.web_app
    if app.conf.web_transport.scheme != "unix":
        require_port(app.conf.web_bind, app.conf.web_port)
    answer_broken_http()
    bound_connections(app.web, app.conf.web_bind, second_port)
    web_app.middlewares.append(problems)
    guard_names(web_app, has_keys)
    for route in routes:
        served = route.path.replace("{order_id}", _ORDER_ID)
        for path in {served, served.rstrip("/") + "/"}:
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                web_app.router.add_route(method, path, route.handler)
    return web_app
