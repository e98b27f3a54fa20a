"""`faust -A app verify`: checks that all durable data follow from the log (docs/EXACTNESS.md, Checks)."""

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
from tables.candles.verification import candles_states
from tables.recovery.changelog import Damaged

MAX_TIMEOUT_S = 86_400


@app.command(
    cli.option(
        "--naive",
        "--oracle",
        "naive",
        is_flag=True,
        help="Also replay through the naive engine: slow, but independent.",
    ),
    cli.option(
        "--ledger",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A file of clients' requests and answers, which are compared, too.",
    ),
    cli.option("--url", help="A gateway whose books are compared, too."),
    cli.option(
        "--timeout",
        "timeout_s",
        type=click.IntRange(0, MAX_TIMEOUT_S),
        default=60,
        show_default=True,
        help="How many seconds to wait for work in flight.",
    ),
    cli.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON."),
)
async def verify(
    self: Any,
    naive: bool,
    ledger: Path | None,
    url: str | None,
    timeout_s: int,
    as_json: bool,
) -> None:
    """Compare topics, snapshots and Postgres with a replay of the whole log; exit code 1 if something differs."""
    venue = acting_on("BROKER_URL", "DATABASE_URL", url=url)
    broker = venue.broker
    where = running.Addresses(broker, venue.database_url, url, api_key())
    looked_at = ", ".join(f"{part} {address}" for part, address in where.shown.items())
    bar = ProgressBar("commands", sys.stderr)
    try:
        verdict = await running.verify(
            where,
            states=changelog_states(broker),
            bar_states=candles_states(broker),
            entries=read_entries(ledger) if ledger else (),
            naive=naive,
            timeout_s=timeout_s,
            progress=bar.show,
        )
    except NotQuiet as error:
        fail(f"{error}; check whether a worker is stuck ({looked_at})")
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
