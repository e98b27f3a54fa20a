"""Sends requests on a fixed schedule, without waiting for earlier answers, and times each from when it was due.

So the latencies of a stalled venue include every request that had to wait (no coordinated omission).
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from itertools import count
from random import Random
from typing import NamedTuple
from urllib.parse import urlsplit

from app.verification.ledger import Entry, Kind, Outcome, Request
from load.backoff import Backoff
from load.client import answered_id
from load.latency import Latency
from load.ledger import Ledger, is_worth_repeating, outcome_of, over_all
from load.request import resolved
from load.wire import Connection, rendered

CONNECTIONS = 64
TIMEOUT_S = 10.0
DRAIN_S = 30.0  # time for repeats and answers after the last request was due
TICK_S = 0.001
CHECK_S = 0.25
RECONNECT_S = 0.1
NS = 1_000_000_000


class _Job(NamedTuple):
    request: Request
    data: bytes
    due_ns: int
    attempts: int = 0
    had_unknown: bool = False
    status: int | None = None


class OpenLoop:
    """One run against `url`: `rate` new requests a second for `seconds`, plus repeats of those with unclear outcome."""

    def __init__(
        self,
        url: str,
        requests: Iterator[Request],
        rate: float,
        seconds: float,
        connections: int = CONNECTIONS,
        timeout_s: float = TIMEOUT_S,
        backoff: Backoff | None = None,
        drain_s: float = DRAIN_S,
        seed: int = 0,
    ) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._requests, self.rate, self.count = requests, rate, int(rate * seconds)
        self._connections, self._timeout_ns = connections, int(timeout_s * NS)
        self._drain_s = drain_s
        self._backoff, self._random = backoff or Backoff(), Random(seed)
        self._idle: list[Connection] = []
        self._jobs: dict[Connection, _Job] = {}
        self._waiting: deque[_Job] = deque()
        self._pausing: dict[int, tuple[asyncio.TimerHandle, _Job]] = {}
        self._pauses = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = self._all_sent = False
        self._done = asyncio.Event()
        self.sent = 0
        self.repeats = 0
        self.ledger = Ledger()
        self.accepted = Latency()  # of orders that got a 2xx, at any attempt
        self.statuses: Counter[str] = Counter()
        self.due: dict[str, int] = {}
        """Order name -> when its request was due; the trade listener measures latencies from it."""
        self.ids: dict[str, str] = {}
        """Order name -> its id, from the answer."""

    @property
    def open(self) -> int:
        """How many due requests have no outcome yet."""
        return len(self._jobs) + len(self._waiting) + len(self._pausing)

    async def run(self) -> None:
        """Send everything, wait for the answers, close all connections."""
        for _ in range(self._connections):
            self._spawn(self._connect())
        watch = asyncio.create_task(self._watch())
        try:
            await self._send_on_schedule()
            self._all_sent = True
            with suppress(TimeoutError):
                async with asyncio.timeout(self._drain_s if self.open else 0):
                    await self._done.wait()
        finally:
            self._stopped = True
            watch.cancel()
            self._give_up()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(watch, *self._tasks, return_exceptions=True)

    def stop(self) -> None:
        """End the schedule after at most one more request; `run` still waits for the answers."""
        self.count = self.sent

    async def _send_on_schedule(self) -> None:
        data = self._prepared()
        start, gap = time.monotonic_ns() + NS // 10, NS / self.rate
        while self.sent < self.count:
            due = start + int(self.sent * gap)
            if (ahead := due - time.monotonic_ns()) > 0:
                await asyncio.sleep(max(TICK_S, ahead / NS))
            request, raw = next(data)
            self.sent += 1
            if request.places and request.kind is not Kind.REPEAT:
                self.due.setdefault(request.about or "", due)
            self._offer(_Job(request, raw, due))
            if self.sent % 256 == 0:
                await asyncio.sleep(0)  # even when behind schedule, we must read answers

    def _prepared(self) -> Iterator[tuple[Request, bytes]]:
        host = f"{self._host}:{self._port}"
        for asked in self._requests:
            request = resolved(asked, self.ids)
            yield request, rendered(request, host)

    def _offer(self, job: _Job) -> None:
        if not self._idle:
            self._waiting.append(job)
            return
        connection = self._idle.pop()
        self._jobs[connection] = job._replace(attempts=job.attempts + 1)
        connection.send(job.data, time.monotonic_ns())

    def _ready(self, connection: Connection) -> None:
        self._idle.append(connection)
        if self._waiting:
            self._offer(self._waiting.popleft())

    def _on_answer(self, connection: Connection, status: int, body: bytes) -> None:
        job = self._jobs.pop(connection, None)
        if job is None:
            return  # a server may send an answer when it closes an idle connection
        if not connection.closing:
            self._ready(connection)
        self.statuses[str(status)] += 1
        self._attempted(job._replace(status=status), answered_id(body))

    def _on_lost(self, connection: Connection) -> None:
        job = self._jobs.pop(connection, None)
        if connection in self._idle:
            self._idle.remove(connection)
        if job is not None:
            self.statuses["no answer"] += 1
            self._attempted(job._replace(status=None), None)
        if not self._stopped:
            self._spawn(self._connect())

    def _attempted(self, job: _Job, answered: str | None) -> None:
        if is_worth_repeating(job.status) and job.attempts < self._backoff.attempts and not self._stopped:
            had_unknown = job.had_unknown or outcome_of(job.status) is Outcome.UNKNOWN
            again = job._replace(had_unknown=had_unknown)
            pause = self._backoff.pause_s(job.attempts, self._random)
            number = next(self._pauses)
            timer = asyncio.get_running_loop().call_later(pause, self._again, number)
            self._pausing[number] = timer, again
            return
        self._finish(job, answered)

    def _again(self, number: int) -> None:
        _, job = self._pausing.pop(number)
        self.repeats += 1
        self._offer(job)

    def _finish(self, job: _Job, answered: str | None) -> None:
        now = time.monotonic_ns()
        outcome = over_all(outcome_of(job.status), job.had_unknown)
        if outcome is Outcome.OK and job.request.places:
            self.accepted.add_ns(now - job.due_ns)
            if answered is not None and job.request.about is not None:
                self.ids[job.request.about] = answered
        self.ledger.record(Entry(job.request, outcome, job.status, job.attempts, job.due_ns, now, answered))
        if self._all_sent and not self.open:
            self._done.set()

    def _give_up(self) -> None:
        """Record open requests as unknown, but not those that were never sent, and close all connections."""
        pausing = list(self._pausing.values())
        for timer, _ in pausing:
            timer.cancel()
        left = [*self._jobs.values(), *(job for _, job in pausing), *(job for job in self._waiting if job.attempts)]
        self._pausing.clear()
        self._waiting.clear()
        for job in left:
            self._finish(job._replace(status=None), None)
        connections = [*self._jobs, *self._idle]
        self._jobs.clear()
        for connection in connections:
            connection.abort()

    async def _connect(self) -> None:
        """Open one connection; retries until the venue accepts it or the run ends."""
        while not self._stopped:
            try:
                loop = asyncio.get_running_loop()
                made = await loop.create_connection(
                    lambda: Connection(self._on_answer, self._on_lost), self._host, self._port
                )
            except OSError:
                await asyncio.sleep(RECONNECT_S)
                continue
            self._ready(made[1])
            return

    async def _watch(self) -> None:
        """Abort connections whose answer takes longer than the timeout."""
        while True:
            await asyncio.sleep(CHECK_S)
            now = time.monotonic_ns()
            for connection in [c for c in self._jobs if now - c.busy_since_ns > self._timeout_ns]:
                connection.abort()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
