"""A venue is ready when all its workers are ready in the same round of polling."""

import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.local import venue as module
from app.local.ports import HOST
from app.local.problems import CannotStart
from app.local.venue import Venue
from tests.load.misbehaving import misbehaving

NO, YES = 503, 200


async def test_a_worker_that_begins_again_is_waited_for(tmp_path: Path) -> None:
    """The first is ready alone; the second joins and is ready; the first, which has handed over, is so again last.

    Pages that answer as told stand for the workers: a real one begins again when it likes.
    """
    pair = Venue(tmp_path, {"matching": 2})
    answers = [[YES, YES, NO, NO, YES, NO], [NO, NO, YES, YES, YES, NO]]
    async with AsyncExitStack() as pages:
        ports = [pair.ports.get(f"matching-{slot}") for slot in (0, 1)]
        served = [
            await pages.enter_async_context(misbehaving(*script, port=port))
            for script, port in zip(answers, ports, strict=True)
        ]
        await pair.wait_all_ready()
    assert [page.script for page in served] == [[NO], [NO]]
    assert {asked[:2] for page in served for asked in page.asked} == {("GET", "/readyz")}


async def test_one_that_stays_silent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names its log; here a worker accepts the connection and never answers."""
    monkeypatch.setattr(module, "READY_TIMEOUT_S", 0.0)
    monkeypatch.setattr(module, "LOOK_TIMEOUT_S", 2.0)
    pair = Venue(tmp_path, {"matching": 2})
    with socket.create_server((HOST, pair.ports.get("matching-1"))):
        async with misbehaving(YES, port=pair.ports.get("matching-0")):
            with pytest.raises(CannotStart) as refused:
                await pair.wait_all_ready()
    assert str(refused.value) == f"matching 1 was not ready within 0 s: see {pair.log('matching-1')}."
