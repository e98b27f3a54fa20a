"""The API's description for people and programs: `/docs` and the OpenAPI document, all of it from this process."""

from pathlib import Path
from typing import Any

from aiohttp import web

from web.edge.answers import answer

STATIC = Path(__file__).parents[1] / "static"
DOCUMENT: web.AppKey[dict[str, Any]] = web.AppKey("openapi", dict[str, Any])
# RapiDoc writes its styles into the page; everything else may come from here only, and nothing may frame the page.
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
    """This document."""
    return answer(request.app[DOCUMENT])


async def docs(request: web.Request) -> web.StreamResponse:
    """The API as a page for browsers."""
    return web.FileResponse(STATIC / "docs.html", headers=HEADERS)


async def rapidoc(request: web.Request) -> web.StreamResponse:
    """The script of the page, as its authors publish it (web/static/README.md)."""
    return web.FileResponse(STATIC / "rapidoc-min.js", headers=HEADERS)
