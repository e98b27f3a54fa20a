"""A table in Faust: RocksDB that people can inspect, and that recovery never reads.

A partition's owner fills it from the changelog at start and at each checkpoint (docs/EXACTNESS.md, I8).
Each worker wipes the folder at its start, after locking it (app/streaming/slot.py).
"""

import shutil

import rocksdict

from app import app
from app.topics import TopicSpec
from tables.recovery.checkpoint import Record

# Faust's defaults suit one large table: they give each partition 2 GiB of cache.
ROCKSDB_OPTIONS = {
    "driver": "rocksdict",
    "block_cache_size": 8 * 1024**2,
    "write_buffer_size": 4 * 1024**2,
    "max_write_buffer_number": 2,
}


class Store:
    """The RocksDB table of this name, with the newest records of its changelog."""

    def __init__(self, name: str, changelog: TopicSpec, about: str) -> None:
        count = app.conf.topic_partitions
        topic = app.topic(
            changelog.name,
            key_serializer="raw",
            value_serializer="raw",
            key_type=bytes,
            value_type=bytes,
            partitions=count,
        )
        self._table = app.Table(
            name,
            help=about,
            key_type=bytes,
            value_type=bytes,
            partitions=count,
            changelog_topic=topic,
            options=dict(ROCKSDB_OPTIONS),
        )

    def show(self, partition: int, records: list[Record]) -> None:
        """Copy these changelog records to RocksDB."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in records:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._table.data._db_for_partition(partition).write(batch)

    def read(self, partition: int, key: bytes) -> bytes | None:
        """A record that this process has shown."""
        found: bytes | None = self._table.data._db_for_partition(partition).get(key)
        return found


@app.at_worker_start
def begin_clean() -> None:
    """Delete the table files that an earlier process of this slot left behind."""
    shutil.rmtree(app.conf.tabledir, ignore_errors=True)
