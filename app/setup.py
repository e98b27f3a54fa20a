"""Creates what a venue needs before its first order: topics, schema, instruments. Running it again does no harm."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from app import app, where
from app.addresses import NoAddress
from app.instruments import list_defaults
from app.kafka.administration import create
from app.kafka.genesis import WrongTopic
from app.postgres import Away, Refused
from app.postgres.roles import grant
from app.postgres.schema import migrate


def main(arguments: Sequence[str]) -> int:
    """Prepare the configured servers, which must be running; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app setup", description=__doc__)
    parser.add_argument("--grant", metavar="ROLE", help="give this Postgres role the rights that the workers need")
    options = parser.parse_args(arguments)
    try:
        where.need("BROKER_URL", "DATABASE_URL")
        asyncio.run(prepare(where.broker, where.database_url))
        if options.grant is not None:
            grant(where.database_url, options.grant)
    except (NoAddress, WrongTopic, KafkaError, Away, Refused) as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    print(f"topics, schema and instruments exist: {where.text('BROKER_URL', 'DATABASE_URL')}")
    if options.grant is not None:
        print(f"the role {options.grant} has the rights that the workers need")
    return 0


async def prepare(broker: str, database_url: str) -> None:
    """Create what is missing and check the rest. `broker` is host:port.

    Raises WrongTopic, KafkaError, and for Postgres Away or Refused.
    """
    schema = asyncio.create_task(asyncio.to_thread(migrate, database_url))
    await create(broker, app.conf.topic_partitions, app.conf.topic_replication_factor)
    await list_defaults(broker, app.conf.topic_partitions)
    await schema
