"""Whether a key was seen before, asked of Valkey: it answers repeats and conflicts early, it decides nothing.

Many requests share one call per turn of the event loop. Valkey away: everything goes on, and the engine decides.
"""

import asyncio
from enum import Enum
from time import monotonic

import redis.asyncio as redis
from redis.exceptions import RedisError

from app.streaming.failstop import fail_stop
from web import metrics

KEPT_S = 86_400
ANSWER_TIMEOUT_S = 0.05
CONNECT_TIMEOUT_S = 0.2
AWAY_S = 1.0  # after a failure nobody is asked for this long
MAX_ASKED = 512  # keys in one call

# One command with n keys costs redis-py a third of n commands in a pipeline.
REMEMBER = """
local before = {}
for i, key in ipairs(KEYS) do
  before[i] = redis.call('SET', key, ARGV[i + 1], 'NX', 'GET', 'EX', ARGV[1])
end
return before
"""


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
            redis_url, socket_timeout=CONNECT_TIMEOUT_S, socket_connect_timeout=CONNECT_TIMEOUT_S, retry=None
        )
        self._remember = self._client.register_script(REMEMBER)
        self._waiting: list[tuple[str, str, asyncio.Future[Seen]]] = []
        self._task: asyncio.Task[None] | None = None
        self._away_until = 0.0

    @property
    def available(self) -> bool:
        """Whether the last question was answered."""
        return monotonic() >= self._away_until

    def ask(self, key: str, fingerprint: int) -> asyncio.Future[Seen]:
        """Remember the key; the future says what it was before."""
        future: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        if not self.available:
            future.set_result(Seen.UNKNOWN)
            return future
        self._waiting.append((f"order:{key}", f"{fingerprint:016x}", future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(fail_stop(self._ask)())
        return future

    async def ping(self) -> bool:
        """Whether Valkey answers now."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._client.ping()
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self) -> None:
        await asyncio.sleep(0)  # requests of this turn of the loop come along
        while self._waiting:
            asked, self._waiting = self._waiting[:MAX_ASKED], self._waiting[MAX_ASKED:]
            answers = await self._answers([key for key, _, _ in asked], [value for _, value, _ in asked])
            for (_, value, future), answer in zip(asked, answers, strict=True):
                if not future.done():
                    future.set_result(_verdict(value, answer))

    async def _answers(self, keys: list[str], values: list[str]) -> list[object]:
        if not self.available:
            return [_NO_ANSWER] * len(keys)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answers: list[object] = await self._remember(keys=keys, args=[KEPT_S, *values])
                return answers
        except (RedisError, OSError, TimeoutError):
            self._away_until = monotonic() + AWAY_S
            metrics.valkey_failures.inc()
            return [_NO_ANSWER] * len(keys)


_NO_ANSWER = object()


def _verdict(fingerprint: str, answer: object) -> Seen:
    if answer is None:
        return Seen.FIRST
    if not isinstance(answer, bytes):
        return Seen.UNKNOWN
    return Seen.REPEAT if answer.decode() == fingerprint else Seen.CONFLICT
