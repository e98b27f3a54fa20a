"""The books table as Faust and people see it: a changelog-backed RocksDB table, for inspection only.

The process that owns a partition fills it from the changelog at start and at each checkpoint; recovery never reads it
(exactness.md, I8). The disk is wiped when a worker starts, under an exclusive lock: one live process for each slot.
"""

import shutil
from pathlib import Path
from typing import Any

import rocksdict

from app import app, settings
from app.streaming.failstop import end_process
from app.streaming.slot import SlotTaken, take_slot
from app.topics import BOOKS_CHANGELOG
from tables.checkpoint import Record

# Faust's defaults are made for one large table: 2 GiB of cache for each partition.
ROCKSDB_OPTIONS = {
    "driver": "rocksdict",
    "block_cache_size": 8 * 1024**2,
    "write_buffer_size": 4 * 1024**2,
    "max_write_buffer_number": 2,
}

changelog = app.topic(
    BOOKS_CHANGELOG.name,
    key_serializer="raw",
    value_serializer="raw",
    key_type=bytes,
    value_type=bytes,
    partitions=app.conf.topic_partitions,
)
books = app.Table(
    "books",
    help="instrument@offset -> a book's snapshot, for inspection; see `table books`",
    key_type=bytes,
    value_type=bytes,
    partitions=app.conf.topic_partitions,
    changelog_topic=changelog,
    options=dict(ROCKSDB_OPTIONS),
)
_slot_lock: Any = None  # held as long as this process lives


@app.at_worker_start
def begin_clean() -> None:
    """Take the slot for this process, and forget what an earlier one left on its disk."""
    global _slot_lock
    try:
        _slot_lock = take_slot(Path(app.conf.datadir))
    except SlotTaken as taken:
        end_process(f"the slot {settings.role}-{settings.slot} is taken: {taken}")
    shutil.rmtree(app.conf.tabledir, ignore_errors=True)


def show(partition: int, records: list[Record]) -> None:
    """Let people see these changelog records."""
    batch = rocksdict.WriteBatch(raw_mode=True)
    for key, value in records:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    books.data._db_for_partition(partition).write(batch)
