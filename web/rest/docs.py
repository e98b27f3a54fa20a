"""Serves the API's documentation from this process alone: the page `/docs`, its script and the OpenAPI document."""

from pathlib import Path
from typing import Any

from aiohttp import web

from web.edge.answers import answer

STATIC = Path(__file__).parents[1] / "static"
DOCUMENT: web.AppKey[dict[str, Any]] = web.AppKey("openapi", dict[str, Any])
STREAMS: web.AppKey[dict[str, Any]] = web.AppKey("asyncapi", dict[str, Any])
# RapiDoc writes styles into the page. Everything else must come from this server, and no page may frame this one.
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


async def openapi(request: web.Request) -> web.StreamResponse:
    """The OpenAPI document of this API."""
    return answer(request.app[DOCUMENT])


async def asyncapi(request: web.Request) -> web.StreamResponse:
    """The AsyncAPI document: what the WebSockets take and send."""
    return answer(request.app[STREAMS])


async def docs(request: web.Request) -> web.StreamResponse:
    """The API as a page for browsers."""
    return web.FileResponse(STATIC / "docs.html", headers=HEADERS)


async def rapidoc(request: web.Request) -> web.StreamResponse:
    """The page's script, unchanged from its authors (web/static/README.md)."""
    return web.FileResponse(STATIC / "rapidoc-min.js", headers=HEADERS)
