"""A real HTTP server that answers as it is told: the n-th request gets the n-th word of its script."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

Word = int | str  # a status, or "reset", or "silence"
BODY = {"order_id": "0" * 36, "status": "pending_new"}


class Misbehaving:
    """What was asked of it, and what it will answer; after the script everything gets `default`."""

    def __init__(self, script: list[Word], default: Word = 201) -> None:
        self.script, self.default = script, default
        self.asked: list[tuple[str, str, str | None, bytes]] = []
        self.preferences: list[str | None] = []
        self.url = ""
        self.patience_s = 1.0 if "silence" in script else 10.0
        """How long a client should wait for an answer: only a silence has to end."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request.method, request.path, request.headers.get("Idempotency-Key"), body))
        self.preferences.append(request.headers.get("Prefer"))
        word = self.script.pop(0) if self.script else self.default
        if word == "reset":
            assert request.transport is not None
            request.transport.abort()
        if word == "silence":
            await asyncio.sleep(3600)
        status = word if isinstance(word, int) else 500
        return web.json_response(BODY, status=status)


@asynccontextmanager
async def misbehaving(*script: Word, default: Word = 201, port: int = 0) -> AsyncIterator[Misbehaving]:
    """Serve on this port of 127.0.0.1, or a free one."""
    server = Misbehaving(list(script), default)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()
