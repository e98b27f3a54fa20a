"""Book snapshots over HTTP: take new ones, and read the recorded ones."""

import asyncio
from typing import Any
from uuid import uuid4

from aiohttp import web

from app.models.commands import SnapshotBook
from web.edge.answers import answer, up_to
from web.edge.reading import body_of, header_key, identifier, number, parameters
from web.gateway import Gateway
from web.hosting import GATEWAY
from web.rest.changing import chosen_instruments, refusal
from web.trading.carrying_out import carry_out
from web.trading.recorded import ask_history, require_seqs

DEFAULT_SNAPSHOTS = 10
MAX_SNAPSHOTS = 100  # each may be a book of many levels


async def take_snapshots(request: web.Request) -> web.StreamResponse:
    """The seq of the snapshot of one instrument, or of each: a report with every level, which Postgres then has.

    202 when the engine does not answer in time.
    """
    gateway, given = request.app[GATEWAY], parameters(request, "instrument")
    await body_of(request)
    key = header_key(request) or uuid4().hex
    instruments = chosen_instruments(gateway, given.get("instrument"))
    results = await asyncio.gather(*(_take_snapshot(gateway, instrument, key) for instrument in instruments))
    return answer({"results": results}, 202 if any(result["seq"] is None for result in results) else 200)


async def list_snapshots(request: web.Request) -> web.StreamResponse:
    """Recorded snapshots, newest first: all levels of both sides, best first."""
    given = parameters(request, "instrument", "limit")
    instrument = identifier("instrument", given["instrument"]) if "instrument" in given else None
    limit, gateway = number(given, "limit", DEFAULT_SNAPSHOTS, MAX_SNAPSHOTS), request.app[GATEWAY]
    markets = gateway.feed.markets
    asked_for = markets if instrument is None else markets.keys() & {instrument}
    seq = None if instrument not in markets else markets[instrument].seq
    await require_seqs(gateway, {name: markets[name].snapshot_seq for name in asked_for})
    return answer(await ask_history(gateway.history.snapshots(instrument=instrument, limit=limit)), headers=up_to(seq))


async def _take_snapshot(gateway: Gateway, instrument: str, key: str) -> dict[str, Any]:
    command = SnapshotBook(instrument=instrument, command_id=key)
    parts = await carry_out(gateway, command, None, key)
    if parts is None:
        return {"instrument": instrument, "seq": None}
    if parts[0].reason is not None:
        raise refusal(parts[0].reason)
    return {"instrument": instrument, "seq": parts[-1].seq}
