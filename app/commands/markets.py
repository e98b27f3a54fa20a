"""`faust -A app list-instrument | halt | resume | snapshot`: what an operator does with a market."""

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import click
import faust.cli.base as cli
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app import app
from app.commands.gateway import acting_on, change, fail, gateway_at, json_option, show, url_option
from app.models.commands import SnapshotBook, encode_command
from app.topics import ORDERS

INSTRUMENTS = "/api/v1/instruments"
WHOLE_NUMBERS = ("max_fills", "max_open_orders", "max_open_orders_per_client", "id_window_count", "id_window_ms")


@app.command(
    cli.argument("instrument"),
    cli.argument("tick_size"),
    cli.argument("lot_size"),
    cli.option("--rule", "rules", multiple=True, metavar="NAME=VALUE", help="More of its rules, as `max_price=1000`."),
    url_option,
    json_option,
)
async def list_instrument(
    self: Any, instrument: str, tick_size: str, lot_size: str, rules: tuple[str, ...], url: str | None, as_json: bool
) -> None:
    """List INSTRUMENT (BASE-QUOTE); listed again with other rules, those hold from then on."""
    base, _, quote = instrument.partition("-")
    said: dict[str, Any] = {"instrument": instrument, "base_asset": base, "quote_asset": quote}
    said |= {"tick_size": tick_size, "lot_size": lot_size} | dict(map(_rule, rules))
    answer = await change(gateway_at(url), INSTRUMENTS, json=said)
    show(answer, as_json, _market)


@app.command(cli.argument("instrument"), url_option, json_option)
async def halt(self: Any, instrument: str, url: str | None, as_json: bool) -> None:
    """Halt INSTRUMENT: no new orders, cancels go on."""
    show(await change(gateway_at(url), f"{INSTRUMENTS}/{quote(instrument, safe='')}/halt"), as_json, _market)


@app.command(cli.argument("instrument"), url_option, json_option)
async def resume(self: Any, instrument: str, url: str | None, as_json: bool) -> None:
    """Open INSTRUMENT again."""
    show(await change(gateway_at(url), f"{INSTRUMENTS}/{quote(instrument, safe='')}/resume"), as_json, _market)


@app.command(cli.argument("instrument"))
async def snapshot(self: Any, instrument: str) -> None:
    """Let the engine report every level of INSTRUMENT at this point of the log, for `executions` and Postgres."""
    command = SnapshotBook(instrument=instrument, command_id=uuid4().hex)
    broker = acting_on("BROKER_URL").broker
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True, acks="all")
    try:
        await producer.start()
        sent = await producer.send_and_wait(ORDERS.name, encode_command(command), key=instrument.encode())
    except KafkaError as error:
        fail(f"not sent: {error}")
    finally:
        await producer.stop()
    click.echo(f"orders[{sent.partition}]@{sent.offset}  command {command.command_id}")


def _rule(given: str) -> tuple[str, str | int]:
    name, _, value = given.partition("=")
    return name, int(value) if name in WHOLE_NUMBERS and value.isdigit() else value


def _market(body: dict[str, Any]) -> str:
    known = {name: body[name] for name in ("market_status", "tick_size", "lot_size") if name in body}
    return "  ".join([body["instrument"], *(f"{name} {value}" for name, value in known.items())])
