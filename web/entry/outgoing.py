"""Sends commands and clearing facts to Kafka in the order of arrival; each caller waits for its own acknowledgement."""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import chain
from time import monotonic
from typing import NamedTuple

from aiokafka.errors import KafkaError

from app.engine import partition_of
from app.kafka.sender import Line, Sender
from app.streaming.failpoints import reach
from app.streaming.failstop import end_process, fail_stop
from app.topics import CLEARING, ORDERS
from web import metrics
from web.entry.expected import ANYWHERE
from web.refused import RETRY_SOON_S, Refused

MAX_BATCH_BYTES = 256 * 1024
PACE_S = 0.004  # between requests to Kafka under load, so that several commands share one
MAX_UNACKNOWLEDGED = 20_000  # commands waiting for Kafka; beyond, the gateway refuses new ones
MAX_UNMATCHED = 20_000
"""Commands of a partition without a report; beyond, the gateway refuses new orders for its markets.

More would make an outage of matching longer, and the gateway keeps each accepted order until its report.
"""
ACKNOWLEDGE_TIMEOUT_S = 5.0
STALLED_S = 2.0  # once a command has waited this long, the gateway refuses new ones, which would wait as well
SWEEP_INTERVAL_S = 0.25
REACHABLE_TIMEOUT_S = 1.0


class _Waiting(NamedTuple):
    """A command, the future of its acknowledgement, and the time since which it waits."""

    key: bytes
    value: bytes
    acknowledged: asyncio.Future[int]
    since: float


class Outgoing:
    """The gateway's own idempotent producer."""

    def __init__(self, broker: str, partitions: int, answered: Sequence[int]) -> None:
        """`answered`: for each partition, the `orders` offset below which every command has its report."""
        self._answered, self._ends = answered, [0] * partitions
        self._sender: Sender[_Waiting] = Sender(
            broker,
            (ORDERS.name, CLEARING.name),
            partial(end_process, "the producer of commands failed"),
            MAX_BATCH_BYTES,
            PACE_S,
            lambda _: reach("sent-not-acked"),
        )
        self._lines = [
            Line(ORDERS.name, number, partial(self._delivered, number), _is_wanted) for number in range(partitions)
        ]
        self._facts = Line(CLEARING.name, 0, _delivered, _is_wanted)
        self._line_of: dict[str, Line[_Waiting]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self.is_closing = False
        """Whether this gateway is stopping: it finishes the commands already sent and refuses new ones."""

    @property
    def unacknowledged(self) -> int:
        """How many commands Kafka has not acknowledged."""
        return self._sender.unacknowledged

    async def start(self) -> None:
        """Connect; raises KafkaError."""
        await self._sender.start()
        self._sweeper = asyncio.create_task(fail_stop(self._sweep)())

    async def stop(self) -> None:
        """Disconnect. All requests have ended by now, so no client waits for a command that Kafka may not have."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._sender.close()

    @property
    def is_stalled(self) -> bool:
        """Whether Kafka has not acknowledged a command for some time."""
        return any(_waits_since(line) < monotonic() - STALLED_S for line in self._lines)

    async def is_reachable(self) -> bool:
        """Whether Kafka acknowledges, or at least answers, now."""
        if self.is_stalled:
            return False
        try:
            async with asyncio.timeout(REACHABLE_TIMEOUT_S):
                await self._sender.client.fetch_all_metadata()
        except (KafkaError, TimeoutError, OSError):
            return False
        return True

    def check_room(self) -> None:
        """Raise Refused if the gateway cannot send a command now. Nothing was sent, so the key stays unused."""
        if self.is_closing:
            sentence = "this gateway is going away; repeat it with the same key"
            raise Refused("not_ready", sentence, RETRY_SOON_S, is_leaving=True)
        if self.unacknowledged >= MAX_UNACKNOWLEDGED:
            raise Refused("overloaded", "too many requests wait for Kafka", RETRY_SOON_S)

    def check_matching(self, instrument: str) -> None:
        """Raise Refused if too many commands wait for the engine to take a new order; cancels may still be sent.

        Commands of other gateways count too, up to the offset of the last one that this gateway has sent.
        """
        line = self._line_of.get(instrument) or self._new_line(instrument)
        if self._ends[line.partition] + line.held >= self._answered[line.partition] + MAX_UNMATCHED:
            metrics.orders_shed.labels("behind").inc()
            raise Refused("overloaded", "too many orders wait for the engine", RETRY_SOON_S)

    async def send(self, instrument: str, command: bytes) -> int:
        """Send a command and return its offset once Kafka has it.

        Raises Refused: with `outcome_unknown` Kafka may have the command; with any other code it was not sent.
        """
        offset = await self.append(instrument, command)
        reach("acked-before-response")
        return offset

    def append(self, instrument: str, command: bytes) -> asyncio.Future[int]:
        """Send a command of a listed instrument; the future gives its offset (see ANYWHERE).

        Both the call and the future may raise Refused.
        """
        return self._append(self._line_of.get(instrument) or self._new_line(instrument), instrument.encode(), command)

    async def send_fact(self, key: bytes, fact: bytes) -> None:
        """Send a clearing fact and wait until Kafka has it. Raises Refused, as `send` does."""
        await self._append(self._facts, key, fact)

    def _append(self, line: Line[_Waiting], key: bytes, value: bytes) -> asyncio.Future[int]:
        self.check_room()
        now = monotonic()
        if _waits_since(line) < now - STALLED_S:
            raise Refused("not_ready", "Kafka does not acknowledge at present", RETRY_SOON_S)
        reach("parsed-not-sent")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._sender.append(line, _Waiting(key, value, future, now))
        return future

    def _new_line(self, instrument: str) -> Line[_Waiting]:
        # Callers pass only listed instruments, so the dictionary stays bounded.
        line = self._line_of[instrument] = self._lines[partition_of(instrument, len(self._lines))]
        return line

    def _delivered(self, number: int, commands: list[_Waiting], first: int) -> None:
        self._ends[number] = max(self._ends[number], first + len(commands))
        _delivered(commands, first)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            before = monotonic() - ACKNOWLEDGE_TIMEOUT_S
            for line in (*self._lines, self._facts):
                _give_up(line, before)


def _waits_since(line: Line[_Waiting]) -> float:
    """The time since which the oldest command waits; the current time if no command waits."""
    oldest = line.in_flight or line.waiting
    return oldest[0].since if oldest else monotonic()


def _give_up(line: Line[_Waiting], before: float) -> None:
    """Fail the commands that have waited since `before` or longer; Kafka may still append them."""
    for waiting in chain(line.in_flight, line.waiting):
        if waiting.since > before:
            break
        _fail(waiting)


def _is_wanted(waiting: _Waiting) -> bool:
    """Whether a request still waits for this command; otherwise its client has its answer or has disconnected."""
    return not waiting.acknowledged.done()


def _delivered(commands: list[_Waiting], first: int) -> None:
    for offset, waiting in enumerate(commands, first):
        if not waiting.acknowledged.done():
            waiting.acknowledged.set_result(ANYWHERE if first < 0 else offset)


def _fail(waiting: _Waiting) -> None:
    if not waiting.acknowledged.done():
        sentence = "Kafka did not acknowledge in time; repeating the same request with the same key is safe"
        waiting.acknowledged.set_exception(Refused("outcome_unknown", sentence, RETRY_SOON_S))
