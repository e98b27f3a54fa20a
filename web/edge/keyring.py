"""The API keys that a gateway knows: it follows their topic, so keys still work while Postgres or Kafka is away."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import time_ns
from typing import Any

from aiokafka import AIOKafkaConsumer

from app import api_keys
from app.models.api_keys import ApiKey, digest_of, key_id_of
from web.edge.limits import Bucket

FETCH_MAX_WAIT_MS = 500
LONGEST_MS = 7 * 86_400_000  # the longest life of a WebSocket, even if its key never expires


class Keyring:
    """Every key that is not revoked, with its rate limit."""

    def __init__(self, broker: str, default_rate: float) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=broker,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        )
        self._default_rate = default_rate
        self._keys: dict[str, ApiKey] = {}
        self._buckets: dict[str, Bucket] = {}
        self._holders: dict[str, set[asyncio.Task[Any]]] = {}
        self.is_ready = False
        """Whether the keyring has read everything that was in the topic when this gateway started."""

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        consumer, partition = self._consumer, api_keys.PARTITION
        await consumer.start()
        try:
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            while True:
                # If compaction removed the last records, the position reaches the end without a record.
                self.is_ready = self.is_ready or await consumer.position(partition) >= end
                for record in (await consumer.getmany(timeout_ms=FETCH_MAX_WAIT_MS)).get(partition, []):
                    self._apply(record)
        finally:
            await consumer.stop()

    def find(self, presented: str) -> tuple[ApiKey, Bucket | None] | None:
        """The key that a caller presented, and its rate limit; None if the key is unknown, revoked or expired."""
        key = self._keys.get(key_id_of(presented) or "")
        if key is None:
            digest_of(presented)  # so that an unknown key takes as long as a known one
            return None
        if not key.opens_for(presented) or key.is_expired(time_ns() // 1_000_000):
            return None
        return key, self._buckets.get(key.key_id)

    @contextmanager
    def held(self, key: ApiKey) -> Iterator[None]:
        """Wrap the life of a WebSocket: cancel its task when its key is revoked or changed, or expires."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None, "a request is served by a task"
        holders = self._holders.setdefault(key.key_id, set())
        holders.add(task)
        left_ms = LONGEST_MS if key.expires_at is None else key.expires_at - time_ns() // 1_000_000
        timer = loop.call_later(min(left_ms, LONGEST_MS) / 1_000, task.cancel)
        try:
            yield
        finally:
            timer.cancel()
            holders.discard(task)

    def _apply(self, record: Any) -> None:
        key_id = api_keys.apply(self._keys, record)
        for task in self._holders.pop(key_id, ()):
            task.cancel()
        key, _ = self._keys.get(key_id), self._buckets.pop(key_id, None)
        if key is not None and (rate := key.rate or self._default_rate):
            self._buckets[key_id] = Bucket(rate)
