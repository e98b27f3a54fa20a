"""Kafka's admin client, connected for as long as a block lasts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient


@asynccontextmanager
async def connected_admin(broker: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a connected admin client; raises KafkaError. `broker` is host:port."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
