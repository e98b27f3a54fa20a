"""What Valkey tells the gateway about keys, over a connection that may break at any time."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from app.local.servers import Servers
from web.entry import idempotency as module
from web.entry.idempotency import Idempotency, Known, Seen

TIMEOUT_S = 60.0


@pytest.fixture
async def valkey(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Idempotency]:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", TIMEOUT_S)  # else a busy machine is an absent Valkey
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", TIMEOUT_S)
    valkey = Idempotency(servers.redis_url)
    yield valkey
    await valkey.close()


async def test_each_key_of_a_turn_gets_its_own_answer(servers: Servers, valkey: Idempotency, topic_prefix: str) -> None:
    """New, used alike, used otherwise, with a value of another type and with one that nobody can read."""
    new, same, other, strange, unreadable = (f"{topic_prefix}{number}" for number in range(5))
    await asyncio.gather(valkey.ask(same, 7, 41), valkey.ask(other, 8, 42))
    async with redis.Redis.from_url(servers.redis_url) as client:
        await client.lpush(f"order:{strange}", "a list")
        await client.set(f"order:{unreadable}", "what?")
    asked = (new, same, strange, other, unreadable, new)
    answers = [found._replace(time_ms=0) for found in await asyncio.gather(*(valkey.ask(key, 7, 50) for key in asked))]
    assert answers == [
        Known(Seen.FIRST),
        Known(Seen.REPEAT, 41),
        Known(Seen.CONFLICT),
        Known(Seen.CONFLICT, 42),
        Known(Seen.CONFLICT),
        Known(Seen.REPEAT, 50),
    ]


async def test_keys_are_kept_for_a_day(servers: Servers, valkey: Idempotency, topic_prefix: str) -> None:
    await valkey.ask(topic_prefix, 7, 1)
    async with redis.Redis.from_url(servers.redis_url) as client:
        assert 0 < await client.ttl(f"order:{topic_prefix}") <= module.KEPT_S


async def test_a_connection_that_valkey_closed_is_no_failure(
    servers: Servers, valkey: Idempotency, topic_prefix: str
) -> None:
    """It does so when it restarts, or when an operator tells it to."""
    assert (await valkey.ask(f"{topic_prefix}a", 7, 1)).seen is Seen.FIRST
    connection = valkey._connection
    assert connection is not None
    await connection.send_command("CLIENT", "ID")
    number = await connection.read_response()
    async with redis.Redis.from_url(servers.redis_url) as client:
        await client.client_kill_filter(_id=number)
    async with asyncio.timeout(TIMEOUT_S):
        while not await connection.can_read():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)
    assert (await valkey.ask(f"{topic_prefix}a", 7, 2)).seen is Seen.REPEAT
    assert valkey.available
    assert valkey._connection is not connection


async def test_after_a_failure_no_answer_is_taken_for_another_key(
    servers: Servers, valkey: Idempotency, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Valkey answers after all, when the gateway has stopped waiting: that answer belongs to the first key."""
    monkeypatch.setattr(module, "AWAY_S", 0.0)
    used, new = f"{topic_prefix}used", f"{topic_prefix}new"
    await valkey.ask(used, 7, 1)
    async with redis.Redis.from_url(servers.redis_url) as client:
        await client.execute_command("CLIENT", "PAUSE", 300, "ALL")
        monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.01)
        assert (await valkey.ask(used, 7, 2)).seen is Seen.UNKNOWN
        monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", TIMEOUT_S)
        assert (await valkey.ask(new, 7, 3)).seen is Seen.FIRST
