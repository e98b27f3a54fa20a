"""Send records to Kafka in bulk: in order per partition, each exactly once, one request at a time to each broker.

A request carries one batch for every partition with waiting records, over all topics. Further records wait while it is
in flight and until the pace allows the next one (app/pace.py): in an idle venue a record leaves at once, and
under load requests grow. Each partition has at most one batch in flight. The sender repeats a failed batch as the same
bytes, with the same sequence number, until Kafka accepts it. So retries preserve order, and Kafka recognises a batch
that it already has (docs/EXACTNESS.md, I6).
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
from app.kafka.brokers import Brokers
from app.kafka.produce_request import MAX_SEQUENCE, Produce, Result, batch_of
from app.pace import Pace

MAX_REQUEST_BYTES = 8 * 1024 * 1024  # the batch that reaches this size is the last in its request
REQUEST_TIMEOUT_MS = 30_000
RETRY_S = 0.1  # pause before a failed batch is sent again
NO_PRODUCER = (-1, -1)
_NOT_YET = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)


class Record(Protocol):
    """A record to send."""

    @property
    def key(self) -> bytes: ...
    @property
    def value(self) -> bytes | None: ...


R = TypeVar("R", bound=Record)


class Line(Generic[R]):
    """The queue of one partition: waiting records, and at most one batch in flight.

    When Kafka has a batch, the line calls `delivered` with its records and the first offset (-1 if Kafka has forgotten
    it). The line drops records for which `is_wanted` is False when it forms a batch.
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

    @property
    def held(self) -> int:
        """How many records wait or are in flight."""
        return len(self.waiting) + len(self.in_flight)

    def batch(self, producer: tuple[int, int], most_bytes: int) -> bytes:
        """The batch to send now: the one in flight again, else a new one; empty if no records wait."""
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
        """Kafka has the batch in flight: advance the sequence number and call `delivered`."""
        records, self.in_flight, self._batch = self.in_flight, [], b""
        self._sequence = (self._sequence + len(records)) % MAX_SEQUENCE
        self._delivered(records, base_offset)


class Sender(Generic[R]):
    """An idempotent producer. Give a line to one sender only.

    Under load a request begins no sooner than `pace_s` after the one before it.

    The sender calls `failed` with an error after which it cannot keep the order; `failed` should end the process.
    It calls `sent` and `acknowledged` with each topic of a request, before sending it and after Kafka's answer.
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
        self._pace = Pace(pace_s)
        self._sent, self._acknowledged = sent, acknowledged
        self.client: Any = AIOKafkaClient(bootstrap_servers=broker, request_timeout_ms=REQUEST_TIMEOUT_MS)
        self.brokers = Brokers(self.client, REQUEST_TIMEOUT_MS / 1000)
        self._loop = asyncio.get_running_loop()
        self._producer = NO_PRODUCER
        self._ready: dict[Line[R], None] = {}
        """Lines with waiting records and no batch in flight; the line that has waited longest comes first."""
        self._busy: set[int] = set()
        """The brokers with a request of ours in flight."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_due = self._is_looking = self._is_closed = False
        self.unacknowledged = 0
        """How many records wait or are in flight, over all lines."""

    async def start(self) -> None:
        """Connect and get a producer id; raises KafkaError."""
        await self.client.bootstrap()
        await self.client.set_topics(self._topics)
        while self._producer == NO_PRODUCER:
            await self._identify()

    async def close(self) -> None:
        """Disconnect, and drop records that Kafka has not acknowledged."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.brokers.close()
        await self.client.close()

    def append(self, line: Line[R], record: R) -> None:
        """Send a record in one request with all others that are appended in this turn of the event loop."""
        line.waiting.append(record)
        self.unacknowledged += 1
        if not line.in_flight:
            self._ready[line] = None
            self._send_soon()

    def _send_soon(self) -> None:
        """Schedule `_send` for after this turn of the event loop, or later if the pace requires it."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(self._pace.wait_s(monotonic()), self._send)

    def _send(self) -> None:
        """Send a request to each broker that leads a ready partition and has no request of ours in flight."""
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
            held = line.held
            batch = line.batch(self._producer, self._max_batch_bytes)
            self.unacknowledged -= held - line.held  # records that nobody wants any more
            if batch:
                batches.setdefault(line.topic, {})[line.partition] = batch
                included.append(line)
                size += len(batch)
        if included:
            self._busy.add(broker)
            self._pace.note(sum(len(line.in_flight) for line in included), monotonic())
            self._spawn(self._exchange(broker, included, batches))

    async def _exchange(self, broker: int, lines: list[Line[R]], batches: dict[str, dict[int, bytes]]) -> None:
        """Send a request, handle its answer, and schedule the next one if records have gathered meanwhile."""
        began, results = monotonic(), dict[tuple[str, int], Result]()
        for topic in batches:
            self._sent(topic)
        try:
            results = await self.brokers.ask(broker, Produce(batches, REQUEST_TIMEOUT_MS))
        except KafkaError as error:
            # Kafka may have stored some of the batches; their sequence numbers identify them when we send them again.
            if not error.retriable:
                raise
            self.client.force_metadata_update()
        metrics.acknowledgement.observe(monotonic() - began)
        metrics.produce_requests.inc()
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
        self.unacknowledged -= len(line.in_flight)
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
        """Ask any broker for a producer id, which sequence numbers belong to. Raises KafkaError if Kafka refuses."""
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
