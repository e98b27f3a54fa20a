"""Instruments over HTTP: list one, halt it, resume it."""

from uuid import uuid4

from aiohttp import web

from app.matching.commands import List
from app.matching.rules import UNCHANGEABLE, is_valid_listing
from app.matching.words import Reason
from app.models.commands import CommandMessage, HaltInstrument, ResumeInstrument, UndecodableCommand
from app.models.conversion import to_core
from app.models.http import decode_listing
from web.edge.answers import answer
from web.edge.problems import Problem
from web.edge.reading import body_of, decoded, header_key, listing_command, parameters
from web.gateway import Gateway
from web.hosting import GATEWAY
from web.rest.changing import refusal
from web.trading.carrying_out import carry_out


async def list_instrument(request: web.Request) -> web.StreamResponse:
    """201 with the instrument once the engine has listed it; a repeat with other rules changes them."""
    parameters(request)
    gateway, key = request.app[GATEWAY], header_key(request) or uuid4().hex
    requested = decoded(decode_listing, await body_of(request))
    command = listing_command(requested, key)
    try:
        core = to_core(command, None)
    except UndecodableCommand as error:
        raise Problem(422, "invalid_value", str(error)) from error
    if not (isinstance(core, List) and is_valid_listing(core.listing)):
        raise Problem(422, "invalid_value", "these rules contradict each other")
    gateway.check_tag(command.instrument)
    return await _answer_command(gateway, command, key, 201)


async def halt_instrument(request: web.Request) -> web.StreamResponse:
    """The halted instrument: it takes no new orders, but still cancels."""
    return await _switch(request, HaltInstrument)


async def resume_instrument(request: web.Request) -> web.StreamResponse:
    """The instrument, open again."""
    return await _switch(request, ResumeInstrument)


async def _switch(request: web.Request, command: type[HaltInstrument] | type[ResumeInstrument]) -> web.StreamResponse:
    parameters(request)
    await body_of(request)
    gateway, instrument = request.app[GATEWAY], request.match_info["instrument"]
    gateway.market(instrument)
    key = header_key(request) or uuid4().hex
    return await _answer_command(gateway, command(instrument=instrument, command_id=key), key, 200)


async def _answer_command(gateway: Gateway, command: CommandMessage, key: str, status: int) -> web.StreamResponse:
    parts = await carry_out(gateway, command, None, key)
    if parts is None:
        return answer({"instrument": command.instrument}, 202)
    if (reason := parts[0].reason) is not None:
        raise _unchangeable(gateway, command) if reason is Reason.UNSUPPORTED_ORDER else refusal(reason)
    return answer(gateway.feed.markets[command.instrument].answer_after(parts[0]), status)


def _unchangeable(gateway: Gateway, command: CommandMessage) -> Problem:
    """The engine's only refusal of rules that are valid: they differ in what stays as it was first listed."""
    listing = gateway.feed.markets[command.instrument].listing
    fixed = ", ".join(f"{name} {getattr(listing, name)}" for name in UNCHANGEABLE)
    return Problem(422, Reason.UNSUPPORTED_ORDER, f"these rules of a listed market never change, repeat them: {fixed}")
