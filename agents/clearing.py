"""Project the facts of the `clearing` topic to Postgres, and propose the cutoffs of each requested cycle."""

import asyncio
import time
from typing import Any

from app import app, settings
from app.configuration import broker_address
from app.engine import partition_of
from app.models.clearing import encode_fact, key_of
from app.models.commands import Genesis, PassTime, encode_command
from app.postgres import Projection
from app.recording import ending_when_refused, positions_in_postgres
from app.settling import Settling
from app.streaming.batches import batches
from app.streaming.consumer import start_reading_at
from app.streaming.failpoints import reach
from app.streaming.failstop import fail_stop
from app.streaming.lag import show_lag
from app.streaming.outbox import Outbox
from app.streaming.waiting import may_wait
from app.streaming.watchdog import watch_progress
from app.topics import CLEARING, ORDERS

PARTITION = 0
PROPOSE_S = 0.5  # how often to look; a quiet market that holds up a cutoff time gets a tick as often

settling = Settling(Projection(settings.database_url, CLEARING.name, reach))
outboxes: list[Outbox] = []
"""One, once this process has been assigned the partition."""
facts = app.topic(CLEARING.name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)


async def where_projected(assigned: frozenset[int]) -> dict[int, int]:
    """The position stored in Postgres; also starts the outbox."""
    if PARTITION not in assigned:
        return {}
    broker, count = broker_address(app.conf.broker), app.conf.topic_partitions
    positions = await positions_in_postgres(broker, count, CLEARING.name, started)
    outbox = Outbox(broker, (CLEARING.name, ORDERS.name))
    await outbox.start()
    outboxes.append(outbox)
    show_lag(app, "clearing", CLEARING.name, PARTITION, lambda: settling.position)
    return positions


async def started(genesis: dict[int, Genesis]) -> dict[int, int]:
    """Start the projection of this log, and return its position."""
    return {PARTITION: await settling.start(genesis[PARTITION].log_id)}


start_reading_at(CLEARING.name, where_projected)
watch_progress(CLEARING.name, lambda: {PARTITION: settling.position} if outboxes else {})
may_wait(lambda: settling.waits_for and f"{settling.waits_for}; clearing waits until it can")


@app.agent(facts)
@fail_stop
async def project_facts(stream: Any) -> None:
    """Carry facts to Postgres, with what follows from them."""
    async for batch in batches(stream):
        with ending_when_refused():
            await settling.take(batch.records)
        batch.acknowledge()


@app.task
@fail_stop
async def propose_cutoffs() -> None:
    """Write cutoffs of open cycles and daily requests to `clearing`, and ticks for quiet markets to `orders`.

    This process reads its own facts back from the topic, like those of others.
    """
    while True:
        await asyncio.sleep(PROPOSE_S)
        if not outboxes:
            continue
        with ending_when_refused():
            closed, quiet = await settling.proposal()
        if closed is not None:
            outboxes[0].append(CLEARING.name, PARTITION, key_of(closed), encode_fact(closed))
        if settings.settle_at_ms is not None:
            due = await settling.daily(settings.settle_at_ms, time.time_ns() // 1_000_000)
            if due is not None:
                outboxes[0].append(CLEARING.name, PARTITION, key_of(due), encode_fact(due))
        for instrument in quiet:
            number = partition_of(instrument, app.conf.topic_partitions)
            outboxes[0].append(ORDERS.name, number, instrument.encode(), encode_command(PassTime(instrument)))
