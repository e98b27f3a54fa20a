"""Commands on their way to Kafka: those of one turn of the event loop share a batch, each caller waits for its own.

One batch is in flight per partition, so commands keep the order in which they came, also through retries.
"""

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, LeaderNotAvailableError, NotLeaderForPartitionError

from app.engine import partition_of
from app.metrics import acknowledgement
from app.streaming.failpoints import reach
from app.streaming.failstop import end_process, fail_stop
from app.topics import ORDERS
from web.entry.expected import ANYWHERE
from web.refused import RETRY_SOON_S, Refused

MAX_BATCH_BYTES = 256 * 1024
MAX_UNACKNOWLEDGED = 20_000  # commands waiting for Kafka at once; beyond, new ones are refused
ACKNOWLEDGE_TIMEOUT_S = 5.0
STALLED_S = 2.0  # a command waits this long: new ones are refused, because they would wait as well
SWEEP_INTERVAL_S = 0.25
REACHABLE_TIMEOUT_S = 1.0
# Kafka did not take a batch; the next one may fare better. Anything else is a producer that has ended.
_PASSING = (KafkaTimeoutError, LeaderNotAvailableError, NotLeaderForPartitionError)


class _Waiting(NamedTuple):
    """A command, and who waits for its acknowledgement since when."""

    key: bytes
    value: bytes
    acknowledged: asyncio.Future[int]
    since: float


class Outgoing:
    """The gateway's own idempotent producer."""

    def __init__(self, broker: str, partitions: int) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=broker, enable_idempotence=True, acks="all", max_batch_size=MAX_BATCH_BYTES
        )
        self._lines = [_Line(self._producer, number) for number in range(partitions)]
        self._line_of: dict[str, _Line] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self.is_closing = False
        """Whether this gateway stops: what is sent is finished, nothing new is taken."""

    @property
    def unacknowledged(self) -> int:
        """How many commands Kafka has not acknowledged."""
        return sum(line.length for line in self._lines)

    async def start(self) -> None:
        """Connect; raises KafkaError."""
        await self._producer.start()
        self._sweeper = asyncio.create_task(fail_stop(self._sweep)())

    async def stop(self) -> None:
        """Disconnect. The requests have ended by now, so nobody waits for what Kafka may still not have."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT_S):
                await self._producer.stop()

    @property
    def is_stalled(self) -> bool:
        """Whether Kafka has not acknowledged a command for some time."""
        return any(line.waits_since < monotonic() - STALLED_S for line in self._lines)

    async def is_reachable(self) -> bool:
        """Whether Kafka acknowledges, or at least answers, now."""
        if self.is_stalled:
            return False
        try:
            async with asyncio.timeout(REACHABLE_TIMEOUT_S):
                await self._producer.client.fetch_all_metadata()
        except (KafkaError, TimeoutError, OSError):
            return False
        return True

    def check_room(self) -> None:
        """Raise Refused when a command would wait in vain. Nothing was sent, so no key is used up."""
        if self.is_closing:
            sentence = "this gateway is going away; repeat it with the same key"
            raise Refused("not_ready", sentence, RETRY_SOON_S, is_leaving=True)
        if self.unacknowledged >= MAX_UNACKNOWLEDGED:
            raise Refused("overloaded", "too many requests wait for Kafka", RETRY_SOON_S)

    async def send(self, instrument: str, command: bytes) -> int:
        """The command's offset, when Kafka has it. Raises Refused: `outcome_unknown`, or not sent."""
        offset = await self.append(instrument, command)
        reach("acked-before-response")
        return offset

    def append(self, instrument: str, command: bytes) -> asyncio.Future[int]:
        """Send a command of a listed instrument; the future is its offset (see ANYWHERE). Both may raise Refused."""
        self.check_room()
        line = self._line_of.get(instrument) or self._new_line(instrument)
        if line.waits_since < monotonic() - STALLED_S:
            raise Refused("not_ready", "Kafka does not acknowledge at present", RETRY_SOON_S)
        reach("parsed-not-sent")
        return line.append(instrument.encode(), command)

    def _new_line(self, instrument: str) -> "_Line":
        # Only listed instruments come here, so this cannot grow without bound.
        line = self._line_of[instrument] = self._lines[partition_of(instrument, len(self._lines))]
        return line

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            for line in self._lines:
                line.give_up(monotonic() - ACKNOWLEDGE_TIMEOUT_S)


class _Line:
    """The commands of one partition."""

    def __init__(self, producer: AIOKafkaProducer, partition: int) -> None:
        self._producer, self._partition = producer, partition
        self._queue: deque[_Waiting] = deque()
        self._in_flight: list[_Waiting] = []
        self._sender: asyncio.Task[None] | None = None

    @property
    def length(self) -> int:
        return len(self._queue) + len(self._in_flight)

    @property
    def waits_since(self) -> float:
        """Since when the oldest command waits; now, if none does."""
        oldest = self._in_flight or self._queue
        return oldest[0].since if oldest else monotonic()

    def append(self, key: bytes, value: bytes) -> asyncio.Future[int]:
        """Send the command; the future is its offset, or Refused: `outcome_unknown`."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(key, value, future, monotonic()))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(fail_stop(self._send_all)())
        return future

    def give_up(self, before: float) -> None:
        """Answer those who wait since then or longer; what they sent may still be appended."""
        for waiting in (*self._in_flight, *self._queue):
            if waiting.since > before:
                break
            _fail(waiting)

    async def _send_all(self) -> None:
        while self._queue:
            batch = self._next_batch()
            if not self._in_flight:
                continue
            try:
                sent = await self._producer.send_batch(batch, ORDERS.name, partition=self._partition)
                reach("sent-not-acked")
                with acknowledgement.time():
                    first = (await sent).offset
            except _PASSING:
                for waiting in self._in_flight:
                    _fail(waiting)
            except KafkaError as error:
                end_process("the producer of commands failed", error)
            else:
                for number, waiting in enumerate(self._in_flight):
                    if not waiting.acknowledged.done():
                        waiting.acknowledged.set_result(ANYWHERE if first < 0 else first + number)
            self._in_flight = []

    def _next_batch(self) -> Any:
        batch = self._producer.create_batch()
        while self._queue:
            first = self._queue[0]
            if not first.acknowledged.done():  # else nobody waits any more: it was answered, or its client is gone
                if batch.append(key=first.key, value=first.value, timestamp=None) is None:
                    break
                self._in_flight.append(first)
            self._queue.popleft()
        assert self._in_flight or not self._queue, "a body's limit is far below a batch's"
        batch.close()
        return batch


def _fail(waiting: _Waiting) -> None:
    if not waiting.acknowledged.done():
        sentence = "Kafka did not acknowledge in time; repeating the same request with the same key is safe"
        waiting.acknowledged.set_exception(Refused("outcome_unknown", sentence, RETRY_SOON_S))
