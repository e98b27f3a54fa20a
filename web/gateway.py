"""What a gateway consists of, started and stopped with its web server: producer, feed, Valkey, Postgres history."""

import asyncio
import logging
from collections.abc import AsyncIterator

from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app import app, settings
from app.postgres import History
from app.settings import broker_address
from app.topics import ORDERS
from web.feed import Feed
from web.hub import Hub
from web.idempotency import Idempotency
from web.problems import Problem

LINGER_MS = 1  # requests of this time share one to Kafka, which costs it more than ten records
ACKNOWLEDGE_TIMEOUT_S = 5.0
MAX_UNACKNOWLEDGED = 20_000  # requests waiting for Kafka at once; beyond, 503
RETRY_AFTER_S = "1"

_log = logging.getLogger(__name__)


class Gateway:
    """The parts, for the handlers."""

    def __init__(self) -> None:
        broker = broker_address(app.conf.broker)
        self.hub = Hub()
        self.feed = Feed(broker, app.conf.topic_partitions, self.hub)
        self.idempotency = Idempotency(settings.redis_url)
        self.history = History(settings.database_url)
        self.unacknowledged = 0
        self.kafka_away = False
        self.producer = AIOKafkaProducer(
            bootstrap_servers=broker,
            enable_idempotence=True,
            acks="all",
            max_batch_size=256 * 1024,
            linger_ms=LINGER_MS,
        )

    async def send(self, instrument: str, command: bytes) -> None:
        """Produce a command; done when Kafka has it. Raises the problem of 503 or 504."""
        if self.unacknowledged >= MAX_UNACKNOWLEDGED:
            raise Problem(503, "overloaded", "too many requests wait for Kafka", {"Retry-After": RETRY_AFTER_S})
        self.unacknowledged += 1
        try:
            # The record is not taken back when the wait ends: it may still be appended, so the outcome is unknown.
            async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT_S):
                sent = await self.producer.send(ORDERS.name, command, key=instrument.encode())
                await asyncio.shield(sent)
            self.kafka_away = False
        except (TimeoutError, KafkaError) as error:
            self.kafka_away = True
            raise Problem(
                504,
                "outcome_unknown",
                "Kafka did not acknowledge in time; repeating the same request with the same key is safe",
                {"Retry-After": RETRY_AFTER_S},
            ) from error
        finally:
            self.unacknowledged -= 1


GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)


async def run_gateway(web_app: web.Application) -> AsyncIterator[None]:
    """aiohttp's cleanup context: everything is there while requests are served, and accepted orders are sent."""
    gateway = web_app[GATEWAY] = Gateway()
    await gateway.producer.start()
    feed = asyncio.create_task(gateway.feed.run())
    yield
    await gateway.hub.close()
    await gateway.producer.stop()
    feed.cancel()
    await gateway.idempotency.close()
    await gateway.history.close()
