"""Bounds the web server's connections in number, size and time; aiohttp only closes idle ones, after an hour.

A sweep every second ends connections that take too long, so that requests need no timers of their own.
"""

import asyncio
import logging
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, ClassVar

import orjson
from aiohttp import web, web_server
from aiohttp.web_protocol import RequestHandler

from app import settings
from app.streaming.failstop import end_process
from web import metrics
from web.edge.answers import RETRY_SOON
from web.edge.problems import CONTENT_TYPE, Problem

HEAD_TIMEOUT_S = 10.0  # from a request's first byte, or from the connection, to the end of its headers
IDLE_TIMEOUT_S = 75.0  # between requests: longer than balancers keep their connections
REQUEST_TIMEOUT_S = 60.0  # from a request's headers to the last byte of its answer; a WebSocket may stay
UNREAD_TIMEOUT_S = 2.0  # for bytes that a client still sends after its answer; the server does not read them
SHUTDOWN_TIMEOUT_S = 6.0  # for running requests when the server closes: longer than Kafka's acknowledgement
MAX_LINE_BYTES = 8 * 1024 - 2  # of the request line (below: of a header); aiohttp's own limits, 400 beyond
MAX_HEADER_BYTES = 8 * 1024 - 2
MAX_HEADERS = 128
# Connections that the kernel keeps until we accept them: as many as Linux allows by default (somaxconn). With 128,
# aiohttp's default, it dropped most of a burst, and their first requests waited half a minute for TCP to try again.
BACKLOG = 4_096
SURPLUS = 100  # connections beyond the limit that still get an answer; more are cut off
OTHER_FILES = 500  # open files besides client connections: Kafka, Postgres, Valkey, logs
SWEEP_INTERVAL_S = 1.0

BIND, SECOND_PORT = web.AppKey("bind", str), web.AppKey("second_port", int)

_log = logging.getLogger(__name__)


class Connection(RequestHandler):
    """aiohttp's connection, counted against the limit and watched by the sweep."""

    __slots__ = ("_began", "_head_since", "_is_surplus", "_left_at")

    open: ClassVar[set["Connection"]] = set()
    most: ClassVar[int] = 0

    def connection_made(self, transport: Any) -> None:
        """Count the connection. Beyond the limit, answer its first request with 503; SURPLUS beyond it, cut it off."""
        count = len(self.open)
        self._is_surplus = count >= self.most
        self._began = self._loop.time()
        self._head_since: float | None = self._began
        self._left_at: float | None = None
        super().connection_made(transport)
        self.open.add(self)
        if self._is_surplus:
            metrics.http_refused.labels("surplus").inc()
        if count >= self.most + SURPLUS:
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop counting the connection."""
        self.open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note since when the headers are incomplete."""
        super().data_received(data)
        if self._waiter is None or self._waiter.done():
            self._head_since = None
        elif self._head_since is None:
            self._head_since = self._loop.time()

    def sweep(self, now: float) -> None:
        """End the connection if it takes too long."""
        if self.transport is None or self._payload_parser is not None:  # closed, or a WebSocket (it has its own pings)
            return
        if self._left_at is not None:
            if now - self._left_at > UNREAD_TIMEOUT_S:
                self.force_close()
        elif self._request_in_progress:
            # Each of our own steps has a time limit, so this client does not read its answer.
            if now - self._began > REQUEST_TIMEOUT_S:
                metrics.http_refused.labels("request").inc()
                self.transport.abort()
        elif self._head_since is not None and now - self._head_since > HEAD_TIMEOUT_S:
            metrics.http_refused.labels("head").inc()
            self._leave(_too_late(), now)

    def _leave(self, answer: bytes, now: float) -> None:
        """Send a last answer, and close later: closing at once, with bytes unread, would lose the answer."""
        transport: Any = self.transport
        transport.write(answer)
        transport.write_eof()
        self.close()
        self._left_at = now

    def _handle_request(self, request: Any, start_time: float | None, request_handler: Any) -> Any:
        self._began = self._loop.time()
        return super()._handle_request(request, start_time, _refuse if self._is_surplus else request_handler)


class _Runner(web.AppRunner):
    """Serves one application on Faust's port, and on a second one where that is free."""

    async def setup(self) -> None:
        """Listen on the second port; Faust does so on the first one."""
        await super().setup()
        port = self.app[SECOND_PORT]
        if port:
            try:
                await web.TCPSite(self, self.app[BIND], port, backlog=BACKLOG).start()
            except OSError as error:
                _log.warning("port %d is not served: %s", port, error.strerror)


def bound_connections(faust_web: Any, bind: str = "127.0.0.1", second_port: int = 0) -> None:
    """Apply these limits to Faust's web server, and listen on a second port (0: on none)."""
    web_server.RequestHandler = Connection  # type: ignore[attr-defined]
    Connection.most = min(settings.max_connections, _files() - OTHER_FILES)
    faust_web.web_app[BIND], faust_web.web_app[SECOND_PORT] = bind, second_port
    faust_web._runner = runner = _Runner(
        faust_web.web_app,
        access_log=None,
        keepalive_timeout=IDLE_TIMEOUT_S,
        lingering_time=UNREAD_TIMEOUT_S,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
    )
    faust_web._transport_handlers["tcp"] = lambda: web.TCPSite(
        runner, bind, faust_web.app.conf.web_port, backlog=BACKLOG
    )
    runner.app.cleanup_ctx.append(_sweeping)


def require_port(bind: str, port: int) -> None:
    """End the process with one sentence if the port is taken; Faust would end it without naming the cause."""
    family, kind, *_, address = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            end_process(f"cannot listen on {bind}:{port} ({error.strerror}): give this process another WEB_PORT")


def _files() -> int:
    """Raise the limit of open files as far as needed and allowed; return the new limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + OTHER_FILES + SURPLUS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


async def _sweeping(_: web.Application) -> AsyncIterator[None]:
    sweeper = asyncio.create_task(_sweep())
    yield
    sweeper.cancel()
    with suppress(asyncio.CancelledError):
        await sweeper


async def _sweep() -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_INTERVAL_S)
        metrics.http_connections.set(len(Connection.open))
        for connection in list(Connection.open):
            connection.sweep(loop.time())


async def _refuse(request: web.BaseRequest) -> web.StreamResponse:
    sentence = f"{Connection.most} connections are open already"
    return Problem(503, "overloaded", sentence, {**RETRY_SOON, "Connection": "close"}).response(request.path)


def _too_late() -> bytes:
    """The bytes of a complete 408 answer: the request is incomplete, so aiohttp cannot answer it."""
    problem = Problem(408, "request_timeout", f"the headers did not come within {HEAD_TIMEOUT_S:.0f} s")
    body = orjson.dumps(problem.body(""))
    head = f"HTTP/1.1 408 Request Timeout\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body
