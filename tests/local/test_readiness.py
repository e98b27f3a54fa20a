"""When a venue is ready: all its workers at the same look."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from app.local import venue as module
from app.local.ports import HOST
from app.local.problems import CannotStart
from app.local.venue import Venue

NO, YES = 503, 200


@asynccontextmanager
async def _readyz(port: int, answers: list[int]) -> AsyncIterator[None]:
    """A worker's page with these answers one after the other: a real worker begins again when it likes."""

    async def readyz(request: web.Request) -> web.Response:
        return web.Response(status=answers.pop(0))

    application = web.Application()
    application.router.add_get("/readyz", readyz)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield
    finally:
        await runner.cleanup()


async def test_a_worker_that_begins_again_is_waited_for(tmp_path: Path) -> None:
    """The first is ready alone; the second joins and is ready; the first, which has handed over, is so again last."""
    pair = Venue(tmp_path, {"matching": 2})
    answers = [[YES, YES, NO, NO, YES, NO], [NO, NO, YES, YES, YES, NO]]
    async with AsyncExitStack() as pages:
        for slot in (0, 1):
            await pages.enter_async_context(_readyz(pair.ports.get(f"matching-{slot}"), answers[slot]))
        await pair.wait_all_ready()
    assert answers == [[NO], [NO]]


async def test_one_that_stays_silent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its log; here it takes the connection and never answers."""
    monkeypatch.setattr(module, "READY_TIMEOUT_S", 0.0)
    monkeypatch.setattr(module, "LOOK_TIMEOUT_S", 2.0)
    pair = Venue(tmp_path, {"matching": 2})
    with socket.create_server((HOST, pair.ports.get("matching-1"))):
        async with _readyz(pair.ports.get("matching-0"), [YES]):
            with pytest.raises(CannotStart) as refused:
                await pair.wait_all_ready()
    assert str(refused.value) == f"matching 1 was not ready within 0 s: see {pair.log('matching-1')}."
