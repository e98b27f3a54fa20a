"""Writes generated requests to files, as HTTP requests or as commands of the `orders` topic for `replay`."""

import base64
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from app.matching.words import OrderType, Side, TimeInForce
from app.models.commands import CancelOrder, CommandMessage, ListInstrument, PlaceOrder, encode_command
from app.models.identity import NO_SECRET, id_text, order_id
from app.verification.ledger import Request, body_of
from load.generator import requests
from load.profiles import Mix, Profile

_encode = msgspec.json.Encoder().encode


def write(file: Path, profile: Profile, seed: int, count: int, mix: Mix, as_commands: bool = False) -> int:
    """Write `count` requests, or their commands, one JSON line each; returns the number of lines."""
    asked = islice(requests(profile, seed, mix), count)
    lines = command_lines(profile, asked) if as_commands else (_encode(as_json(each)) for each in asked)
    with file.open("wb") as out:
        return sum(1 for line in lines if out.write(line + b"\n"))


def as_json(asked: Request) -> dict[str, object]:
    """A request as a fixture: the body as text if it is text, else as `body_base64`."""
    fields: dict[str, object] = {name: value for name, value in asked._asdict().items() if value not in (None, False)}
    try:
        fields["body"] = asked.body.decode()
    except UnicodeDecodeError:
        del fields["body"]
        fields["body_base64"] = base64.b64encode(asked.body).decode()
    return fields


def command_lines(profile: Profile, asked: Iterable[Request], secret: bytes = NO_SECRET) -> Iterator[bytes]:
    """The profile's `list` commands, then a command for each request that a gateway would accept.

    `secret` is that of the log's order ids.
    """
    yield from (encode_command(listing(instrument)) for instrument in profile.instruments)
    for each in asked:
        command = command_of(each, secret)
        if command is not None:
            yield encode_command(command)


def listing(instrument: str) -> ListInstrument:
    """Rules under which every price and quantity of the profiles is valid."""
    base, quote = instrument.split("-")
    return ListInstrument(instrument, f"list-{instrument}", base, quote, tick_size="0.01", lot_size="0.01")


def command_of(asked: Request, secret: bytes = NO_SECRET) -> CommandMessage | None:
    """The command that a gateway makes of a request; None if it must refuse the request."""
    if asked.must_refuse or asked.about is None or asked.key is None:
        return None
    if not asked.places:
        client_id, instrument, key = asked.about.split()
        return CancelOrder(instrument, id_text(order_id(client_id, instrument, key, secret)), asked.key)
    body = body_of(asked)
    return PlaceOrder(
        body["instrument"],
        body["client_id"],
        asked.key,
        Side(body["side"].lower()),
        OrderType(body["type"].lower()),
        body["quantity"],
        body.get("price"),
        TimeInForce(body.get("time_in_force", "GTC")),
    )
