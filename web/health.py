"""Whether a gateway lives and may be given requests: Kafka and the feed decide, Postgres and Valkey only degrade."""

import asyncio

from aiohttp import web

from app.postgres import HistoryUnavailable
from web.answers import RETRY_SOON, answer
from web.gateway import GATEWAY, Gateway
from web.problems import Problem
from web.recorded import behind

OK = "ok"
HISTORY_PATIENCE_S = 1.0  # recording that takes longer is called behind


async def healthz(request: web.Request) -> web.StreamResponse:
    """200 while the process serves requests."""
    return answer({"status": "ok"})


async def readyz(request: web.Request) -> web.StreamResponse:
    """200 when orders can be taken; what is degraded is said in words."""
    gateway = request.app[GATEWAY]
    reachable, postgres, valkey, history = await asyncio.gather(
        gateway.outgoing.is_reachable(), _postgres(gateway), gateway.idempotency.ping(), _history(gateway)
    )
    checks = {
        "gateway": "stopping" if gateway.outgoing.is_closing else "ok",
        "kafka": "ok" if reachable else "away: orders are refused",
        "feed": "ok" if gateway.feed.is_ready else "catching up",
        "keys": _keys(gateway),
        "postgres": "ok" if postgres else "away: history answers 503, order entry and books go on",
        "history": history,
        "valkey": "ok" if valkey else "away: repeats are recognised by the engine alone",
    }
    if not (reachable and gateway.is_ready):
        return answer({"status": "not ready", **checks}, 503, RETRY_SOON)
    is_whole = postgres and valkey and history == OK
    return answer({"status": "ready" if is_whole else "degraded", **checks})


def _keys(gateway: Gateway) -> str:
    if gateway.keyring is None:
        return "off: everybody may do everything"
    return "ok" if gateway.keyring.is_ready else "reading"


async def _history(gateway: Gateway) -> str:
    """Whether Postgres has all that this gateway knows, in words."""
    try:
        missing = await behind(gateway, HISTORY_PATIENCE_S)
    except Problem:
        return "unknown: Postgres does not answer"
    if missing:
        return f"behind: {missing} reports are not recorded; what only they tell answers 503"
    return OK


async def _postgres(gateway: Gateway) -> bool:
    try:
        await gateway.history.instruments()
    except HistoryUnavailable:
        return False
    return True
