"""`faust -A app rebuild`: computes books and manifests from the log again where they are damaged; or all bars."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
import faust.cli.base as cli
from aiokafka.errors import KafkaError

from app import app
from app.commands.gateway import acting_on, fail
from app.commands.progress import ProgressBar
from app.configuration import Role
from app.engine import UnknownEngine
from app.kafka.genesis import WrongTopic, all_genesis
from app.kafka.groups import group_of, members
from app.kafka.one_shot import ToSend, send
from app.kafka.reading import NothingToRead
from app.streaming.slot import SlotTaken, take_slot
from app.topics import ORDERS
from app.verification.reading import VenueLogs
from tables.books import rebuilding
from tables.books.rebuilding import CannotRebuild, Rebuilt
from tables.candles.subjects import AROUND as CANDLES
from tables.recovery.changelog import MANIFEST, Damaged
from tables.recovery.inspection import from_changelog

POLL_S = 0.5


@app.command(
    cli.option("--candles", is_flag=True, help="Forget the snapshots of bars: analytics then folds all reports again."),
    cli.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
)
async def rebuild(self: Any, candles: bool, as_json: bool) -> None:
    """Compare all snapshots and manifests of books with the log, and write new ones where they are wrong."""
    broker = acting_on("BROKER_URL").broker
    role: Role = "analytics" if candles else "matching"
    try:
        slot = None if candles else take_slot(Path(app.conf.datadir))
        await _until_nobody_is(role, broker)
        done: list[Rebuilt] | list[Forgotten] = await (_forget_candles if candles else _rebuild_all)(broker)
    except SlotTaken as taken:
        fail(f"stop the {role} workers first: {taken}")
    except (CannotRebuild, WrongTopic, UnknownEngine, Damaged, NothingToRead, KafkaError) as error:
        fail(str(error) or type(error).__name__)
    if slot is not None:
        slot.close()
    click.echo(json.dumps([one._asdict() for one in done]) if as_json else "\n".join(one.as_text() for one in done))


class Forgotten(NamedTuple):
    """How many records of the candles table were removed from a partition."""

    partition: int
    removed: int

    def as_text(self) -> str:
        return f"executions[{self.partition}]: {self.removed} records removed, a worker begins at 0"


async def _forget_candles(broker: str) -> list[Forgotten]:
    done = []
    for number, records in enumerate(await from_changelog(broker, CANDLES, app.conf.topic_partitions)):
        # The manifests last: until then a worker would refuse to start.
        keys = sorted(records, key=lambda key: (key.startswith(MANIFEST.encode()), key))
        await send(broker, [ToSend(CANDLES.changelog, number, key, None) for key in keys])
        done.append(Forgotten(number, len(keys)))
    return done


async def _until_nobody_is(role: Role, broker: str) -> None:
    """Wait until the role's group is empty: Kafka removes a stopped member only when its session ends."""
    deadline = time.monotonic() + app.conf.broker_session_timeout + 2 * app.conf.broker_heartbeat_interval
    while found := await members(broker, role):
        if time.monotonic() > deadline:
            fail(f"stop the {role} workers first: {', '.join(found)} in the group {group_of(role)}")
        await asyncio.sleep(POLL_S)


async def _rebuild_all(broker: str) -> list[Rebuilt]:
    async with VenueLogs(broker) as logs:
        geneses = await all_genesis(broker, logs.partitions)
        total = sum([await logs.end(ORDERS.name, number) for number in range(logs.partitions)])
        bar, done, read = ProgressBar("commands", sys.stderr), [], 0

        def count(commands: int) -> None:
            nonlocal read
            read += commands
            bar.show(read, max(read, total))

        try:
            for number in range(logs.partitions):
                done.append(await rebuilding.rebuild(broker, logs, number, geneses[number].log_id, count))
        finally:
            bar.clear()
        return done
