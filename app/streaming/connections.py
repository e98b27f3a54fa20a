"""Make aiokafka handle a closed connection under uvloop like any other connection error.

aiokafka expects an OSError when it writes to a closed connection, but uvloop raises a RuntimeError (aiokafka's issue
1038). That silently killed aiokafka's metadata task; after a Kafka restart the worker never read or wrote again.
"""

from collections.abc import Awaitable
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


@wraps(_send)
def send(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Awaitable[Any]:
    """Send a request. Raises KafkaConnectionError, at once if the connection is closed already, else when awaited."""
    if self._writer is not None and self._writer.is_closing():
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} closed")
    awaited: Awaitable[Any] = _send(self, request, expect_response)
    return awaited


def know_closed_connections() -> None:
    """Make every Kafka connection of this process use `send`."""
    AIOKafkaConnection.send = send
