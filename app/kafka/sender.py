"""The one way records go to Kafka in bulk: per partition in order, each exactly once, a request at a time to a broker.

A request carries a batch for every partition that has something to send, of all topics. While it is on its way, and
until its pace allows the next one, the rest gathers: nothing waits in an idle venue, and the busier it gets, the larger
the requests. Each partition has one batch in flight; what Kafka did
not take is sent again as the same bytes, with the same sequence number, until it is taken. So order holds through
retries, and Kafka recognises a batch that it has already (docs/EXACTNESS.md, I6).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    DuplicateSequenceNumber,
    KafkaError,
    NoError,
    NotCoordinatorError,
    for_code,
)
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.structs import TopicPartition

from app import metrics
from app.kafka.produce_request import MAX_SEQUENCE, Answer, Produce, Result, batch_of

MAX_REQUEST_BYTES = 8 * 1024 * 1024  # a request ends with the batch that reaches it
REQUEST_TIMEOUT_MS = 30_000
RETRY_S = 0.1  # before what failed is sent again
NO_PRODUCER = (-1, -1)
_NOT_YET = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)


class Record(Protocol):
    """What a line carries."""

    @property
    def key(self) -> bytes: ...
    @property
    def value(self) -> bytes | None: ...


R = TypeVar("R", bound=Record)


class Line(Generic[R]):
    """The records of one partition on their way: some wait, one batch of them is in flight.

    `delivered` gets the records of a batch that Kafka has, and the offset of the first (-1: Kafka does not remember).
    Records of which `is_wanted` says no before they are in a batch are left out.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        delivered: Callable[[list[R], int], None],
        is_wanted: Callable[[R], bool] | None = None,
    ) -> None:
        self.topic, self.partition = topic, partition
        self.waiting: deque[R] = deque()
        self.in_flight: list[R] = []
        self._delivered, self._is_wanted = delivered, is_wanted
        self._batch = b""
        self._sequence = 0

    def batch(self, producer: tuple[int, int], most_bytes: int) -> bytes:
        """The batch to send now: that in flight again, or a new one; empty if there is nothing to send."""
        if not self.in_flight:
            if self._is_wanted is not None:
                self.waiting = deque(filter(self._is_wanted, self.waiting))
            if not self.waiting:
                return b""
            pairs = ((record.key, record.value) for record in self.waiting)
            self._batch, count = batch_of(pairs, producer, self._sequence, most_bytes)
            self.in_flight = [self.waiting.popleft() for _ in range(count)]
        return self._batch

    def deliver(self, base_offset: int) -> None:
        """Kafka has the batch in flight."""
        records, self.in_flight, self._batch = self.in_flight, [], b""
        self._sequence = (self._sequence + len(records)) % MAX_SEQUENCE
        self._delivered(records, base_offset)


class Sender(Generic[R]):
    """An idempotent producer. Give a line to one sender only.

    A request begins no sooner than `pace_s` after the one before it.

    `failed` is called with an error after which nothing more can be sent in order; it should end the process.
    `sent` and `acknowledged` are called with a topic of a request: it is given to the connection, or answered.
    """

    def __init__(
        self,
        broker: str,
        topics: Iterable[str],
        failed: Callable[[BaseException], None],
        max_batch_bytes: int,
        pace_s: float = 0.0,
        sent: Callable[[str], None] = lambda topic: None,
        acknowledged: Callable[[str], None] = lambda topic: None,
    ) -> None:
        self._topics, self._failed, self._max_batch_bytes = tuple(topics), failed, max_batch_bytes
        self._pace_s, self._next_at = pace_s, 0.0
        self._sent, self._acknowledged = sent, acknowledged
        self.client: Any = AIOKafkaClient(bootstrap_servers=broker, request_timeout_ms=REQUEST_TIMEOUT_MS)
        self._loop = asyncio.get_running_loop()
        self._producer = NO_PRODUCER
        self._ready: dict[Line[R], None] = {}
        """Lines that have something to send and nothing on its way, those that have waited longest first."""
        self._busy: set[int] = set()
        """The brokers that have a request of ours."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_due = self._is_looking = self._is_closed = False

    async def start(self) -> None:
        """Connect and get a producer id; raises KafkaError."""
        await self.client.bootstrap()
        await self.client.set_topics(self._topics)
        while self._producer == NO_PRODUCER:
            await self._identify()

    async def close(self) -> None:
        """Disconnect; what Kafka has not acknowledged is given up."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()

    def append(self, line: Line[R], record: R) -> None:
        """Send a record, together with all that is appended in this turn of the event loop."""
        line.waiting.append(record)
        if not line.in_flight:
            self._ready[line] = None
            self._send_soon()

    def _send_soon(self) -> None:
        """Send what is ready after this turn of the event loop, or when the pace allows it."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_at(max(self._next_at, self._loop.time()), self._send)

    def _send(self) -> None:
        """Send a request to each broker that has none of ours and leads a partition with something to send."""
        self._is_due = False
        if self._is_closed:
            return
        lines: dict[int, list[Line[R]]] = {}
        lost = False
        for line in self._ready:
            leader = self.client.cluster.leader_for_partition(TopicPartition(line.topic, line.partition))
            if leader is None or leader == -1:
                lost = True
            elif leader not in self._busy:
                lines.setdefault(leader, []).append(line)
        for broker, ready in lines.items():
            self._send_to(broker, ready)
        if lost and not self._is_looking:
            self._is_looking = True
            self._spawn(self._find_leaders())

    def _send_to(self, broker: int, lines: list[Line[R]]) -> None:
        batches: dict[str, dict[int, bytes]] = {}
        included, size = [], 0
        for line in lines:
            if size >= MAX_REQUEST_BYTES:
                break
            del self._ready[line]
            if batch := line.batch(self._producer, self._max_batch_bytes):
                batches.setdefault(line.topic, {})[line.partition] = batch
                included.append(line)
                size += len(batch)
        if included:
            self._busy.add(broker)
            self._next_at = self._loop.time() + self._pace_s
            self._spawn(self._exchange(broker, included, batches))

    async def _exchange(self, broker: int, lines: list[Line[R]], batches: dict[str, dict[int, bytes]]) -> None:
        """Send the request, take its answer, and send what has gathered meanwhile."""
        began, results = monotonic(), {}
        for topic in batches:
            self._sent(topic)
        try:
            answer: Answer = await self.client.send(broker, Produce(batches, REQUEST_TIMEOUT_MS))
            results = answer.results
        except KafkaError as error:
            # Kafka may have the batches, or some of them: sent again, it knows them by their sequence numbers.
            if not error.retriable:
                raise
            self.client.force_metadata_update()
        metrics.acknowledgement.observe(monotonic() - began)
        for topic in batches if results else ():
            self._acknowledged(topic)
        self._busy.discard(broker)
        again = [line for line in lines if not self._settle(line, results.get((line.topic, line.partition)))]
        if again:
            self._loop.call_later(RETRY_S, self._send_again, again)
        if self._ready:
            self._send_soon()

    def _settle(self, line: Line[R], result: Result | None) -> bool:
        """Whether Kafka has the line's batch; raises KafkaError when it never will."""
        if result is None:
            return False
        error = for_code(result.error_code)
        if error not in (NoError, DuplicateSequenceNumber):
            if not error.retriable:
                raise error(f"{line.topic}[{line.partition}]")
            if error.invalid_metadata:
                self.client.force_metadata_update()
            return False
        line.deliver(result.base_offset)
        if line.waiting:
            self._ready[line] = None
        return True

    def _send_again(self, lines: list[Line[R]]) -> None:
        self._ready.update(dict.fromkeys(lines))
        self._send_soon()

    async def _find_leaders(self) -> None:
        await self.client.force_metadata_update()
        await asyncio.sleep(RETRY_S)
        self._is_looking = False
        self._send_soon()

    async def _identify(self) -> None:
        """Ask any broker for a producer id, under which sequence numbers count; raises KafkaError if none comes."""
        try:
            response = await self.client.send(self.client.get_random_node(), InitProducerIdRequest(None, 0))
            error = for_code(response.error_code)
        except KafkaError as failure:
            if not failure.retriable:
                raise
            error = CoordinatorNotAvailableError
        if error is NoError:
            self._producer = (response.producer_id, response.producer_epoch)
        elif error in _NOT_YET:
            await asyncio.sleep(RETRY_S)
            await self.client.force_metadata_update()
        else:
            raise error("Kafka gives this producer no id")

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
