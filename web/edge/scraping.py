"""`/metrics`: how Prometheus asks a process for its figures."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


async def metrics(request: web.Request) -> web.Response:
    """All figures in Prometheus' text format."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
