"""Whether a gateway lives and may be given requests: Kafka and the feed decide, Postgres and Valkey only degrade."""

from aiohttp import web

from app.postgres import HistoryUnavailable
from web.gateway import GATEWAY, Gateway
from web.orders import answer


async def healthz(request: web.Request) -> web.StreamResponse:
    """200 while the process serves requests."""
    return answer({"status": "ok"})


async def readyz(request: web.Request) -> web.StreamResponse:
    """200 when orders can be taken; what is degraded is said in words."""
    gateway = request.app[GATEWAY]
    kafka = "not acknowledging" if gateway.kafka_away else "ok"
    feed = "ok" if gateway.feed.caught_up else "catching up"
    ready = kafka == feed == "ok" and bool(gateway.feed.markets)
    checks = {"kafka": kafka, "feed": feed, "postgres": await _postgres(gateway), "valkey": await _valkey(gateway)}
    return answer({"status": "ready" if ready else "not ready", **checks}, 200 if ready else 503)


async def _postgres(gateway: Gateway) -> str:
    try:
        await gateway.history.instruments()
    except HistoryUnavailable:
        return "away: history answers 503, order entry and books go on"
    return "ok"


async def _valkey(gateway: Gateway) -> str:
    return "ok" if await gateway.idempotency.ping() else "away: repeats are recognised by the engine alone"
