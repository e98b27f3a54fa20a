"""A stream of fetched batches for an agent: dense offsets, of the current assignment only."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import faust


class Batch(NamedTuple):
    """Records of one partition, with offset, timestamp (ms), key and value, offsets following each other."""

    partition: int
    records: tuple[Any, ...]
    event: Any

    @property
    def next_offset(self) -> int:
        return int(self.records[-1].offset) + 1

    def without_records(self) -> "Batch":
        """To be acknowledged later: the records' memory is given back now."""
        self.event.message.records = ()
        return self._replace(records=())

    def acknowledge(self) -> None:
        """Let Faust commit up to here: a hint for lag displays, never a position to start from."""
        self.event.ack()


MAX_RECORDS_IN_TURN = 512  # then the event loop has its turn, and whoever else waits for it


async def batches(stream: Any) -> AsyncIterator[Batch]:
    """The batches of an agent's stream; what was fetched before the last rebalance is dropped.

    Those that wait are given in one turn of the event loop, so that what they cause is sent in one request.
    """
    app: faust.App = stream.app
    queue = stream.channel.queue
    async for first in stream.noack().events():
        event, count = first, 0
        while True:
            message = event.message
            if message.generation_id == app.consumer_generation_id:
                count += len(message.records)
                yield Batch(message.partition, message.records, event)
            if count >= MAX_RECORDS_IN_TURN or queue.empty():
                break
            event = queue.get_nowait()
