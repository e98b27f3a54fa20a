"""The books table in Faust: a RocksDB table that people can inspect and that recovery never reads.

A partition's owner fills it from the changelog at start and at each checkpoint (docs/EXACTNESS.md, I8).
Each worker wipes the folder at its start, after locking it (app/streaming/slot.py).
"""

import shutil

import rocksdict

from app import app
from app.topics import BOOKS_CHANGELOG
from tables.recovery.checkpoint import Record

# Faust's defaults suit one large table: they give each partition 2 GiB of cache.
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


@app.at_worker_start
def begin_clean() -> None:
    """Delete the table files that an earlier process of this slot left behind."""
    shutil.rmtree(app.conf.tabledir, ignore_errors=True)


def show(partition: int, records: list[Record]) -> None:
    """Copy these changelog records to RocksDB, where people can inspect them."""
    batch = rocksdict.WriteBatch(raw_mode=True)
    for key, value in records:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    books.data._db_for_partition(partition).write(batch)
