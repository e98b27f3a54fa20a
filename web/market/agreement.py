"""Whether Postgres, which a gateway shows, and Kafka's logs, into which it writes, belong together."""

import asyncio
from collections.abc import Mapping
from time import monotonic

from aiokafka.errors import KafkaError

from app.kafka.genesis import WrongTopic, log_ids
from app.kafka.reading import bounds
from app.postgres import (
    AnotherInstallation,
    AnotherTime,
    History,
    HistoryUnavailable,
    require_bounds,
    require_log_ids,
)
from app.streaming.failstop import end_process
from app.topics import EXECUTIONS

RETRY_S = 1.0
RECORDING_PATIENCE_S = 5.0  # recording writes several times a second


class Agreement:
    """Compares them once, as soon as both answer, and watches whether recording gets on whenever somebody asks."""

    def __init__(self, history: History, broker: str, partitions: int) -> None:
        self._history, self._broker, self._partitions = history, broker, partitions
        self._moved_at: dict[int, tuple[int, float]] = {}
        self.was_asked = False
        """Whether they agree, or one of them did not answer: orders do not wait for Postgres."""

    async def run(self) -> None:
        """End the process if they do not belong together; Postgres or Kafka away is waited for."""
        while not await self._agree():
            self.was_asked = True
            await asyncio.sleep(RETRY_S)
        self.was_asked = True

    async def recording(self, reported: Mapping[int, int]) -> str:
        """How recording does, in words, given up to where this gateway has the reports. Raises HistoryUnavailable."""
        recorded, now, waiting = await self._history.recorded(EXECUTIONS.name), monotonic(), 0
        for partition_id, end in reported.items():
            position = recorded[partition_id].next_offset if partition_id in recorded else 0
            before, since = self._moved_at.get(partition_id, (position, now))
            if position >= end or position != before:
                since = now
            self._moved_at[partition_id] = position, since
            if now - since >= RECORDING_PATIENCE_S:
                waiting += end - position
        return f"stands still, {waiting} reports wait: see the recording workers' /readyz and logs" if waiting else "ok"

    async def _agree(self) -> bool:
        """Whether they do; False when nobody can know now."""
        try:
            recorded = await self._history.recorded(EXECUTIONS.name)
            require_log_ids(recorded, await log_ids(self._broker, self._partitions))
            ends = await bounds(self._broker, EXECUTIONS.name, range(self._partitions))
            require_bounds(EXECUTIONS.name, recorded, ends)
        except (AnotherInstallation, AnotherTime, WrongTopic) as reason:
            end_process(str(reason))
        except (HistoryUnavailable, KafkaError, TimeoutError):
            return False
        return True
