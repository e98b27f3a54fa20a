"""The web server of a worker without an API: it serves health, readiness and metrics."""

from typing import Any

import orjson
from aiohttp import web

from app import app, settings
from app.streaming.failstop import damaged_log
from app.streaming.waiting import waits_for
from app.streaming.watchdog import standing_still
from web.edge.routes import Route, serve_routes
from web.edge.scraping import metrics


async def healthz(request: web.Request) -> web.StreamResponse:
    """200 while the process serves requests."""
    return _answer({"status": "ok", "role": settings.role, "slot": settings.slot}, 200)


async def readyz(request: web.Request) -> web.StreamResponse:
    """200 once the worker's partitions are assigned and their state is loaded, as long as work advances.

    `waits_for` names what blocks the work. A worker that waits for another program is degraded, not unready, because a
    restart would not help.
    """
    is_assigned, reason = app.tables.actives_ready and not app.rebalancing, waits_for()
    held_up = damaged_log() or ("its partitions" if not is_assigned else None if reason else standing_still())
    status = "not ready" if held_up else "degraded" if reason else "ready"
    body = {"status": status, "role": settings.role} | ({"waits_for": reason or held_up} if reason or held_up else {})
    return _answer(body, 503 if held_up else 200)


ROUTES = (
    Route("GET", "/healthz", None, healthz, "Whether this process lives"),
    Route("GET", "/readyz", None, readyz, "Whether this process works"),
    Route("GET", "/metrics", None, metrics, "Figures for Prometheus"),
)


def _answer(body: Any, status: int) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


@app.at_worker_start
def serve() -> None:
    """Start the web server, in workers only. It refuses requests from pages of other sites, to protect the metrics."""
    serve_routes(ROUTES)
