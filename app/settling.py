"""Settling: the facts of the topic `clearing` into Postgres, in order, and the cutoffs of the cycle that is due."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple

from app.clearing.cycles import Closed, Opened
from app.models.clearing import MAX_MARKETS, CycleClosed, Settle, read_fact, take
from app.postgres import Projection
from app.unusable import pass_over

POLL_S = 0.2
DAY_MS = 24 * 60 * 60 * 1000
EPOCH = date(1970, 1, 1).toordinal()
NO_FACT = "it is not a fact of clearing"

_log = logging.getLogger(__name__)


class Proposal(NamedTuple):
    """What to write to the topic, if anything; and the markets that need a tick before a cutoff time is known."""

    closed: CycleClosed | None
    quiet: list[str]


NOTHING = Proposal(None, [])


class Settling:
    """The projection and the cycles so far. One call at a time: the others wait."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._lock = asyncio.Lock()
        self._proposed = 0
        self._asked_day: int | None = None
        self._busy: str | None = None

    @property
    def waits_for(self) -> str | None:
        """Why clearing waits: Postgres is away, recording is behind a closed cycle, or a cycle is being netted."""
        return self._projection.waits_for or self._busy

    async def start(self, log_id: str) -> int:
        """The offset at which to continue. Raises AnotherInstallation, Refused."""
        async with self._lock:
            begun = await self._projection.start(log_id)
            self._cycles, self._unsealed, self._cutoff_times = begun.cycles, begun.unsealed, begun.cutoff_times
            return begun.next_offset

    @property
    def position(self) -> int:
        """Everything below this offset is projected."""
        return self._projection.next_offset

    async def take(self, records: Iterable[Any]) -> None:
        """Project the next records of the topic; a record that is no fact is passed over. Raises PositionMoved."""
        async with self._lock:
            await self._net_closed()  # cycles that an earlier process left
            for record in records:
                fact = read_fact(record.value)
                if fact is None:
                    pass_over(record.topic, record.partition, record.offset, NO_FACT)
                effect = None if fact is None else take(self._cycles, fact, record.timestamp)
                await self._projection.take(record.offset, record.timestamp, fact, effect)
                if isinstance(effect, Opened) and isinstance(fact, Settle) and fact.cutoff_time is not None:
                    self._cutoff_times[effect.cycle] = fact.cutoff_time
                if isinstance(effect, Closed):
                    self._unsealed.append(effect.cycle)
                    await self._net_closed()

    async def proposal(self) -> Proposal:
        """The cutoffs of the lowest open cycle, once in the life of a process.

        Another process may propose others; what counts is the first in the topic.
        """
        async with self._lock:
            await self._net_closed()
            cycle = self._cycles.open
            if cycle is None or cycle <= self._proposed:
                return NOTHING
            if (time_ms := self._cutoff_times.get(cycle)) is None:
                cutoffs = await self._projection.recorded()
            else:
                cutoffs, quiet = await self._projection.recorded_at(time_ms)
                if quiet:
                    return Proposal(None, quiet)
            self._proposed = cycle
            before = self._cycles.cutoffs
            moved = [(name, to) for name, to in sorted(cutoffs.items()) if to > before.get(name, 0)]
            if len(moved) > MAX_MARKETS:
                _log.error(
                    "cycle %s takes %s of %s markets, the most that one record has: settle again for the others",
                    *(cycle, MAX_MARKETS, len(moved)),
                )
            return Proposal(CycleClosed(cycle, dict(moved[:MAX_MARKETS])), [])

    async def daily(self, at_ms: int, now_ms: int) -> Settle | None:
        """What to ask for at this time of each day, in ms after midnight UTC, unless it is asked for already.

        The clock only says when to ask. What is asked for follows from the day: two processes ask for the same.
        """
        async with self._lock:
            day = (now_ms - at_ms) // DAY_MS
            due = Settle(f"daily-{date.fromordinal(EPOCH + day)}", day * DAY_MS + at_ms)
            if day == self._asked_day or due.key in self._cycles.numbers:
                return None
            self._asked_day = day
            return due

    async def _net_closed(self) -> None:
        """Net closed cycles, each once recording has reached its cutoffs; it lags while a database is filled again."""
        while self._unsealed:
            cycle = self._unsealed[0]
            while behind := await self._projection.behind(cycle):
                self._busy = f"cycle {cycle} waits for recording: {behind}"
                await asyncio.sleep(POLL_S)
            self._busy = f"cycle {cycle} is being netted"
            await self._projection.net(cycle)
            self._busy = None
            self._unsealed.pop(0)
