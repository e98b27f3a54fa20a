"""An operator's commands for a market: `faust -A app list-instrument`, `halt`, `set-fees`, `bust`, and the others."""

from collections.abc import Iterable
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import click
import faust.cli.base as cli
from aiokafka.errors import KafkaError
from msgspec.structs import fields

from app import app
from app.commands.gateway import acting_on, change, fail, gateway_at, json_option, key_option, show, url_option
from app.commands.reported import send_and_wait
from app.engine import partition_of
from app.kafka.reading import NothingToRead
from app.matching.versions import VERSIONS
from app.models.commands import ListInstrument, SetEngineVersion, SnapshotBook
from app.models.http import NAME_RULE, is_name

INSTRUMENTS = "/api/v1/instruments"
T = TypeVar("T")
WHOLE_NUMBERS = frozenset(rule.name for rule in fields(ListInstrument) if type(rule.default) is int)


@app.command(
    cli.argument("instrument"),
    cli.argument("tick_size"),
    cli.argument("lot_size"),
    cli.option("--rule", "rules", multiple=True, metavar="NAME=VALUE", help="Another rule, such as `max_price=1000`."),
    key_option,
    url_option,
    json_option,
)
async def list_instrument(
    self: Any,
    instrument: str,
    tick_size: str,
    lot_size: str,
    rules: tuple[str, ...],
    key: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """List INSTRUMENT (BASE-QUOTE), or change the rules of a listed one."""
    base, _, quote = instrument.partition("-")
    requested: dict[str, Any] = {"instrument": instrument, "base_asset": base, "quote_asset": quote}
    requested |= {"tick_size": tick_size, "lot_size": lot_size} | _each_once("--rule", map(_rule, rules))
    answer = await change(gateway_at(url), INSTRUMENTS, key, json=requested)
    show(answer, as_json, _market)


@app.command(cli.argument("instrument"), key_option, url_option, json_option)
async def halt(self: Any, instrument: str, key: str | None, url: str | None, as_json: bool) -> None:
    """Halt INSTRUMENT: it refuses new orders, but still accepts cancels."""
    path = f"{INSTRUMENTS}/{quote(instrument, safe='')}/halt"
    show(await change(gateway_at(url), path, key), as_json, _market)


@app.command(cli.argument("instrument"), key_option, url_option, json_option)
async def resume(self: Any, instrument: str, key: str | None, url: str | None, as_json: bool) -> None:
    """Resume INSTRUMENT after a halt."""
    path = f"{INSTRUMENTS}/{quote(instrument, safe='')}/resume"
    show(await change(gateway_at(url), path, key), as_json, _market)


@app.command(
    cli.argument("instrument"),
    cli.option("--maker", required=True, help="Basis points of the notional, as 1.25; negative for a rebate."),
    cli.option("--taker", required=True, help="The same for whoever takes."),
    cli.option("--client", "clients", multiple=True, metavar="NAME=MAKER/TAKER", help="A client with its own rates."),
    key_option,
    url_option,
    json_option,
)
async def set_fees(
    self: Any,
    instrument: str,
    maker: str,
    taker: str,
    clients: tuple[str, ...],
    key: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Set what fills of INSTRUMENT cost from here on; it replaces all its rates, also those of clients."""
    fees = {"maker": maker, "taker": taker, "clients": _each_once("--client", map(_rates, clients))}
    path = f"{INSTRUMENTS}/{quote(instrument, safe='')}/fees"
    show(await change(gateway_at(url), path, key, method="PUT", json=fees), as_json, _fees)


@app.command(cli.argument("trade_id"), cli.argument("reason"), key_option, url_option, json_option)
async def bust(self: Any, trade_id: str, reason: str, key: str | None, url: str | None, as_json: bool) -> None:
    """Cancel the erroneous trade TRADE_ID: its money and fees go back, its orders stay as they are."""
    path = f"/api/v1/trades/{quote(trade_id, safe='')}/bust"
    show(await change(gateway_at(url), path, key, json={"reason": reason}), as_json, _busted)


@app.command(cli.argument("instrument"))
async def snapshot(self: Any, instrument: str) -> None:
    """Record every level of INSTRUMENT now, as a report in `executions` and a row in Postgres."""
    await _send(SnapshotBook(instrument=instrument, command_id=uuid4().hex))


@app.command(cli.argument("instrument"), cli.argument("version", type=int))
async def engine_version(self: Any, instrument: str, version: int) -> None:
    """Switch INSTRUMENT to VERSION of the matching rules; every worker's release must have this version."""
    if version not in VERSIONS:
        fail(f"unknown engine version {version}: this release has {', '.join(map(str, VERSIONS))}")
    await _send(SetEngineVersion(instrument=instrument, command_id=uuid4().hex, version=version))


async def _send(command: SnapshotBook | SetEngineVersion) -> None:
    if not is_name(command.instrument):
        fail(f"invalid INSTRUMENT: expected {NAME_RULE}")
    broker = acting_on("BROKER_URL").broker
    number = partition_of(command.instrument, app.conf.topic_partitions)
    try:
        sent = await send_and_wait(broker, number, command)
    except (KafkaError, NothingToRead) as error:
        fail(f"Kafka did not accept the command: {error}")
    if sent.report is not None and sent.report.reason is not None:
        fail(f"{command.instrument} refuses the command: {sent.report.reason}")
    click.echo(f"orders[{number}]@{sent.offset}  command {command.command_id}")
    if sent.report is None:
        click.echo("not matched yet: the command waits in the log", err=True)


def _rule(given: str) -> tuple[str, str | int]:
    name, _, value = given.partition("=")
    return name, int(value) if name in WHOLE_NUMBERS and value.isdigit() else value


def _rates(given: str) -> tuple[str, dict[str, str]]:
    name, equals, rates = given.rpartition("=")
    maker, slash, taker = rates.partition("/")
    if not (equals and slash):
        fail(f"--client {given}: write NAME=MAKER/TAKER, as alice=-1/1.25")
    return name, {"maker": maker, "taker": taker}


def _each_once(option: str, pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """The pairs that an option gave; ends the command if a name was given twice."""
    found: dict[str, T] = {}
    for name, value in pairs:
        if name in found:
            fail(f"{option} {name} was given twice")
        found[name] = value
    return found


def _fees(body: dict[str, Any]) -> str:
    if "maker" not in body:
        return f"{body['instrument']}  sent"
    own = [f"{name} {rates['maker']}/{rates['taker']}" for name, rates in body["clients"].items()]
    return "  ".join([body["instrument"], f"maker {body['maker']}", f"taker {body['taker']}", *own])


def _busted(body: dict[str, Any]) -> str:
    return f"{body['trade_id']}  busted {body['busted_at']}" if "busted_at" in body else f"{body['trade_id']}  sent"


def _market(body: dict[str, Any]) -> str:
    known = {name: body[name] for name in ("market_status", "tick_size", "lot_size") if name in body}
    return "  ".join([body["instrument"], *(f"{name} {value}" for name, value in known.items())])
