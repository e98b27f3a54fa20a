"""What a venue needs before its first order: topics, schema, listed instruments. Run as often as you like."""

import asyncio
import sys
from collections.abc import Sequence

from app import app, where
from app.addresses import NoAddress
from app.instruments import list_defaults
from app.postgres.schema import migrate
from app.topics import create


def main(arguments: Sequence[str]) -> int:
    """Prepare the servers of the settings, which must be up; the exit code."""
    if arguments:
        print("usage: python -m app setup")
        return 2
    try:
        where.need("BROKER_URL", "DATABASE_URL")
    except NoAddress as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    asyncio.run(prepare(where.broker, where.database_url))
    print(f"topics, schema and instruments are there: {where.text('BROKER_URL', 'DATABASE_URL')}")
    return 0


async def prepare(broker: str, database_url: str) -> None:
    """Make what is missing and check what is there. `broker` is host:port; raises app.topics.WrongTopic."""
    schema = asyncio.create_task(asyncio.to_thread(migrate, database_url))
    await create(broker, app.conf.topic_partitions, app.conf.topic_replication_factor)
    await list_defaults(broker)
    await schema
