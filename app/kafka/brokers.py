"""Exchange produce and fetch requests with brokers, over connections of our own with one request at a time on each.

On aiokafka's connections a request passes through a reading task, a stream, two timeouts and a coroutine, which cost
about half of all the CPU that a batch takes. Here it is a write, a callback and a future. aiokafka's client still finds
the brokers.
"""

import asyncio
import struct
from typing import Any, Protocol, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError, NodeNotReadyError, RequestTimedOutError

CLIENT_ID = b"matchstream"
CONNECT_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 256 * 1024 * 1024  # a longer one is not an answer of Kafka's

_SIZE = struct.Struct(">i")
_HEADER = struct.Struct(">hhih")  # api key, version, correlation id, length of the client id
_API_VERSIONS_KEY, _API_VERSIONS_VERSION = 18, 0
_VERSIONS = struct.Struct(">hi")  # error code, number of apis
_VERSION = struct.Struct(">hhh")  # api key, least and most version
_BODY_AT = 2 * _SIZE.size  # an answer begins with its size and the correlation id

A_co = TypeVar("A_co", covariant=True)


class Request(Protocol[A_co]):
    """A request in the version that we speak."""

    @property
    def api_key(self) -> int: ...
    @property
    def api_version(self) -> int: ...
    def encode(self) -> bytes:
        """The body after the header."""
        ...

    def decode(self, data: memoryview) -> A_co:
        """The answer's body after the header; raises struct.error when it ends too early."""
        ...


class Brokers:
    """Connections to the brokers that `client` knows, made when they are needed."""

    def __init__(self, client: AIOKafkaClient, timeout_s: float) -> None:
        self._client: Any = client
        self._timeout_s = timeout_s
        self._connections: dict[int, _Connection] = {}

    async def ask(self, node: int, request: Request[A_co]) -> A_co:
        """Send a request and return the answer; raises KafkaError.

        Ask a broker only after it has answered the request before. After a retriable error it may have carried out
        this one.
        """
        connection = self._connections.get(node)
        if connection is None or not connection.is_open:
            connection = self._connections[node] = await self._connect(node, request)
        return request.decode(await connection.ask(request, self._timeout_s))

    def close(self) -> None:
        """Close all connections; a request in flight fails."""
        for connection in self._connections.values():
            connection.close()

    async def _connect(self, node: int, request: Request[Any]) -> "_Connection":
        """A connection to a broker that understands this request."""
        broker = self._client.cluster.broker_metadata(node)
        if broker is None:
            raise NodeNotReadyError(f"broker {node} is unknown")
        address = f"{broker.host}:{broker.port}"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(lambda: _Connection(address), broker.host, broker.port)
        except (OSError, TimeoutError) as error:
            raise KafkaConnectionError(f"no connection to {address}: {error}") from error
        try:
            versions = _ApiVersions().decode(await connection.ask(_ApiVersions(), self._timeout_s))
            least, most = versions.get(request.api_key, (0, -1))
            if not least <= request.api_version <= most:
                raise IncompatibleBrokerVersion(
                    f"{address} takes {type(request).__name__} requests of version {least} to {most}, "
                    f"Matchstream sends {request.api_version}"
                )
        except BaseException:
            connection.close()
            raise
        return connection


class _Connection(asyncio.Protocol):
    """A connection with at most one request in flight."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._received = bytearray()
        self._answer: asyncio.Future[memoryview] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._correlation_id = 0

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: Request[Any], timeout_s: float) -> "asyncio.Future[memoryview]":
        """Send a request; the future gives the body of its answer."""
        assert self._answer is None, "one request at a time"
        self._correlation_id = (self._correlation_id + 1) % 2**31
        head = _HEADER.pack(request.api_key, request.api_version, self._correlation_id, len(CLIENT_ID)) + CLIENT_ID
        body = request.encode()
        self._answer = answer = self._loop.create_future()
        self._timer = self._loop.call_later(timeout_s, self._end, RequestTimedOutError(f"{self._address} is silent"))
        self._transport.write(b"".join((_SIZE.pack(len(head) + len(body)), head, body)))
        return answer

    def close(self) -> None:
        self._end(KafkaConnectionError(f"the connection to {self._address} was closed"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if len(received) < _BODY_AT:
            return
        missing = _SIZE.size + _SIZE.unpack_from(received)[0] - len(received)
        if missing > 0 and len(received) + missing <= MAX_ANSWER_BYTES:
            return
        answer = self._answer
        if answer is None or missing or _SIZE.unpack_from(received, _SIZE.size)[0] != self._correlation_id:
            self._end(KafkaConnectionError(f"{self._address} sends what nobody has asked for"))
            return
        self._received, self._answer = bytearray(), None
        self._stop_timer()
        if not answer.done():
            answer.set_result(memoryview(received)[_BODY_AT:])

    def connection_lost(self, error: Exception | None) -> None:
        self._end(KafkaConnectionError(f"{self._address} has closed the connection"))

    def _end(self, error: Exception) -> None:
        """Close the connection; the request in flight fails with this error."""
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _ApiVersions:
    """Asks which versions of each request a broker understands."""

    api_key, api_version = _API_VERSIONS_KEY, _API_VERSIONS_VERSION

    def encode(self) -> bytes:
        return b""

    def decode(self, data: memoryview) -> dict[int, tuple[int, int]]:
        """The least and most version of each api."""
        _, count = _VERSIONS.unpack_from(data)
        found = (_VERSION.unpack_from(data, _VERSIONS.size + number * _VERSION.size) for number in range(count))
        return {key: (least, most) for key, least, most in found}
