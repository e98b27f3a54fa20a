"""Where a reader of reports begins: each book as its newest snapshot has it, and the place in `executions` above.

Read as an owner reads it (tables/loader.py), so a reader never begins with less than a worker would.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer

from app.models.snapshots import State
from app.topics import EXECUTIONS, log_ids
from tables.books import codec
from tables.changelog import Damaged
from tables.kafka import KafkaLogs, new_reader
from tables.loader import load


class Start(NamedTuple):
    """A partition's subjects, and the offset in `executions` from which reports may concern them or new ones.

    `first` is the lowest offset that `executions` still has.
    """

    partition: int
    states: tuple[State, ...]
    position: int
    first: int


async def starts(broker: str, partitions: int) -> AsyncIterator[Start]:
    """Each partition in turn. Raises changelog.Damaged."""
    ids = await log_ids(broker, partitions)
    reader = new_reader(broker)
    await reader.start()
    try:
        for number in range(partitions):
            if number not in ids:
                raise Damaged(f"orders/{number} does not begin with its genesis record")
            yield await _start(reader, number, ids[number])
    finally:
        await reader.stop()


async def _start(reader: AIOKafkaConsumer, number: int, log_id: str) -> Start:
    logs = KafkaLogs(reader, number)
    # Complete id blocks are needed to match, not to read: they must be there, whatever is in them.
    loaded = await load(logs, codec(log_id)._replace(block=_unread), log_id)
    logs.close()
    first, end = await logs.bounds_of(EXECUTIONS.name)
    if not first <= loaded.first_report <= end:
        raise Damaged(f"executions/{number} has {first}..{end}, the manifest continues at {loaded.first_report}")
    return Start(number, tuple(loaded.states.values()), loaded.first_report, first)


def _unread(block: bytes) -> None:
    return None
