"""Clearing over HTTP: close and read cycles, decide instructions, read positions and statements."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import uuid4

from aiohttp import web

from app.clearing.amounts import of_units, text
from app.clearing.positions import Position
from app.matching.words import Reason
from app.models.clearing import InstructionOutcome, Settle, encode_fact, key_of
from app.models.http import decode_outcome, decode_settle, other_cycle
from app.postgres.settlements import SUMS
from web.edge.answers import CSV, JSON, answer
from web.edge.callers import caller_of
from web.edge.problems import Problem
from web.edge.reading import (
    DEFAULT_WAIT_S,
    MAX_LIMIT,
    asks_for,
    body_of,
    decoded,
    header_key,
    identifier,
    invalid,
    is_identifier,
    malformed,
    moment,
    number,
    parameters,
    preferred_wait,
)
from web.gateway import Gateway
from web.hosting import GATEWAY
from web.trading.recorded import ask_history

DEFAULT_CYCLES = 50
LARGEST_NUMBER = 2**53
POLL_S = 0.05
T = TypeVar("T")


async def settle(request: web.Request) -> web.StreamResponse:
    """Close a cycle: up to a time of the log, or up to what is recorded now.

    201 with the cycle once it is netted, 202 before; the same key gives the same cycle, with another cutoff time it is
    422. `dry_run=true` answers what closing now would give, and writes nothing.
    """
    gateway, given = request.app[GATEWAY], parameters(request, "dry_run")
    body = await body_of(request)
    cutoff_time = moment("cutoff_time", decoded(decode_settle, body).cutoff_time) if body else None
    if given.get("dry_run", "false") not in ("true", "false"):
        raise malformed("dry_run", "can only be true or false")
    key = header_key(request)
    if given.get("dry_run") == "true":
        return await _preview(gateway, cutoff_time)
    if cutoff_time is not None and cutoff_time > time.time_ns() // 1_000_000:
        raise invalid("cutoff_time", "is not over yet: a cycle ends at a time that every market has passed")
    fact = Settle(key or uuid4().hex, cutoff_time)
    await ask_history(gateway.settlements.cycle_of_key(fact.key))  # ask for no cycle while Postgres cannot show it
    await gateway.outgoing.send_fact(key_of(fact), encode_fact(fact))
    found = await waited(
        request, lambda: gateway.settlements.cycle_of_key(fact.key), lambda cycle: bool(cycle and cycle["seal"])
    )
    if found and (other := other_cycle(fact, found)):
        raise Problem(422, Reason.DUPLICATE_ORDER, f"this key was used for {other}")
    if found is None or found["seal"] is None:
        return answer({"key": fact.key}, 202)
    return answer(found, 201, {"Location": f"/api/v1/settlements/{found['cycle']}"})


async def list_cycles(request: web.Request) -> web.StreamResponse:
    """Cycles, newest first; `below` a number for older ones."""
    given, gateway = parameters(request, "limit", "below"), request.app[GATEWAY]
    limit = number(given, "limit", DEFAULT_CYCLES, MAX_LIMIT)
    below = number(given, "below", LARGEST_NUMBER, LARGEST_NUMBER)
    return answer(await ask_history(gateway.settlements.cycles(below=below, limit=limit)))


async def get_cycle(request: web.Request) -> web.StreamResponse:
    """One cycle: what it owns, what flowed in each asset, and its seal."""
    parameters(request)
    return answer(await _cycle(request))


async def list_obligations(request: web.Request) -> web.StreamResponse:
    """The obligations of a cycle, of one client or, for an admin, of all."""
    given, gateway, client = *_own(request), _client_of(request)
    cycle, limit = (await _cycle(request))["cycle"], number(given, "limit", MAX_LIMIT, MAX_LIMIT)
    rows = await ask_history(gateway.settlements.obligations(cycle, client, _after(given), limit))
    following = f"{rows[-1]['client_id']},{rows[-1]['asset']}" if len(rows) == limit else None
    return answer({"obligations": rows, "next_cursor": following})


async def list_instructions(request: web.Request) -> web.StreamResponse:
    """The instructions of a cycle, of one client or, for an admin, of all."""
    given, gateway, client = *_own(request), _client_of(request)
    cycle, limit = (await _cycle(request))["cycle"], number(given, "limit", MAX_LIMIT, MAX_LIMIT)
    after = number(given, "cursor", 0, LARGEST_NUMBER) if given.get("cursor") else 0
    rows = await ask_history(gateway.settlements.instructions(cycle, client, after, limit))
    following = str(rows[-1]["instruction"]) if len(rows) == limit else None
    return answer({"instructions": rows, "next_cursor": following})


async def decide(request: web.Request) -> web.StreamResponse:
    """Say that an instruction was settled, or that it failed and is due again in the next cycle.

    202 before it is projected; 409 if it has another outcome.
    """
    parameters(request)
    gateway, requested = request.app[GATEWAY], decoded(decode_outcome, await body_of(request))
    cycle, which = (await _cycle(request))["cycle"], _number(request, "instruction")

    async def instruction() -> dict[str, Any] | None:
        rows = await gateway.settlements.instructions(cycle, after=which - 1, limit=1)
        return rows[0] if rows and rows[0]["instruction"] == which else None

    found = await ask_history(instruction())
    if found is None:
        raise Problem(404, "unknown_instruction", f"cycle {cycle} has no instruction {which}")
    if found["state"] == "pending":
        fact = InstructionOutcome(cycle, requested.state, which, requested.reason)
        await gateway.outgoing.send_fact(key_of(fact), encode_fact(fact))
        found = await waited(request, instruction, lambda row: bool(row and row["state"] != "pending")) or found
    if found["state"] not in ("pending", requested.state):
        sentence = f"instruction {which} of cycle {cycle} is {found['state']}, and an outcome is final"
        raise Problem(409, "outcome_is_final", sentence)
    return answer(found, 202 if found["state"] == "pending" else 200)


async def get_statement(request: web.Request) -> web.StreamResponse:
    """What a cycle did to a client, as JSON or, with `Accept: text/csv`, as the CSV whose digest is sealed."""
    parameters(request)
    gateway, client = request.app[GATEWAY], identifier("client_id", request.match_info["client_id"])
    cycle = _number(request, "cycle")
    found = None
    if caller_of(request).sees(client):
        found = await ask_history(gateway.settlements.statement(client, cycle))
    if found is None:
        raise Problem(404, "unknown_statement", f"cycle {cycle} has no statement for {client}")
    if asks_for(CSV, request):
        return web.Response(text=found.csv(), content_type=CSV)
    return web.Response(text=found.json(), content_type=JSON)


async def list_positions(request: web.Request) -> web.StreamResponse:
    """What a client holds in each instrument from its recorded trades: now, after a cycle, or in one after a seq."""
    given, gateway = parameters(request, "instrument", "as_of_seq", "cycle"), request.app[GATEWAY]
    client = _seen_client(request)
    instrument = identifier("instrument", given["instrument"]) if "instrument" in given else None
    if "as_of_seq" in given and instrument is None:
        raise malformed("as_of_seq", "needs an instrument: each has its own seq")
    if "as_of_seq" in given and "cycle" in given:
        raise malformed("as_of_seq", "cannot be given with cycle")
    to_seq = number(given, "as_of_seq", LARGEST_NUMBER, LARGEST_NUMBER)
    cycle = number(given, "cycle", 0, LARGEST_NUMBER) or None
    if cycle is not None and (await _known(gateway, cycle))["state"] == "open":
        raise Problem(409, "cycle_is_open", f"cycle {cycle} is not closed yet: ask again once it is")
    positions = await ask_history(gateway.settlements.positions(client, instrument, to_seq, cycle))
    return answer([_position(name, position) for name, position in positions.items()])


async def list_balances(request: web.Request) -> web.StreamResponse:
    """What a client has in each asset: its closings, with what it traded since, and what is still due."""
    parameters(request)
    return answer(await ask_history(request.app[GATEWAY].settlements.balances(_seen_client(request))))


def _after(given: dict[str, str]) -> tuple[str, str]:
    """The client and the asset after which the page begins; raises 400."""
    if not given.get("cursor"):
        return "", ""
    client, _, asset = given["cursor"].partition(",")
    if not (is_identifier(client) and is_identifier(asset)):
        raise malformed("cursor", "is not one that an answer gave")
    return client, asset


def _seen_client(request: web.Request) -> str:
    """The client in the path; raises 404 for another client's."""
    client = identifier("client_id", request.match_info["client_id"])
    if not caller_of(request).sees(client):
        raise Problem(404, "unknown_client", f"nothing is known of {client}")
    return client


def _position(instrument: str, position: Position) -> dict[str, Any]:
    sums = {name: text(getattr(position, name)) for name in ("quantity", "bought", "sold", "fees", "realised_cash")}
    cost = position.average_cost
    return {"instrument": instrument, **sums, "average_cost": None if cost is None else text(of_units(cost))}


async def _preview(gateway: Gateway, cutoff_time: int | None) -> web.StreamResponse:
    if cutoff_time is not None:
        raise invalid("cutoff_time", "cannot be given with dry_run, which computes a cycle up to now")
    ranges, obligations = await ask_history(gateway.settlements.preview())
    owned = [{"instrument": name, "after_seq": after, "to_seq": to} for name, (after, to) in ranges.items()]
    rows = [
        {"client_id": client, "asset": asset} | {name: text(getattr(found, name)) for name in SUMS}
        for (client, asset), found in obligations.items()
    ]
    return answer({"ranges": owned, "obligations": rows})


async def _cycle(request: web.Request) -> dict[str, Any]:
    """The cycle that the path names; raises 404."""
    return await _known(request.app[GATEWAY], _number(request, "cycle"))


async def _known(gateway: Gateway, which: int) -> dict[str, Any]:
    """The cycle with this number; raises 404."""
    found = await ask_history(gateway.settlements.cycle(which))
    if found is None:
        raise Problem(404, "unknown_cycle", f"there is no cycle {which}")
    return found


def _own(request: web.Request) -> tuple[dict[str, str], Gateway]:
    return parameters(request, "client_id", "limit", "cursor"), request.app[GATEWAY]


def _client_of(request: web.Request) -> str | None:
    """The client whose rows the request reads; None: all clients. Raises 403."""
    given = request.query.get("client_id")
    return caller_of(request).client_of_orders(None if given is None else identifier("client_id", given))


def _number(request: web.Request, name: str) -> int:
    """A number in the path; raises 400."""
    return number({name: request.match_info[name]}, name, 0, LARGEST_NUMBER)


async def waited(request: web.Request, ask: Callable[[], Awaitable[T]], is_done: Callable[[T], bool]) -> T:
    """Ask again until the answer is done or the client's waiting time is over; return the last answer."""
    preferred_s = preferred_wait(request)
    give_up = time.monotonic() + (DEFAULT_WAIT_S if preferred_s is None else preferred_s)
    while True:
        found = await ask_history(ask())
        if is_done(found) or time.monotonic() > give_up:
            return found
        await asyncio.sleep(POLL_S)
