"""The journal over HTTP: the entries of a market with their legs, in the order of seq."""

from typing import Any

from aiohttp import web

from app.clearing.amounts import text
from app.clearing.entries import Bust, legs
from app.postgres import JournalEntry
from web.edge.answers import answer
from web.edge.callers import caller_of
from web.edge.reading import MAX_LIMIT, identifier, malformed, number, parameters
from web.hosting import GATEWAY
from web.rest.clearing import LARGEST_NUMBER
from web.trading.recorded import ask_history

DEFAULT_ENTRIES = 100


async def list_entries(request: web.Request) -> web.StreamResponse:
    """The recorded trades and busts of an instrument from a seq on, each with its legs.

    A client sees the entries that it is part of, and its own legs; an admin all, or those of one client.
    """
    given = parameters(request, "instrument", "from_seq", "client_id", "limit", "cursor")
    gateway, caller = request.app[GATEWAY], caller_of(request)
    if "instrument" not in given:
        raise malformed("instrument", "is required: each has its own seq")
    market = gateway.market(identifier("instrument", given["instrument"]))
    name, limit = market.listing.instrument, number(given, "limit", DEFAULT_ENTRIES, MAX_LIMIT)
    client = caller.client_of_orders(identifier("client_id", given["client_id"]) if "client_id" in given else None)
    found = await ask_history(gateway.journal.page(name, _after(given), limit, client))
    following = "{},{}".format(*found[-1].place) if len(found) == limit else None
    return answer({"entries": [_shown(name, entry, client) for entry in found], "next_cursor": following})


def _after(given: dict[str, str]) -> tuple[int, int]:
    """The place after which the page begins; raises 400."""
    from_seq = number(given, "from_seq", 1, LARGEST_NUMBER)
    if not given.get("cursor"):
        return from_seq - 1, LARGEST_NUMBER
    seq, _, trade = given["cursor"].partition(",")
    place = {"cursor": seq, "trade": trade}
    if not all(part.isascii() and part.isdigit() for part in place.values()):
        raise malformed("cursor", "is not one that an answer gave")
    return number(place, "cursor", 0, LARGEST_NUMBER), number(place, "trade", 0, LARGEST_NUMBER)


def _shown(instrument: str, found: JournalEntry, client: str | None) -> dict[str, Any]:
    entry = found.entry
    return {
        "instrument": instrument,
        "seq": entry.seq,
        "kind": "bust" if isinstance(entry, Bust) else "trade",
        "trade_id": found.trade_id,
        "time": found.time,
        "cycle": found.cycle,
        "legs": [
            {"account": leg.account, "asset": leg.asset, "amount": text(leg.amount), "is_fee": leg.is_fee}
            for leg in legs(entry)
            if client in (None, leg.account)
        ],
    }
