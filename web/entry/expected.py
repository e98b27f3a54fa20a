"""Who waits for which report: by the command's identity, and by its offset once Kafka has said where it stands.

Commands may share an identity (a repeat, or another body under the same key), and each has a report of its own.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from app.models.reports import ExecutionReport

ANYWHERE = -1
"""The offset of a command that Kafka has, without saying where: a retry of a batch that it had already."""

Parts = list[ExecutionReport]


class Expected:
    """The reports about commands of one identity since somebody began to wait."""

    def __init__(self, identity: str) -> None:
        self.identity, self.users = identity, 0
        self._reports: defaultdict[int, Parts] = defaultdict(list)
        self._futures: defaultdict[int, list[asyncio.Future[Parts]]] = defaultdict(list)

    async def report(self, offset: int, patience_s: float) -> Parts | None:
        """The report about the command at this offset in `orders`, in its parts; None if it does not come in time."""
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
        """A report has come, perhaps not for the first time."""
        parts = self._reports[report.offset]
        if report.part != len(parts) + 1:
            return
        parts.append(report)
        if report.part == report.parts:
            for future in [*self._futures.pop(report.offset, ()), *self._futures.pop(ANYWHERE, ())]:
                if not future.done():
                    future.set_result(parts)


class Expectations:
    """All that is expected, by identity: an order's id, or a command id."""

    def __init__(self) -> None:
        self._expected: dict[str, Expected] = {}

    def begin(self, identity: str) -> Expected:
        """From now on reports about this identity are kept."""
        expected = self._expected.get(identity)
        if expected is None:
            expected = self._expected[identity] = Expected(identity)
        expected.users += 1
        return expected

    @contextmanager
    def of(self, identity: str) -> Iterator[Expected]:
        """The same, until the block ends."""
        expected = self.begin(identity)
        try:
            yield expected
        finally:
            self.end(expected)

    def end(self, expected: Expected) -> None:
        """One who waited does not any more."""
        expected.users -= 1
        if not expected.users:
            del self._expected[expected.identity]

    def add(self, identity: str, report: ExecutionReport) -> None:
        """A report about this identity has come."""
        expected = self._expected.get(identity)
        if expected is not None:
            expected.add(report)
