"""The records of a table for people: from a worker's RocksDB or the changelog."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import rocksdict

from app.kafka.reading import connected_reader
from app.models.sealed import DamagedSnapshot, log_id_of
from tables.recovery.around import Around
from tables.recovery.changelog import MANIFEST, Codec, newest_states, parse
from tables.recovery.loader import read_to_moving_end
from tables.recovery.ports import KafkaLogs

Records = Mapping[bytes, bytes]  # the latest value of each key of one partition


def from_disk(folder: Path, table: str) -> Iterator[Records]:
    """Read each partition that a worker on this machine has written to RocksDB, whether the worker runs or not."""
    for file in sorted(folder.glob(f"{table}-*.db")):
        access = rocksdict.AccessType.read_only()
        database = rocksdict.Rdict(str(file), rocksdict.Options(raw_mode=True), access_type=access)
        try:
            yield {key: value for key, value in database.items() if isinstance(key, bytes)}
        finally:
            database.close()


async def from_changelog(broker: str, around: Around, partitions: int) -> list[Records]:
    """Read every partition from Kafka, on whichever machine its worker runs; raises changelog.Damaged."""
    async with connected_reader(broker) as reader:
        return [await read_to_moving_end(KafkaLogs(reader, around, number)) for number in range(partitions)]


def newest(records: Records, codec: Callable[[str], Codec]) -> dict[str, Any]:
    """The newest valid snapshots of a partition, of the log to which its first readable one belongs."""
    for text, value in records.items():
        key = parse(text)
        if key is None or key.name == MANIFEST or key.offset is None or key.chunk is not None:
            continue
        try:
            return newest_states(records, codec(log_id_of(value)))
        except DamagedSnapshot:
            continue
    return {}
