"""Serves the page at `/` and its files: read and compressed once, at the start, and named by their digest."""

import gzip
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from web.edge.problems import Problem
from web.rest.docs import STATIC

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".txt": "text/plain",
}
"""Only files with these endings are served; SHA256SUMS is not."""
FOLDERS = ("page", "vendor")
INDEX = "index.html"
# Unlike the policy of /docs it allows no inline style: the page's own code writes none.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # The browser keeps the file and asks each time whether it has changed: a newer gateway shows its newer page.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


class File(NamedTuple):
    """A file as it is sent."""

    body: bytes
    compressed: bytes
    content_type: str
    digest: str


def _read(path: Path) -> File:
    body = path.read_bytes()
    return File(body, gzip.compress(body, mtime=0), TYPES[path.suffix], sha256(body).hexdigest()[:32])


def files() -> dict[str, File]:
    """Every file of the page by its name below `/static/`; the page itself is `index.html`."""
    found = [path for folder in FOLDERS for path in (STATIC / folder).rglob("*") if path.suffix in TYPES]
    return {path.relative_to(STATIC).as_posix(): _read(path) for path in [STATIC / INDEX, *found]}


FILES: web.AppKey[dict[str, File]] = web.AppKey("page", dict[str, File])


async def index(request: web.Request) -> web.StreamResponse:
    """The page."""
    return _answer(request, INDEX)


async def static(request: web.Request) -> web.StreamResponse:
    """A file of the page."""
    return _answer(request, request.match_info["file"])


def _answer(request: web.Request, name: str) -> web.StreamResponse:
    file = request.app[FILES].get(name)
    if file is None:
        raise Problem(404, "not_found", f"no file {name[:64]!r}")
    headers = HEADERS | {"ETag": f'"{file.digest}"'}
    if any(etag.value == file.digest for etag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers = file.compressed, headers | {"Content-Encoding": "gzip"}
    else:
        body = file.body
    return web.Response(body=body, content_type=file.content_type, charset="utf-8", headers=headers)
