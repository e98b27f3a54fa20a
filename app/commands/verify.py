"""`faust -A app verify`: whether everything durable is what the log of commands gives (docs/EXACTNESS.md, Checks)."""

import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import click
import faust.cli.base as cli
import msgspec
from aiokafka.errors import KafkaError

from app import app
from app.commands.gateway import acting_on, api_key, fail
from app.commands.progress import ProgressBar
from app.engine import UnknownEngine
from app.kafka.reading import NothingToRead
from app.postgres import AWAY, Refused
from app.verification import running
from app.verification.ledger import read_entries
from app.verification.waiting import NotQuiet
from tables.books.verification import changelog_states
from tables.recovery.changelog import Damaged


@app.command(
    cli.option(
        "--naive", "--oracle", "naive", is_flag=True, help="Replay through the naive engine too: slow and independent."
    ),
    cli.option(
        "--ledger", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="What clients were told."
    ),
    cli.option("--url", help="A gateway whose books are compared as well."),
    cli.option(
        "--timeout",
        "timeout_s",
        type=float,
        default=60.0,
        show_default=True,
        help="Seconds for work in flight.",
    ),
    cli.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON."),
)
async def verify(
    self: Any,
    naive: bool,
    ledger: Path | None,
    url: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Compare topics, snapshots and Postgres with what the log gives, from its first command; exit code 1 if wrong."""
    venue = acting_on("BROKER_URL", "DATABASE_URL", url=url)
    broker = venue.broker
    where = running.Addresses(broker, venue.database_url, url, api_key())
    looked_at = ", ".join(f"{part} {address}" for part, address in where.shown.items())
    bar = ProgressBar("commands", sys.stderr)
    try:
        verdict = await running.verify(
            where,
            states=changelog_states(broker),
            entries=read_entries(ledger) if ledger else (),
            naive=naive,
            timeout_s=timeout_s,
            progress=bar.show,
        )
    except NotQuiet as error:
        fail(f"{error}; is a worker stuck? ({looked_at})")
    except (
        KafkaError,
        aiohttp.ClientError,
        NothingToRead,
        Damaged,
        UnknownEngine,
        msgspec.MsgspecError,
        Refused,
        *AWAY,
    ) as error:
        fail(f"{str(error).strip() or type(error).__name__} ({looked_at})")
    finally:
        bar.clear()
    click.echo(json.dumps(verdict.as_json(), indent=2) if as_json else verdict.as_text())
    if not verdict.is_right:
        fail(verdict.first or "")
