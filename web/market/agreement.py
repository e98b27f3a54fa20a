"""Checks that Postgres, from which a gateway reads, and Kafka, to which it writes, belong together."""

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
    """Compares Postgres with Kafka once, as soon as both answer; tells on request whether recording advances."""

    def __init__(self, history: History, broker: str, partitions: int) -> None:
        self._history, self._broker, self._partitions = history, broker, partitions
        self._moved_at: dict[int, tuple[int, float]] = {}
        self.was_asked = False
        """Whether the first comparison is over, even if Postgres or Kafka did not answer: orders need no Postgres."""

    async def run(self) -> None:
        """Retry until Postgres and Kafka both answer; end the process if they do not belong together."""
        while not await self._agree():
            self.was_asked = True
            await asyncio.sleep(RETRY_S)
        self.was_asked = True

    async def recording(self, reported: Mapping[int, int]) -> str:
        """The state of recording in words. Raises HistoryUnavailable.

        `reported`: partition -> the `executions` offset below which this gateway has applied every report.
        """
        recorded, now, waiting = await self._history.recorded(EXECUTIONS.name), monotonic(), 0
        for partition_id, end in reported.items():
            position = recorded[partition_id].next_offset if partition_id in recorded else 0
            before, since = self._moved_at.get(partition_id, (position, now))
            if position >= end or position != before:
                since = now
            self._moved_at[partition_id] = position, since
            if now - since >= RECORDING_PATIENCE_S:
                waiting += end - position
        return f"stalled, {waiting} reports wait: see the recording workers' /readyz and logs" if waiting else "ok"

    async def _agree(self) -> bool:
        """True if Postgres and Kafka belong together; False if one of them does not answer now."""
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
