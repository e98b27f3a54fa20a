"""`faust -A app table`: shows the books, order ids and bars from which a worker would start."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import faust.cli.base as cli
from aiokafka.errors import KafkaError

from app import app
from app.commands.gateway import acting_on, fail
from app.configuration import Role
from app.matching.states import BookState
from app.models.sealed import DamagedSnapshot
from app.models.snapshots import State
from tables.books import inspection
from tables.books.inspection import View
from tables.books.subjects import AROUND as BOOKS
from tables.candles import inspection as bars
from tables.candles.subjects import AROUND as CANDLES
from tables.recovery.changelog import Damaged
from tables.recovery.inspection import Records, from_changelog, from_disk


@app.command(
    cli.argument("name", type=click.Choice(["books", "order-ids", "candles"])),
    cli.argument("key", required=False),
    cli.option(
        "--local", is_flag=True, help="Read a local worker's RocksDB, even while it runs (ROLE, SLOT, APP_DATADIR)."
    ),
    cli.option("--changelog", is_flag=True, help="Read the changelog in Kafka (the default)."),
    cli.option("--json", "as_json", is_flag=True, help="Print JSON."),
)
async def table(self: Any, name: str, key: str | None, local: bool, changelog: bool, as_json: bool) -> None:
    """Show `books`, `order-ids` or `candles`: a summary of all, or one KEY (an instrument or an order id)."""
    if local and changelog:
        fail("give either --local or --changelog, not both")
    try:
        views = VIEWS[name](await _partitions(local, name), key)
    except (Damaged, DamagedSnapshot, KafkaError) as error:
        fail(str(error) or type(error).__name__)
    if not views and (local or key is not None):
        entry = "no entries" if key is None else f"no entry for {key}"
        place = f" in {app.conf.tabledir}: try ROLE={_role(name)} and another SLOT" if local else ""
        fail(f"{name} has {entry}{place}")
    click.echo(json.dumps(views[0] if key is not None else views, indent=2) if as_json else _text(views))


def _role(name: str) -> Role:
    """The role of the workers that have this table on their disks."""
    return "analytics" if name == "candles" else "matching"


async def _partitions(local: bool, name: str) -> list[Records]:
    is_candles = name == "candles"
    if local:
        click.echo(f"RocksDB {app.conf.tabledir}", err=True)
        return list(from_disk(Path(app.conf.tabledir), "candles" if is_candles else "books"))
    around = CANDLES if is_candles else BOOKS
    return await from_changelog(acting_on("BROKER_URL").broker, around, app.conf.topic_partitions)


def _candles(partitions: list[Records], instrument: str | None) -> list[View]:
    every = [state for records in partitions for state in bars.markets(records).values()]
    if instrument is None:
        return sorted(map(bars.summary, every), key=lambda view: str(view["instrument"]))
    return [bars.market(state) for state in every if state.instrument == instrument]


def _books(partitions: list[Records], instrument: str | None) -> list[View]:
    every = [state for records in partitions for state in inspection.states(records).values()]
    if instrument is None:
        return sorted(map(inspection.summary, every), key=lambda view: str(view["instrument"]))
    return [_whole(state) for state in every if state.instrument == instrument]


def _whole(state: State) -> View:
    return inspection.book(state) if isinstance(state, BookState) else inspection.summary(state)


def _order_ids(partitions: list[Records], key: str | None) -> list[View]:
    books = [
        (records, state)
        for records in partitions
        for state in inspection.states(records).values()
        if isinstance(state, BookState)
    ]
    wanted = _uuid(key)
    if wanted is not None:
        return [found for records, state in books if (found := inspection.find_id(records, state, wanted))]
    views = [inspection.ids_summary(state) for _, state in books if key in (None, state.instrument)]
    return sorted(views, key=lambda view: str(view["instrument"]))


VIEWS = {"books": _books, "order-ids": _order_ids, "candles": _candles}


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _text(views: list[View]) -> str:
    """One line for each view, and below it one for each order in its lists."""
    lines: list[str] = []
    for view in views:
        lines.append("  ".join(f"{name} {value}" for name, value in view.items() if not isinstance(value, list)))
        for name, orders in view.items():
            if isinstance(orders, list):
                lines += [f"  {name}: {' '.join(f'{value}' for value in order.values())}" for order in orders]
    return "\n".join(lines) if lines else "(empty)"
