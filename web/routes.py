"""What a route is, and how routes are served: with or without a trailing slash, errors as problems."""

from typing import NamedTuple

from aiohttp import web
from faust.web.base import BlueprintManager

from app import app
from web.connections import bound_connections
from web.problems import Handler, answer_broken_http, problems


class Route(NamedTuple):
    """A call of the API and what it is for."""

    method: str
    path: str
    handler: Handler
    summary: str


def serve_routes(routes: tuple[Route, ...]) -> web.Application:
    """Let the worker's web server serve these routes, and none of Faust's own."""
    app.web.blueprints = BlueprintManager([])
    web_app: web.Application = app.web.web_app
    answer_broken_http()
    bound_connections(app.web)
    web_app.middlewares.append(problems)
    for route in routes:
        for path in (route.path, route.path + "/"):
            web_app.router.add_route(route.method, path, route.handler)
    return web_app
