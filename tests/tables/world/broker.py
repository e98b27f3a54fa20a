"""The broker: three logs in memory, and requests on their way to them that may outlive their writer."""

import random
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.tables.world.log import LogRecord, Reference

if TYPE_CHECKING:
    from tests.tables.world.processes import Worker


class Violation(Exception):
    """Durable data differ from the undisturbed run; the first argument is the kind."""


class Stopped(Exception):
    """A loader refused data that the schedule had really damaged: allowed, unlike a wrong result."""


class Request:
    """A record on its way; `done` comes with the broker's acknowledgement."""

    def __init__(self, record: Any) -> None:
        self.record, self.done = record, False


class Channel:
    """Requests of one writer to one log, in order; they may outlive their writer."""

    def __init__(self, append: Callable[[Any], None], writer: "Worker | None") -> None:
        self.append, self.writer = append, writer
        self.requests: deque[Request] = deque()

    def send(self, record: Any) -> Request:
        self.requests.append(Request(record))
        return self.requests[-1]


class Broker:
    """The three logs. `executions` keeps what a reader following I10 has accepted."""

    def __init__(self, log: list[LogRecord], reference: Reference) -> None:
        self.orders, self.orders_end, self.reference = log, 1, reference
        self.executions: list[tuple[str, int, bytes]] = []
        self.last_seq: Counter[str] = Counter()
        self.effective_at: dict[tuple[str, int], int] = {}
        self.changelog: list[tuple[bytes, bytes | None] | None] = []
        self.history: list[tuple[bytes, bytes | None]] = []
        self.committed = 0  # the group's position, as Faust commits it: after the last batch that was acknowledged

    def append_execution(self, output: tuple[str, int, bytes]) -> None:
        name, seq, value = output
        if self.reference.outputs[name][seq - 1 : seq] != [value]:
            raise Violation("wrong output", name, seq, value)
        if seq == self.last_seq[name] + 1:
            self.last_seq[name] = seq
            self.effective_at[name, seq] = len(self.executions)
        self.executions.append(output)

    def append_changelog(self, record: tuple[bytes, bytes | None]) -> None:
        self.changelog.append(record)
        self.history.append(record)

    def clean(self, rng: random.Random) -> None:
        """Keep the latest record per key below some segment, perhaps only in part yet; old tombstones may go."""
        log, end = self.changelog, rng.randint(0, len(self.changelog))
        latest = {record[0]: i for i in range(end) if (record := log[i])}
        for i in range(rng.randint(0, end)):
            if (record := log[i]) and (latest[record[0]] != i or (record[1] is None and rng.random() < 0.3)):
                log[i] = None
