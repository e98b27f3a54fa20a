"""A connection that Kafka has just closed, under uvloop: aiokafka hears of it as it expects."""

import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from app.local.servers import Servers
from app.streaming import connections


async def _ask_when_closed(host: str, port: int) -> None:
    """Send at the only moment that matters: the transport is closed, and nobody has told the connection yet."""
    connection: AIOKafkaConnection = await create_conn(host, port, request_timeout_ms=5_000)
    connection._writer.transport.abort()
    await asyncio.sleep(0)
    assert connection._writer is not None, "it knows already"
    await connection.send(ApiVersionRequest())


def _outcome(servers: Servers) -> type[BaseException] | None:
    host, port = servers.broker.split(":")
    try:
        uvloop.run(_ask_when_closed(host, int(port)))
    except (KafkaConnectionError, RuntimeError) as error:
        return type(error)
    return None


async def test_a_connection_that_is_closed_is_an_error_of_kafka(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without our part of it uvloop's own error would end aiokafka's task."""
    assert await asyncio.to_thread(_outcome, servers) is KafkaConnectionError
    monkeypatch.setattr(AIOKafkaConnection, "send", connections._send)
    assert await asyncio.to_thread(_outcome, servers) is RuntimeError
