"""Give an agent whole fetched batches, with dense offsets, and only those of the current assignment."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import faust


class Batch(NamedTuple):
    """Consecutive records of one partition, each with offset, timestamp (ms), key and value."""

    partition: int
    records: tuple[Any, ...]
    event: Any

    @property
    def next_offset(self) -> int:
        return int(self.records[-1].offset) + 1

    def without_records(self) -> "Batch":
        """The batch for a later acknowledgement; this frees the memory of its records."""
        self.event.message.records = ()
        return self._replace(records=())

    def acknowledge(self) -> None:
        """Let Faust commit up to here: a hint for lag displays, never a position to start from."""
        self.event.ack()


MAX_RECORDS_IN_TURN = 512  # then the event loop runs other tasks


async def batches(stream: Any) -> AsyncIterator[Batch]:
    """Yield the batches of an agent's stream; drop those that were fetched before the last rebalance.

    All waiting batches are yielded in one turn of the event loop, so that their outputs share a request.
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
