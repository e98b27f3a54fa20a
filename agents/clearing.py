"""Project the facts of the `clearing` topic to Postgres, and propose the cutoffs of each requested cycle."""

import asyncio
import time
from typing import Any

from faust.types import TP

from app import app, metrics, settings
from app.configuration import broker_address
from app.engine import partition_of
from app.kafka.administration import require_topics
from app.kafka.genesis import WrongTopic
from app.kafka.reading import bounds
from app.models.clearing import encode_fact, key_of
from app.models.commands import PassTime, encode_command
from app.postgres import AnotherInstallation, AnotherTime, PositionMoved, Projection, Recorded, Refused, require_bounds
from app.settling import Settling
from app.streaming.batches import batches
from app.streaming.consumer import start_reading_at
from app.streaming.failpoints import reach
from app.streaming.failstop import end_process, fail_stop
from app.streaming.outbox import Outbox
from app.streaming.waiting import may_wait
from app.streaming.watchdog import watch_progress
from app.topics import CLEARING, ORDERS

PARTITION = 0
PROPOSE_S = 0.5  # how often to look; a quiet market that holds up a cutoff time gets a tick as often

settling = Settling(Projection(settings.database_url, CLEARING.name, reach))
outboxes: list[Outbox] = []
facts = app.topic(CLEARING.name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)


async def where_projected(assigned: frozenset[int]) -> dict[int, int]:
    """The position stored in Postgres; end the process if this log does not have it (docs/EXACTNESS.md, I9 and I14)."""
    if PARTITION not in assigned:
        return {}
    broker, count = broker_address(app.conf.broker), app.conf.topic_partitions
    try:
        log_id = (await require_topics(broker, count))[PARTITION].log_id
        recorded = {PARTITION: Recorded(await settling.start(log_id), log_id)}
        require_bounds(CLEARING.name, recorded, await bounds(broker, CLEARING.name, recorded))
    except (AnotherInstallation, AnotherTime, Refused, WrongTopic) as error:
        end_process(str(error))
    outbox = Outbox(broker, (CLEARING.name, ORDERS.name))
    await outbox.start()
    outboxes.append(outbox)
    metrics.lag.labels("clearing", PARTITION).set_function(
        lambda: max(0, app.consumer.end(TP(CLEARING.name, PARTITION)) - settling.position)
    )
    return {PARTITION: settling.position}


start_reading_at(CLEARING.name, where_projected)
watch_progress(CLEARING.name, lambda: {PARTITION: settling.position} if outboxes else {})
may_wait(lambda: settling.waits_for and f"{settling.waits_for}; clearing waits until it can")


@app.agent(facts)
@fail_stop
async def project_facts(stream: Any) -> None:
    """Carry facts to Postgres, with what follows from them."""
    async for batch in batches(stream):
        try:
            await settling.take(batch.records)
        except (PositionMoved, Refused) as error:
            end_process(str(error))
        batch.acknowledge()


@app.task
@fail_stop
async def propose_cutoffs() -> None:
    """Write the cutoffs of open cycles to the `clearing` topic; this process reads them back like any other fact."""
    while True:
        await asyncio.sleep(PROPOSE_S)
        if not outboxes:
            continue
        try:
            closed, quiet = await settling.proposal()
        except (PositionMoved, Refused) as error:
            end_process(str(error))
        if closed is not None:
            outboxes[0].append(CLEARING.name, PARTITION, key_of(closed), encode_fact(closed))
        if settings.settle_at_ms is not None:
            due = await settling.daily(settings.settle_at_ms, time.time_ns() // 1_000_000)
            if due is not None:
                outboxes[0].append(CLEARING.name, PARTITION, key_of(due), encode_fact(due))
        for instrument in quiet:
            number = partition_of(instrument, app.conf.topic_partitions)
            outboxes[0].append(ORDERS.name, number, instrument.encode(), encode_command(PassTime(instrument)))
