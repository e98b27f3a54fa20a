"""The web server of a worker without an API: whether it lives and is ready, and its figures."""

from typing import Any

import orjson
from aiohttp import web

from app import app, settings
from web.metrics import metrics
from web.routes import Route, serve_routes


async def healthz(request: web.Request) -> web.StreamResponse:
    """200 while the process serves requests."""
    return _answer({"status": "ok", "role": settings.role, "slot": settings.slot}, 200)


async def readyz(request: web.Request) -> web.StreamResponse:
    """200 once partitions are assigned and what belongs to them is loaded."""
    ready = app.tables.actives_ready and not app.rebalancing
    return _answer({"status": "ready" if ready else "not ready", "role": settings.role}, 200 if ready else 503)


ROUTES = (
    Route("GET", "/healthz", healthz, "Whether this process lives"),
    Route("GET", "/readyz", readyz, "Whether this process works"),
    Route("GET", "/metrics", metrics, "Figures for Prometheus"),
)


def _answer(body: Any, status: int) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


@app.at_worker_start
def serve() -> None:
    """Only a worker has a web server. Its figures are nobody else's business, so pages of other sites are refused."""
    serve_routes(ROUTES)
