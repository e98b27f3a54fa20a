"""Record every report of `executions` in Postgres exactly once: rows and position share a transaction."""

from functools import partial
from typing import Any

from app import app, settings
from app.configuration import broker_address
from app.postgres import Recorder, Sink
from app.recording import ending_when_refused, log_ids_of, positions_in_postgres
from app.streaming.batches import batches
from app.streaming.consumer import start_reading_at
from app.streaming.failpoints import reach
from app.streaming.failstop import fail_stop
from app.streaming.lag import show_lag
from app.streaming.waiting import may_wait
from app.streaming.watchdog import watch_progress
from app.topics import EXECUTIONS

# No client waits for a row, so wait this long before a fetch under load: before its first row, a transaction costs
# Postgres 4 ms of CPU and us as much.
PACE_S = 0.2

sink = Sink(settings.database_url, EXECUTIONS.name, reach)
recorder = Recorder(sink)
executions = app.topic(EXECUTIONS.name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)


def recorded_below(number: int) -> int:
    """The offset below which everything of the partition is in Postgres."""
    return recorder.recorded[number]


async def where_recorded(assigned: frozenset[int]) -> dict[int, int]:
    """The positions stored in Postgres."""
    broker, count = broker_address(app.conf.broker), app.conf.topic_partitions
    positions = await positions_in_postgres(
        broker, count, EXECUTIONS.name, lambda all_: recorder.start(log_ids_of(all_, assigned), all_[0].secret)
    )
    for number in positions:
        show_lag(app, "recording", EXECUTIONS.name, number, partial(recorded_below, number))
    return positions


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
    with ending_when_refused():
        await recorder.run()
