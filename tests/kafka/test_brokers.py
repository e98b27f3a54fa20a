"""A connection of our own to a broker: one request at a time, silence, strange answers, versions, and again."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError, NodeNotReadyError, RequestTimedOutError

from app.kafka.brokers import Brokers
from app.kafka.fetch_request import Fetch
from app.kafka.produce_request import Produce
from app.local.servers import Servers

TIMEOUT_S = 30.0
SOON_S = 0.2
VERSIONS = struct.pack(">hi hhh hhh", 0, 2, 0, 0, 9, 1, 4, 17)
Answers = Callable[[bytes], bytes | None]


class Broker(NamedTuple):
    """What aiokafka's client tells of a broker."""

    host: str
    port: int


class Client:
    """aiokafka's client as far as `Brokers` asks it."""

    def __init__(self, port: int) -> None:
        self.cluster = self
        self._broker = Broker("127.0.0.1", port)

    def broker_metadata(self, node: int) -> Broker | None:
        return self._broker if node == 1 else None


@asynccontextmanager
async def broker_that(answers: Answers) -> AsyncIterator[Brokers]:
    """Connections to a server that answers the versions, and other requests as `answers` says (None: not at all)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                is_versions = request[:2] == struct.pack(">h", 18)
                if (answer := framed(request, VERSIONS) if is_versions else answers(request)) is not None:
                    for at in range(0, len(answer), 7):  # in pieces
                        writer.write(answer[at : at + 7])
                        await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client: Any = Client(server.sockets[0].getsockname()[1])
    brokers = Brokers(client, SOON_S)
    try:
        yield brokers
    finally:
        brokers.close()
        server.close()


def framed(request: bytes, body: bytes) -> bytes:
    """An answer to this request."""
    correlation_id = request[4:8]
    return struct.pack(">i", len(correlation_id + body)) + correlation_id + body


async def within(work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(TIMEOUT_S):
        return await work


async def test_kafka_answers_one_request_after_the_other(servers: Servers) -> None:
    """The versions that we speak are those of the Kafka that we test with, and a closed connection is made again."""
    client = AIOKafkaClient(bootstrap_servers=servers.broker)
    await client.bootstrap()
    (node,) = [broker.nodeId for broker in client.cluster.brokers()]
    brokers = Brokers(client, TIMEOUT_S)
    for _ in range(3):
        assert (await within(brokers.ask(node, Fetch({}, 0, 1)))).error_code == 0
        assert (await within(brokers.ask(node, Fetch({}, 0, 1)))).found == {}
        brokers.close()
    await client.close()


async def test_an_answer_in_pieces_is_one_answer() -> None:
    """TCP has no messages."""
    async with broker_that(lambda request: framed(request, struct.pack(">i", 0))) as brokers:
        assert await within(brokers.ask(1, Produce({}, 1))) == {}


async def test_a_silent_broker_is_given_up_and_asked_again_on_another_connection() -> None:
    """It may have carried out the request: the caller's sequence numbers tell."""
    silent = [True]
    async with broker_that(lambda request: None if silent.pop() else framed(request, struct.pack(">i", 0))) as brokers:
        with pytest.raises(RequestTimedOutError):
            await within(brokers.ask(1, Produce({}, 1)))
        silent.append(False)
        assert await within(brokers.ask(1, Produce({}, 1))) == {}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda request: framed(b"\xff" * 8, b"...."), id="of another request"),
        pytest.param(lambda request: framed(request, struct.pack(">i", 0)) + b"more", id="too long"),
        pytest.param(lambda request: struct.pack(">i", -1) + b"....", id="negative"),
        pytest.param(lambda request: struct.pack(">i", 2**31 - 1) + b"....", id="of an absurd size"),
    ],
)
async def test_what_is_no_answer_ends_the_connection(answer: Answers) -> None:
    """The next request has a fresh one; nothing that is out of step is ever taken for its answer."""
    async with broker_that(answer) as brokers:
        for _ in range(2):
            with pytest.raises(KafkaConnectionError, match="nobody has asked for"):
                await within(brokers.ask(1, Produce({}, 1)))


async def test_a_broker_that_does_not_speak_our_version_is_named() -> None:
    """No retry can cure it."""
    async with broker_that(lambda request: None) as brokers:
        request = Produce({}, 1)
        request.api_version = 12
        with pytest.raises(IncompatibleBrokerVersion, match=r"takes Produce requests of version 0 to 9, .* sends 12"):
            await within(brokers.ask(1, request))


async def test_a_broker_that_is_away_or_unknown_is_worth_a_retry() -> None:
    """The metadata will say where the leader is."""
    client: Any = Client(1)
    brokers = Brokers(client, SOON_S)
    for node, error in ((1, KafkaConnectionError), (2, NodeNotReadyError)):
        with pytest.raises(error) as raised:
            await within(brokers.ask(node, Produce({}, 1)))
        assert raised.value.retriable
