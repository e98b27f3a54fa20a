"""Health and readiness of a gateway: without Kafka, the feed or matching it is not ready; other faults degrade it."""

import asyncio

from aiohttp import web

from app.postgres import HistoryUnavailable
from app.streaming.failstop import damaged_log
from web.edge.answers import RETRY_SOON, answer
from web.edge.reading import parameters
from web.gateway import Gateway
from web.hosting import GATEWAY
from web.market.matching import Matching
from web.refused import Refused
from web.trading.recorded import behind

OK = "ok"
HISTORY_PATIENCE_S = 1.0  # if recording takes longer, /readyz calls it behind


async def healthz(request: web.Request) -> web.StreamResponse:
    """200 while the process serves requests."""
    return answer({"status": "ok"})


async def readyz(request: web.Request) -> web.StreamResponse:
    """200 when the gateway can take orders; the fields say in words what is degraded."""
    gateway = request.app[GATEWAY]
    reachable, recording, valkey, history = await asyncio.gather(
        gateway.outgoing.is_reachable(), _recording(gateway), gateway.idempotency.ping(), _history(gateway)
    )
    checks = {
        "gateway": "stopping" if gateway.outgoing.is_closing else "ok",
        "kafka": "ok" if reachable else "away: orders are refused",
        "feed": damaged_log() or ("ok" if gateway.feed.is_ready else "catching up"),
        "matching": _matching(gateway.matching),
        "keys": _keys(gateway),
        "postgres": OK if recording else "away: history answers 503, order entry and books still work",
        "recording": recording or "not known: Postgres is away",
        "history": history,
        "valkey": OK if valkey else "away: repeats are recognised by gateways' memory and the engine",
    }
    if not (reachable and gateway.is_ready) or gateway.matching.is_dead or damaged_log():
        return answer({"status": "not ready", **checks}, 503, RETRY_SOON)
    is_whole = recording == history == OK and valkey and not gateway.matching.waiting
    return answer({"status": "ready" if is_whole else "degraded", **checks})


async def pipeline(request: web.Request) -> web.StreamResponse:
    """How far each stage of the pipeline is, and totals: two answers give the rates between them."""
    parameters(request)
    return answer(await request.app[GATEWAY].pipeline.answer())


def _matching(matching: Matching) -> str:
    """The state of matching in words: "ok", or the partitions that wait and whether any others still match."""
    sentences = [matching.waiting[partition_id] for partition_id in sorted(matching.waiting)]
    if not sentences:
        return "ok"
    return "; ".join(["no order is matched" if matching.is_dead else "some orders are not matched", *sentences])


def _keys(gateway: Gateway) -> str:
    if gateway.keyring is None:
        return "off: every caller has full access"
    return "ok" if gateway.keyring.is_ready else "reading"


async def _history(gateway: Gateway) -> str:
    """Whether Postgres has recorded every report that this gateway has, in words."""
    try:
        missing = await behind(gateway, HISTORY_PATIENCE_S)
    except Refused:
        return "unknown: Postgres does not answer"
    if missing:
        return f"behind: {missing} reports are not recorded; what only they tell answers 503"
    return OK


async def _recording(gateway: Gateway) -> str | None:
    """The state of recording in words; None while Postgres is away."""
    try:
        return await gateway.agreement.recording(gateway.feed.applied)
    except HistoryUnavailable:
        return None
