"""Reading a changelog partition to its end, by ourselves: books come from here, never from a local disk (I8).

Old owners may still write and the cleaner runs meanwhile, so the end is asked for again until nothing is left; only
then is anything missing called damage.
"""

from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

from tables.recovery.changelog import Codec, Fence, Loaded, fold, interpret

Record = tuple[bytes, bytes | None]


class LogReader(Protocol):
    """A changelog partition and the ends of the other logs, as a private consumer sees them."""

    def ends(self) -> Awaitable[tuple[int, int]]:
        """The end of `executions` and then, asked only after its answer, the end of `orders`."""

    def end(self) -> Awaitable[int]:
        """The changelog's end now."""

    def read(self, position: int, end: int) -> Awaitable[tuple[list[Record], int]]:
        """Some records from a position on, below an end, and the position after them; fewer keys after compaction."""


async def load(reader: LogReader, codec: Codec, log_id: str) -> Loaded:
    """What a worker starts from; raises changelog.Damaged."""
    fence = Fence(*await reader.ends())
    return interpret(await read_to_moving_end(reader), codec, log_id, fence)


async def read_to_moving_end(reader: LogReader) -> dict[bytes, bytes]:
    """The latest value of each key, up to an end after which nothing more came."""
    latest: dict[bytes, bytes] = {}
    async for records in to_moving_end(reader):
        fold(records, latest)
    return latest


async def to_moving_end(reader: LogReader) -> AsyncIterator[list[Record]]:
    """All records, some at a time, up to an end after which nothing more came."""
    position, end = 0, await reader.end()
    while position < end:
        records, position = await reader.read(position, end)
        yield records
        if position >= end:
            # Cleaning removes a record only for a later one of its key: up to the newest end nothing can be missed.
            end = await reader.end()
