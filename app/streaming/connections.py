"""Connections to Kafka under uvloop: a broker that has just gone away is an error that aiokafka can deal with.

aiokafka expects an OSError from a connection that is closed, uvloop raises a RuntimeError (aiokafka's issue 1038). One
of its tasks ended of it without a word, the one that asks where the partitions are: after Kafka's restart such a worker
read and wrote nothing any more, for ever.
"""

from collections.abc import Awaitable
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


@wraps(_send)
def send(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Awaitable[Any]:
    """Send a request, unless the connection is closed already. Raises KafkaConnectionError, at once or awaited."""
    if self._writer is not None and self._writer.is_closing():
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} closed")
    awaited: Awaitable[Any] = _send(self, request, expect_response)
    return awaited


def know_closed_connections() -> None:
    """Let every connection to Kafka in this process send like that."""
    AIOKafkaConnection.send = send
