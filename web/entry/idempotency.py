"""Asks Valkey whether a key was used before. That is only a hint where to look: it never decides an answer alone.

Requests of the same turn of the event loop share one write, under load also those of PACE_S. While Valkey is away, the
gateway's memory and the engine recognise repeats.
"""

import asyncio
import re
from enum import Enum
from time import monotonic, time_ns
from typing import Any, NamedTuple

import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from app.pace import Pace
from app.streaming.failstop import fail_stop
from web import metrics

KEPT_S = 86_400
ANSWER_TIMEOUT_S = 0.05
CONNECT_TIMEOUT_S = 0.2
AWAY_S = 1.0  # after a failure, do not ask Valkey for this long
MAX_ASKED = 512  # keys in one write
# Between writes under load. The orders of one write reach Kafka in one request, which waits as long (outgoing.py).
PACE_S = 0.004

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
    """The keys of the last day, each with the fingerprint of its order.

    We write commands to a connection of redis-py, past its client: with that, a call takes three times the CPU.
    """

    def __init__(self, redis_url: str) -> None:
        self._client = redis.Redis.from_url(
            redis_url, socket_timeout=CONNECT_TIMEOUT_S, socket_connect_timeout=CONNECT_TIMEOUT_S, retry=None
        )
        self._connection: AbstractConnection | None = None
        self._pace = Pace(PACE_S)
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
        await self._disconnect()
        await self._client.aclose()

    async def _ask(self) -> None:
        while self._waiting:
            # Even without a pause the other requests of this turn of the event loop join.
            await asyncio.sleep(self._pace.wait_s(monotonic()))
            asked, self._waiting = self._waiting[:MAX_ASKED], self._waiting[MAX_ASKED:]
            self._pace.note(len(asked), monotonic())
            answers = await self._answers([(key, value) for key, value, _ in asked])
            for (_, value, future), answer in zip(asked, answers, strict=True):
                if not future.done():
                    future.set_result(_verdict(value, answer))

    async def _answers(self, pairs: list[tuple[str, str]]) -> list[object]:
        if not self.available:
            return [_NO_ANSWER] * len(pairs)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                connection = await self._connected()
                packed = connection.pack_commands([("SET", *pair, "NX", "GET", "EX", KEPT_S) for pair in pairs])
                await connection.send_packed_command(packed, check_health=False)
                return [await _answer(connection) for _ in pairs]
        except (RedisError, OSError, TimeoutError):
            await self._disconnect()  # answers may still come, which belong to these commands
            self._away_until = monotonic() + AWAY_S
            metrics.valkey_failures.inc()
            return [_NO_ANSWER] * len(pairs)

    async def _connected(self) -> AbstractConnection:
        """An open connection with nothing to read; Valkey closes connections when it restarts."""
        connection = self._connection
        if connection is None or await _is_over(connection):
            await self._disconnect()
            pool: Any = self._client.connection_pool
            connection = self._connection = pool.make_connection()
            await connection.connect()
        return connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


async def _is_over(connection: AbstractConnection) -> bool:
    try:
        return await connection.can_read()
    except (RedisError, OSError):
        return True


async def _answer(connection: AbstractConnection) -> object:
    """The key's earlier value, None without one, or what makes the verdict CONFLICT or UNKNOWN."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return b"another type" if str(error).startswith("WRONGTYPE") else _NO_ANSWER


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
