"""Waits until Postgres has recorded enough for an answer: until then, a missing row proves nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from app.postgres import HistoryUnavailable
from web.gateway import Gateway
from web.refused import RETRY_SOON_S, Refused

PATIENCE_S = 2.0  # recording is some tenths of a second behind, and more under load
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.3
BEHIND = "recording is behind, and Postgres may not have the requested rows yet; order entry and books still work"

Recorded = Mapping[str, int]
T = TypeVar("T")


async def ask_history(question: Awaitable[T]) -> T:
    """Postgres' answer; raises Refused if Postgres is away."""
    try:
        return await question
    except HistoryUnavailable as error:
        sentence = "history is not available: Postgres does not answer; order entry and books still work"
        raise Refused("history_unavailable", sentence, RETRY_SOON_S) from error


async def require(gateway: Gateway, suffices: Callable[[Recorded], bool]) -> None:
    """Wait until the recorded seqs (the last of each instrument) suffice; raises Refused after PATIENCE_S."""
    if not await _until(gateway, suffices, PATIENCE_S):
        raise Refused("history_behind", BEHIND, RETRY_SOON_S)


async def require_seqs(gateway: Gateway, seqs: Recorded) -> None:
    """Wait until Postgres has recorded each instrument up to its seq; raises Refused."""
    await require(gateway, partial(_has, seqs))


async def behind(gateway: Gateway, patience_s: float) -> int:
    """How many of the reports that the gateway has now are still unrecorded after this time. Raises Refused."""
    seqs = {name: market.seq for name, market in gateway.feed.markets.items()}
    if await _until(gateway, partial(_has, seqs), patience_s):
        return 0
    recorded = await ask_history(gateway.history.recorded_seqs())
    return sum(max(0, seq - recorded.get(name, 0)) for name, seq in seqs.items())


async def _until(gateway: Gateway, suffices: Callable[[Recorded], bool], patience_s: float) -> bool:
    loop, pause_s = asyncio.get_running_loop(), FIRST_PAUSE_S
    give_up = loop.time() + patience_s
    while not suffices(await ask_history(gateway.history.recorded_seqs())):
        if loop.time() > give_up:
            return False
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return True


def _has(seqs: Recorded, recorded: Recorded) -> bool:
    return all(recorded.get(name, 0) >= seq for name, seq in seqs.items())
