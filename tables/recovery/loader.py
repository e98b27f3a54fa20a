"""Read a changelog partition from Kafka to its end; workers never load a table from a local disk (I8).

Meanwhile old owners may still write and Kafka's cleaner may compact, so the loader queries the end again until nothing
is left to read; only then does it report a missing record as damage.
"""

from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

from tables.recovery.changelog import Codec, Fence, Loaded, fold, interpret

Record = tuple[bytes, bytes | None]


class LogReader(Protocol):
    """A changelog partition and the ends of the other logs, as a private consumer sees them."""

    def ends(self) -> Awaitable[tuple[int, int]]:
        """The end of the outputs, then the end of the source; the second is queried only after the first is known."""

    def end(self) -> Awaitable[int]:
        """The changelog's end now."""

    def read(self, position: int, end: int) -> Awaitable[tuple[list[Record], int]]:
        """Some records between these offsets, and the position after them. Compaction leaves gaps."""


async def load(reader: LogReader, codec: Codec, log_id: str) -> Loaded:
    """The state that a worker starts from; raises changelog.Damaged."""
    fence = Fence(*await reader.ends())
    return interpret(await read_to_moving_end(reader), codec, log_id, fence)


async def read_to_moving_end(reader: LogReader) -> dict[bytes, bytes]:
    """The latest value of each key, up to an end that no longer moves."""
    latest: dict[bytes, bytes] = {}
    async for records in to_moving_end(reader):
        fold(records, latest)
    return latest


async def to_moving_end(reader: LogReader) -> AsyncIterator[list[Record]]:
    """All records, some at a time, up to an end that no longer moves."""
    position, end = 0, await reader.end()
    while position < end:
        records, position = await reader.read(position, end)
        yield records
        if position >= end:
            # The cleaner removes a record only if its key has a later one, so reading to the newest end misses no key.
            end = await reader.end()
