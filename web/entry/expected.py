"""Lets a request wait for the report on its command.

Reports are collected by the command's identity; when Kafka has acknowledged the command, its offset picks the one.

Commands may share an identity (a repeat, or another body under the same key), but each has its own report.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from app.models.reports import ExecutionReport

ANYWHERE = -1
"""Stands for an unknown offset: Kafka acknowledges a retried batch that it already has without naming its offset."""

Parts = list[ExecutionReport]


class Expected:
    """Collects the reports on commands of one identity, from the moment the first request begins to wait."""

    def __init__(self, identity: str) -> None:
        self.identity, self.users = identity, 0
        self._reports: defaultdict[int, Parts] = defaultdict(list)
        self._futures: defaultdict[int, list[asyncio.Future[Parts]]] = defaultdict(list)

    async def report(self, offset: int, patience_s: float) -> Parts | None:
        """All parts of the report on the command at this `orders` offset; None if they do not arrive in time."""
        try:
            async with asyncio.timeout(patience_s):
                return await self._at(offset)
        except TimeoutError:
            return None

    def _at(self, offset: int) -> asyncio.Future[Parts]:
        future: asyncio.Future[Parts] = asyncio.get_running_loop().create_future()
        there = self._reports.values() if offset == ANYWHERE else [self._reports[offset]]
        complete = next((parts for parts in there if parts and len(parts) == parts[0].parts), None)
        if complete is None:
            self._futures[offset].append(future)
        else:
            future.set_result(complete)
        return future

    def add(self, report: ExecutionReport) -> None:
        """Add a report that has arrived; ignore it if it is already here."""
        parts = self._reports[report.offset]
        if report.part != len(parts) + 1:
            return
        parts.append(report)
        if report.part == report.parts:
            for future in [*self._futures.pop(report.offset, ()), *self._futures.pop(ANYWHERE, ())]:
                if not future.done():
                    future.set_result(parts)


class Expectations:
    """Every Expected, by identity: an order id or a command id."""

    def __init__(self) -> None:
        self._expected: dict[str, Expected] = {}

    def begin(self, identity: str) -> Expected:
        """Start collecting the reports on this identity; call `end` afterwards."""
        expected = self._expected.get(identity)
        if expected is None:
            expected = self._expected[identity] = Expected(identity)
        expected.users += 1
        return expected

    @contextmanager
    def of(self, identity: str) -> Iterator[Expected]:
        """Collect the reports on this identity until the block ends."""
        expected = self.begin(identity)
        try:
            yield expected
        finally:
            self.end(expected)

    def end(self, expected: Expected) -> None:
        """Unregister one waiting request; when it was the last, forget the reports collected for it."""
        expected.users -= 1
        if not expected.users:
            del self._expected[expected.identity]

    def add(self, identity: str, report: ExecutionReport) -> None:
        """Pass on a report on this identity, if a request waits for it."""
        expected = self._expected.get(identity)
        if expected is not None:
            expected.add(report)
