"""Where a reader of reports starts: each book's newest snapshot, and the `executions` offset to read on from.

Readers use the same loader as workers (tables/recovery/loader.py), so they never start with less than a worker would.
"""

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer

from app.kafka.reading import connected_reader
from app.models.snapshots import State
from app.topics import EXECUTIONS
from tables.books.subjects import AROUND, codec
from tables.recovery.completeness import require_complete
from tables.recovery.loader import load
from tables.recovery.ports import KafkaLogs
from tables.recovery.refusals import LogIncomplete


class Start(NamedTuple):
    """The states of a partition's subjects (its books and rejections).

    `position` is the `executions` offset to read on from: the states include every report below it.
    `first` is the lowest offset that `executions` still has.
    """

    partition: int
    states: tuple[State, ...]
    position: int
    first: int


async def starts(broker: str, log_ids: Mapping[int, str]) -> AsyncIterator[Start]:
    """Yield the start of each partition in turn. Raises changelog.Damaged and refusals.CannotGoOn."""
    async with connected_reader(broker) as reader:
        for number in sorted(log_ids):
            yield await _start(reader, number, len(log_ids), log_ids[number])


async def _start(reader: AIOKafkaConsumer, number: int, partitions: int, log_id: str) -> Start:
    logs = KafkaLogs(reader, AROUND, number)
    # Only matching needs the contents of complete id blocks; for a reader it is enough that they exist.
    loaded = await load(logs, codec(log_id)._replace(block=_unread), log_id)
    await require_complete(logs, number, partitions, loaded)
    logs.close()
    logs.pass_over(loaded.unusable)
    first, _ = await logs.bounds_of(EXECUTIONS.name)
    if first > loaded.first_output:
        raise LogIncomplete(
            f"executions[{number}] begins at {first}, readers of the books continue at {loaded.first_output}: reports "
            "were deleted; restore the topic"
        )
    return Start(number, tuple(loaded.states.values()), loaded.first_output, first)


def _unread(block: bytes) -> None:
    return None
