"""What the command line does with a gateway that has not heard from the engine yet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from app.commands import gateway
from app.commands.gateway import change

PATH = "/api/v1/orders/7/cancel"


@asynccontextmanager
async def _gateway(*statuses: int) -> AsyncIterator[tuple[str, list[str]]]:
    """Its address, and the keys of what it was asked; the last status stays. The engine cannot be slow to order."""
    left, keys = list(statuses), []

    async def cancel(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        return web.json_response({"order_id": "7"}, status=left.pop(0) if len(left) > 1 else left[0])

    application = web.Application()
    application.router.add_post(PATH, cancel)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", keys
    finally:
        await runner.cleanup()


async def test_a_change_is_asked_again_under_its_key_until_it_is_done() -> None:
    """202 is no answer to somebody at a terminal; whatever else comes is."""
    async with _gateway(202, 202, 200) as (url, keys):
        assert await change(url, PATH) == (200, {"order_id": "7"})
    assert len(keys) == 3 and len(set(keys)) == 1
    async with _gateway(409) as (url, keys):
        assert await change(url, PATH, "mine") == (409, {"order_id": "7"})
    assert keys == ["mine"]


async def test_a_change_that_is_not_done_for_long_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is durable, and what became of it can be asked later."""
    monkeypatch.setattr(gateway, "ENGINE_TIMEOUT_S", 1)
    async with _gateway(202) as (url, keys):
        assert await change(url, PATH) == (202, {"order_id": "7"})
    assert len(keys) > 1 and len(set(keys)) == 1
