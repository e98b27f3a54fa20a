"""Asks Valkey whether a key was used before. That is only a hint where to look: it never decides an answer alone.

Requests of the same turn of the event loop share one call. While Valkey is away, the gateway's memory and the engine
recognise repeats.
"""

import asyncio
import re
from enum import Enum
from time import monotonic, time_ns
from typing import NamedTuple

import redis.asyncio as redis
from redis.exceptions import RedisError

from app.streaming.failstop import fail_stop
from web import metrics

KEPT_S = 86_400
ANSWER_TIMEOUT_S = 0.05
CONNECT_TIMEOUT_S = 0.2
AWAY_S = 1.0  # after a failure, do not ask Valkey for this long
MAX_ASKED = 512  # keys in one call

# One command with n keys takes redis-py a third of the time of n commands in a pipeline. A key that holds a value of
# another type spoils only its own answer.
REMEMBER = """
local before = {}
for i, key in ipairs(KEYS) do
  local found = redis.pcall('SET', key, ARGV[i + 1], 'NX', 'GET', 'EX', ARGV[1])
  if type(found) == 'table' and found.err then
    found = string.find(found.err, 'WRONGTYPE', 1, true) and 'another type' or 0
  end
  before[i] = found
end
return before
"""
# The order's fingerprint, and the time of the key's first use: the market's seq then, and ms since the epoch.
_VALUE = re.compile(rb"([0-9a-f]{16})(?: ([0-9]{1,16}) ([0-9]{1,16}))?")


class Seen(Enum):
    """What Valkey knows about a key. A value that the gateway cannot read counts as CONFLICT."""

    FIRST = "first"
    REPEAT = "repeat"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


class Known(NamedTuple):
    """Valkey's answer. For a key used before: the market's seq and the time (ms) of its first use; 0: unknown."""

    seen: Seen
    seq: int = 0
    time_ms: int = 0


class Idempotency:
    """The keys of the last day, each with the fingerprint of its order."""

    def __init__(self, redis_url: str) -> None:
        self._client = redis.Redis.from_url(
            redis_url, socket_timeout=CONNECT_TIMEOUT_S, socket_connect_timeout=CONNECT_TIMEOUT_S, retry=None
        )
        self._remember = self._client.register_script(REMEMBER)
        self._waiting: list[tuple[str, str, asyncio.Future[Known]]] = []
        self._task: asyncio.Task[None] | None = None
        self._away_until = 0.0

    @property
    def available(self) -> bool:
        """False for AWAY_S after Valkey failed to answer."""
        return monotonic() >= self._away_until

    def ask(self, key: str, fingerprint: int, seq: int) -> asyncio.Future[Known]:
        """Store the key, used at this seq of its market; the future tells what Valkey knew about it before."""
        future: asyncio.Future[Known] = asyncio.get_running_loop().create_future()
        if not self.available:
            future.set_result(Known(Seen.UNKNOWN))
            return future
        self._waiting.append((f"order:{key}", f"{fingerprint:016x} {seq} {time_ns() // 1_000_000}", future))
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
        await asyncio.sleep(0)  # let the other requests of this turn of the event loop join
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


def _verdict(value: str, answer: object) -> Known:
    if answer is None:
        return _FIRST
    if not isinstance(answer, bytes):
        return Known(Seen.UNKNOWN)
    found = _VALUE.fullmatch(answer)
    if found is None:
        return Known(Seen.CONFLICT)
    seen = Seen.REPEAT if found[1] == value[:16].encode() else Seen.CONFLICT
    return Known(seen, int(found[2] or 0), int(found[3] or 0))


_FIRST = Known(Seen.FIRST)
