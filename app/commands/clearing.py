"""`faust -A app settle | outcome | statement | ledger | retention`: cycles, which their topic guards."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import uuid4

import click
import faust.cli.base as cli
import msgspec
from aiokafka.errors import KafkaError

from app import app
from app.clearing.amounts import text
from app.commands.gateway import acting_on, checked_key, fail
from app.kafka.one_shot import ToSend, send
from app.models.clearing import MAX_REASON, ClearingFact, InstructionOutcome, Settle, encode_fact, key_of
from app.models.http import InvalidTime, milliseconds, other_cycle
from app.postgres import (
    Away,
    CannotRemove,
    HistoryUnavailable,
    Journal,
    Reader,
    Refused,
    Settlements,
    remove_history,
)
from app.topics import CLEARING

ANSWER_TIMEOUT_S = 600.0  # a preview or a statement reads every trade of its cycle
WAIT_S = 60.0
POLL_S = 0.1

json_option = cli.option("--json", "as_json", is_flag=True, help="Print JSON.")
T = TypeVar("T")


@app.command(
    cli.option(
        "--at", help="Up to this time of the log, as 2027-01-31T17:00:00Z. Default: up to what is recorded now."
    ),
    cli.option(
        "--key", callback=checked_key, help="A repeat with the same key gives the same cycle. Default: a new one."
    ),
    cli.option("--dry-run", is_flag=True, help="Compute what closing now would give; write nothing."),
    json_option,
)
async def settle(self: Any, at: str | None, key: str | None, dry_run: bool, as_json: bool) -> None:
    """Close a cycle, and show it once it is netted: what it owns, and that what flowed in has flowed out."""
    venue = acting_on("BROKER_URL", "DATABASE_URL")
    async with _reading(venue.database_url) as settlements:
        if dry_run:
            if at is not None or key is not None:
                fail("--dry-run computes a cycle up to now: leave out --at and --key")
            await _show_preview(settlements, as_json)
            return
        fact = _checked(Settle(key or uuid4().hex, None if at is None else _time(at)))
        await settlements.cycle_of_key(fact.key)  # ask for no cycle while Postgres cannot show it
        await _send(venue.broker, fact)
        found = await _netted(settlements, fact.key)
        if other := other_cycle(fact, found):
            fail(f"the key {fact.key} was used for {other}: give another key")
        click.echo(json.dumps(found, indent=2) if as_json else _cycle_text(found))


@app.command(
    cli.argument("cycle", type=click.IntRange(1)),
    cli.argument("state", type=click.Choice(["settled", "failed"])),
    cli.option("--instruction", type=click.IntRange(1), help="One instruction. Default: all that are pending."),
    cli.option("--reason", help="Why it failed."),
    json_option,
)
async def outcome(
    self: Any, cycle: int, state: Any, instruction: int | None, reason: str | None, as_json: bool
) -> None:
    """Say what became of the instructions of CYCLE; what failed is due again in the next cycle."""
    venue = acting_on("BROKER_URL", "DATABASE_URL")
    async with _reading(venue.database_url) as settlements:
        if await settlements.cycle(cycle) is None:
            fail(f"there is no cycle {cycle}")
        before = await settlements.instructions(cycle)
        numbers = {row["instruction"] for row in before}
        if not numbers:
            fail(f"cycle {cycle} has no instructions: nothing is due, or it is not netted yet")
        if instruction is not None and instruction not in numbers:
            fail(f"cycle {cycle} has no instruction {instruction}, its instructions are 1 to {max(numbers)}")
        if instruction is None and not any(row["state"] in ("pending", state) for row in before):
            fail(f"every instruction of cycle {cycle} has another outcome already, and an outcome is final")
        await _send(venue.broker, _checked(InstructionOutcome(cycle, state, instruction, reason)))
        wanted = numbers if instruction is None else {instruction}
        rows = await _until(
            lambda: settlements.instructions(cycle),
            lambda rows: all(row["state"] != "pending" for row in rows if row["instruction"] in wanted),
        )
        found = [row for row in rows if row["instruction"] in wanted]
        if any(row["state"] == "pending" for row in found):
            fail(f"the outcome is sent and not projected after {WAIT_S:g} s: is a clearing worker running?")
        click.echo(json.dumps(found, indent=2) if as_json else "\n".join(map(_instruction_text, found)))
        if instruction is not None and found[0]["state"] != state:
            fail(f"instruction {instruction} of cycle {cycle} had an outcome already: {found[0]['state']}")


@app.command(cli.argument("client"), cli.argument("cycle", type=click.IntRange(1)), json_option)
async def statement(self: Any, client: str, cycle: int, as_json: bool) -> None:
    """Print what CYCLE did to CLIENT, as CSV; its digest, which the cycle has sealed, goes to standard error."""
    async with _reading(acting_on("DATABASE_URL").database_url) as settlements:
        found, digest = await settlements.statement(client, cycle), await settlements.digest(client, cycle)
    if found is None or digest is None:
        fail(f"cycle {cycle} has no statement for {client}: it is not netted, or owes and gives the client nothing")
    click.echo(found.json() if as_json else found.csv(), nl=False)
    click.echo(f"digest {digest}", err=True)
    if found.digest() != digest:
        fail(f"the trades of {client} in cycle {cycle} are not those that the cycle has sealed: run verify")


@app.command(
    cli.option("--beancount", is_flag=True, help="As a file for beancount, the only format so far."),
    cli.option("--cycle", type=click.IntRange(1), help="Up to this cycle. Default: up to the last one that is sealed."),
)
async def ledger(self: Any, beancount: bool, cycle: int | None) -> None:
    """Print every entry of the sealed cycles, and what the accounts must add up to by the cycles' obligations."""
    if not beancount:
        fail("give --beancount: it is the only format so far")
    reader = Reader(acting_on("DATABASE_URL").database_url, ANSWER_TIMEOUT_S)
    try:
        journal = Journal(reader)
        closings = await journal.closings(cycle)
        if closings is None:
            fail("no cycle is sealed yet: `settle` closes one")
        if cycle not in (None, closings.cycle):
            fail(f"cycle {cycle} is not sealed: the last one that is sealed is cycle {closings.cycle}")
        async for part in journal.beancount(closings):
            click.echo(part, nl=False)
        click.echo(f"every entry up to the cutoffs of cycle {closings.cycle}", err=True)
    except (HistoryUnavailable, Refused) as error:
        fail(str(error))
    finally:
        await reader.close()


@app.command(
    cli.argument("cycle", type=click.IntRange(1)),
    cli.option("--dry-run", is_flag=True, help="Only count the rows."),
    json_option,
)
async def retention(self: Any, cycle: int, dry_run: bool, as_json: bool) -> None:
    """Remove the recorded history of orders up to the cutoffs of CYCLE, a settled one; trades and statements stay."""
    venue = acting_on("DATABASE_URL")
    try:
        removed = await remove_history(venue.database_url, cycle, dry_run)
    except (CannotRemove, Away, Refused) as error:
        fail(str(error))
    verb = "would be removed" if dry_run else "removed"
    lines = [f"{count:,} rows of {table} {verb}" for table, count in removed.items()]
    click.echo(json.dumps(removed, indent=2) if as_json else "\n".join(lines))


async def _show_preview(settlements: Settlements, as_json: bool) -> None:
    ranges, obligations = await settlements.preview()
    names = ("gross_in", "gross_out", "fees", "carried", "net")
    rows = [
        {"client_id": client, "asset": asset} | {name: text(getattr(found, name)) for name in names}
        for (client, asset), found in obligations.items()
    ]
    if as_json:
        owned = [{"instrument": name, "after_seq": after, "to_seq": to} for name, (after, to) in ranges.items()]
        click.echo(json.dumps({"ranges": owned, "obligations": rows}, indent=2))
        return
    click.echo("\n".join([*(f"{name}  ({after}, {to}]" for name, (after, to) in ranges.items())]) or "nothing is new")
    for row in rows:
        click.echo("  ".join(f"{name} {value}" for name, value in row.items()))


def _cycle_text(cycle: dict[str, Any]) -> str:
    lines = [f"cycle {cycle['cycle']}  {cycle['state']}  key {cycle['key']}", f"seal {cycle['seal']}"]
    lines += [f"{row['instrument']}  ({row['after_seq']}, {row['to_seq']}]" for row in cycle["ranges"]]
    lines += ["  ".join(f"{name} {value}" for name, value in row.items()) for row in cycle["conservation"]]
    return "\n".join(lines)


def _instruction_text(row: dict[str, Any]) -> str:
    line = f"{row['instruction']}  {row['client_id']}  {row['amount']} {row['asset']}  {row['state']}"
    return f"{line}  ({row['reason']})" if row["reason"] else line


@asynccontextmanager
async def _reading(database_url: str) -> AsyncIterator[Settlements]:
    reader = Reader(database_url, ANSWER_TIMEOUT_S)
    try:
        yield Settlements(reader)
    except (HistoryUnavailable, Refused) as error:
        fail(str(error))
    finally:
        await reader.close()


async def _send(broker: str, fact: ClearingFact) -> None:
    try:
        await send(broker, [ToSend(CLEARING.name, 0, key_of(fact), encode_fact(fact))])
    except KafkaError as error:
        key = f" with --key {fact.key}" if isinstance(fact, Settle) else ""
        fail(f"Kafka did not confirm it: {error}; it is safe to repeat the same command{key}")


async def _netted(settlements: Settlements, key: str) -> dict[str, Any]:
    """The cycle that was asked for under this key, once it is netted; else ends the command and says how to see it."""
    shown = f"The cycle is asked for; the same command with --key {key} shows it"
    try:
        found = await _until(lambda: settlements.cycle_of_key(key), lambda cycle: bool(cycle and cycle["seal"]))
    except (HistoryUnavailable, Refused) as error:
        fail(f"{error}. {shown}")
    if found is None or not found["seal"]:
        worker = "look at /readyz of the clearing worker"
        fail(f"the cycle with the key {key} is not netted after {WAIT_S:g} s: {worker}. {shown}")
    return found


async def _until(ask: Callable[[], Awaitable[T]], is_done: Callable[[T], bool]) -> T:
    """Ask until it is done, or WAIT_S are over."""
    give_up = time.monotonic() + WAIT_S
    while True:
        found = await ask()
        if is_done(found) or time.monotonic() > give_up:
            return found
        await asyncio.sleep(POLL_S)


def _checked(fact: Any) -> Any:
    """The fact, if its fields are allowed."""
    try:
        return msgspec.convert(msgspec.to_builtins(fact), type(fact))
    except msgspec.ValidationError as error:
        fail(f"{error} (a key has 1 to 64 of A-Z a-z 0-9 . _ : -, a reason at most {MAX_REASON} characters)")


def _time(given: str) -> int:
    try:
        at = milliseconds(datetime.fromisoformat(given))
    except InvalidTime as error:
        fail(f"{given!r} {error}")
    except ValueError:
        fail(f"{given!r} is no time: write 2027-01-31 or 2027-01-31T17:00:00Z")
    if at is None or at > time.time_ns() // 1_000_000:
        fail(f"{given} is not over yet: a cycle ends at a time that every market has passed")
    return at
