"""Record every report of `executions` in Postgres exactly once: rows and position share a transaction."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from faust.types import TP

from app import app, metrics, settings
from app.configuration import broker_address
from app.kafka.administration import require_topics
from app.kafka.genesis import WrongTopic
from app.kafka.reading import bounds
from app.postgres import (
    AnotherInstallation,
    AnotherTime,
    PositionMoved,
    Recorded,
    Recorder,
    Refused,
    Sink,
    require_bounds,
)
from app.streaming.batches import batches
from app.streaming.consumer import start_reading_at
from app.streaming.failpoints import reach
from app.streaming.failstop import end_process, fail_stop
from app.streaming.waiting import may_wait
from app.streaming.watchdog import watch_progress
from app.topics import EXECUTIONS

# No client waits for a row, so wait this long before each fetch: more reports share a fetch and a transaction.
PACE_S = 0.05

sink = Sink(settings.database_url, EXECUTIONS.name, reach)
recorder = Recorder(sink)
executions = app.topic(EXECUTIONS.name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)


async def where_recorded(assigned: frozenset[int]) -> dict[int, int]:
    """The positions stored in Postgres; end the process if this log does not have them (docs/EXACTNESS.md, I9, I14)."""
    broker, count = broker_address(app.conf.broker), app.conf.topic_partitions
    try:
        genesis = await require_topics(broker, count)
        known = {number: genesis[number].log_id for number in sorted(assigned) if number in genesis}
        positions = await recorder.start(known, genesis[0].secret)
        recorded = {number: Recorded(position, known[number]) for number, position in positions.items()}
        require_bounds(EXECUTIONS.name, recorded, await bounds(broker, EXECUTIONS.name, positions))
    except (AnotherInstallation, AnotherTime, Refused, WrongTopic) as error:
        end_process(str(error))
    show(positions)
    return positions


def show(partitions: Iterable[int]) -> None:
    """Register the metrics of these partitions, which are computed on each scrape."""
    for number in partitions:
        metrics.lag.labels("recording", number).set_function(partial(_lag, number))


def _lag(number: int) -> int:
    end: int = app.consumer.end(TP(EXECUTIONS.name, number))
    return max(0, end - recorder.recorded[number])


start_reading_at(EXECUTIONS.name, where_recorded, pace_s=PACE_S)
watch_progress(EXECUTIONS.name, lambda: recorder.recorded)
may_wait(lambda: sink.waits_for and f"{sink.waits_for}; recording waits until it can")


@app.agent(executions)
@fail_stop
async def record_executions(stream: Any) -> None:
    """Carry reports to the recorder, which acknowledges what is committed."""
    async for batch in batches(stream):
        await recorder.append(batch.partition, batch.records, batch.acknowledge)


@app.task
@fail_stop
async def write_records() -> None:
    """Write the gathered reports to Postgres while the agent gathers more."""
    try:
        await recorder.run()
    except (PositionMoved, Refused) as error:
        end_process(str(error))
