"""One client process of a ramp: offers orders on schedule over a bounded number of connections, and counts answers.

It repeats nothing, and renders requests before it begins, so it offers several times what `load/openloop.py` can. A
request that finds no free connection waits, for MAX_LATE_S at most; then it counts as not sent.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple
from urllib.parse import urlsplit

import uvloop

from app.verification.ledger import Entry, Outcome, Request
from load.client import answered_id
from load.generator import requests
from load.latency import Latency
from load.ledger import outcome_of
from load.profiles import PLAIN, PROFILES
from load.report import cpu_s
from load.wire import Connection, rendered

MAX_LATE_S = 1.0
PATIENCE_S = 30.0  # time for answers after the last request was due
PREPARED_PER_S = 8_000  # more than a process can send; rendering is a third of its work
TICK_S = 0.001
RECONNECT_S = 0.1
HEAD_START_S = 0.1
NS = 1_000_000_000


class Share(NamedTuple):
    """What one process offers: `rate` orders a second for `seconds`; keys begin with `tag`."""

    url: str
    rate: float
    seconds: float
    connections: int
    seed: int
    tag: str


class Offered(NamedTuple):
    """What became of a share.

    `statuses` counts the answers by HTTP status, and `no answer`. `entries` are the requests that are accepted or whose
    outcome is unknown. `accepted` and `refused` are encoded latencies from the scheduled times.
    """

    due: int
    sent: int
    statuses: dict[str, int]
    entries: list[Entry]
    accepted: bytes
    refused: bytes
    cpu_s: float


def offer(share: Share, wait_for_others: Callable[[], object]) -> Offered:
    """Prepare, wait for the other processes, and offer the share."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Offering(share, wait_for_others).run())


class _Job(NamedTuple):
    request: Request
    due_ns: int


class _Offering:
    def __init__(self, share: Share, wait_for_others: Callable[[], object]) -> None:
        address = urlsplit(share.url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._share, self._count = share, int(share.rate * share.seconds)
        self._wait_for_others = wait_for_others
        self._stream = self._rendered()
        self._prepared: deque[tuple[Request, bytes]] = deque()
        self._idle: list[Connection] = []
        self._jobs: dict[Connection, _Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._start_ns, self._next, self._sent = 0, 0, 0
        self._is_over = False
        self._statuses: Counter[str] = Counter()
        self._entries: list[Entry] = []
        self._accepted, self._refused = Latency(), Latency()

    async def run(self) -> Offered:
        """Offer everything, and wait for the answers."""
        share = self._share
        self._prepared.extend(islice(self._stream, int(min(share.rate, PREPARED_PER_S) * share.seconds)))
        await asyncio.gather(*(self._connect() for _ in range(share.connections)))
        await asyncio.to_thread(self._wait_for_others)
        used, self._start_ns = cpu_s(), time.monotonic_ns() + int(HEAD_START_S * NS)
        while self._next < self._count:
            self._send_what_is_due()
            await asyncio.sleep(TICK_S)
        used, give_up = cpu_s() - used, time.monotonic() + PATIENCE_S
        while self._jobs:
            await asyncio.sleep(TICK_S)
            if time.monotonic() > give_up:
                for connection in list(self._jobs):
                    connection.abort()
        self._is_over = True
        for connection in list(self._idle):
            connection.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        latencies = self._accepted.encoded(), self._refused.encoded()
        return Offered(self._count, self._sent, dict(self._statuses), self._entries, *latencies, used)

    def _rendered(self) -> Iterator[tuple[Request, bytes]]:
        host = f"{self._host}:{self._port}"
        for request in requests(PROFILES["reference"], self._share.seed, PLAIN, self._share.tag):
            yield request, rendered(request, host)

    def _due_ns(self, number: int) -> int:
        return self._start_ns + int(number * NS / self._share.rate)

    def _send_what_is_due(self) -> None:
        """Send what is due as far as connections are free, and pass over what is too late."""
        now = time.monotonic_ns()
        too_late = int((now - int(MAX_LATE_S * NS) - self._start_ns) * self._share.rate / NS)
        self._next = max(self._next, min(too_late, self._count))
        while self._idle and self._next < self._count and (due := self._due_ns(self._next)) <= now:
            request, data = self._prepared.popleft() if self._prepared else next(self._stream)
            connection = self._idle.pop()
            self._next += 1
            self._sent += 1
            self._jobs[connection] = _Job(request, due)
            connection.send(data, now)

    def _on_answer(self, connection: Connection, status: int, body: bytes) -> None:
        if (job := self._jobs.pop(connection, None)) is None:
            return
        if not connection.closing:
            self._idle.append(connection)
        self._note(job, status, body)
        self._send_what_is_due()

    def _on_lost(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if (job := self._jobs.pop(connection, None)) is not None:
            self._note(job, None, b"")
        if not self._is_over:
            task = asyncio.create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _note(self, job: _Job, status: int | None, body: bytes) -> None:
        now, outcome = time.monotonic_ns(), outcome_of(status)
        self._statuses["no answer" if status is None else str(status)] += 1
        if outcome is Outcome.REFUSED:
            self._refused.add_ns(now - job.due_ns)
            return
        if outcome is Outcome.OK:
            self._accepted.add_ns(now - job.due_ns)
        self._entries.append(Entry(job.request, outcome, status, 1, job.due_ns, now, answered_id(body)))

    async def _connect(self) -> None:
        """Open one connection; retries until the venue accepts it or the run ends."""
        loop = asyncio.get_running_loop()
        while not self._is_over:
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(self._on_answer, self._on_lost), self._host, self._port
                )
            except OSError:
                await asyncio.sleep(RECONNECT_S)
            else:
                self._idle.append(connection)
                return
