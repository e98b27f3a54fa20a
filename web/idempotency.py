"""Whether a key was seen before, asked of Valkey: it saves work and answers conflicts early, it decides nothing.

Many requests share one pipeline per turn of the event loop. Valkey away: everything goes on, and the engine decides.
"""

import asyncio
from enum import Enum
from time import monotonic

import redis.asyncio as redis
from redis.exceptions import RedisError

KEPT_S = 86_400
ANSWER_TIMEOUT_S = 0.05
AWAY_S = 1.0  # after a failure nobody is asked for this long


class Seen(Enum):
    """What Valkey knows of a key."""

    FIRST = "first"
    REPEAT = "repeat"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


class Idempotency:
    """Keys of the last day with the fingerprint of what they were used for."""

    def __init__(self, redis_url: str) -> None:
        self._client = redis.Redis.from_url(
            redis_url, socket_timeout=ANSWER_TIMEOUT_S * 4, socket_connect_timeout=ANSWER_TIMEOUT_S * 4, retry=None
        )
        self._waiting: list[tuple[str, str, asyncio.Future[Seen]]] = []
        self._task: asyncio.Task[None] | None = None
        self._away_until = 0.0

    @property
    def available(self) -> bool:
        """Whether the last question was answered."""
        return monotonic() >= self._away_until

    async def seen(self, key: str, fingerprint: int) -> Seen:
        """Remember the key, and say what it was before."""
        if not self.available:
            return Seen.UNKNOWN
        future: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        self._waiting.append((f"order:{key}", f"{fingerprint:016x}", future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask())
        return await future

    async def ping(self) -> bool:
        """Whether Valkey answers now."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S * 4):
                await self._client.ping()
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self) -> None:
        await asyncio.sleep(0)  # requests of this turn of the loop come along
        while self._waiting:
            asked, self._waiting = self._waiting, []
            answers = await self._answers([(key, value) for key, value, _ in asked])
            for (_, value, future), answer in zip(asked, answers, strict=True):
                if not future.done():
                    future.set_result(_verdict(value, answer))

    async def _answers(self, pairs: list[tuple[str, str]]) -> list[object]:
        pipeline = self._client.pipeline(transaction=False)
        for key, value in pairs:
            pipeline.set(key, value, nx=True, get=True, ex=KEPT_S)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answers: list[object] = await pipeline.execute(raise_on_error=False)
                return answers
        except (RedisError, OSError, TimeoutError):
            self._away_until = monotonic() + AWAY_S
            return [TimeoutError()] * len(pairs)


def _verdict(fingerprint: str, answer: object) -> Seen:
    if answer is None:
        return Seen.FIRST
    if not isinstance(answer, bytes):
        return Seen.UNKNOWN
    return Seen.REPEAT if answer.decode() == fingerprint else Seen.CONFLICT
