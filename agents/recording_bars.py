"""Record every update of `candles` in Postgres exactly once: bars, tickers and position share a transaction."""

from functools import partial
from typing import Any

from app import app, settings
from app.configuration import broker_address
from app.postgres import BarRecorder, Sink
from app.recording import ending_when_refused, log_ids_of, positions_in_postgres
from app.streaming.batches import batches
from app.streaming.consumer import start_reading_at
from app.streaming.failpoints import reach
from app.streaming.failstop import fail_stop
from app.streaming.lag import show_lag
from app.streaming.waiting import may_wait
from app.streaming.watchdog import watch_progress
from app.topics import CANDLES

sink = Sink(settings.database_url, CANDLES.name, reach, "bars")
recorder = BarRecorder(sink)
candles = app.topic(CANDLES.name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)


def recorded_below(number: int) -> int:
    """The offset below which everything of the partition is in Postgres."""
    return recorder.recorded[number]


async def where_recorded(assigned: frozenset[int]) -> dict[int, int]:
    """The positions stored in Postgres."""
    broker, count = broker_address(app.conf.broker), app.conf.topic_partitions
    positions = await positions_in_postgres(
        broker, count, CANDLES.name, lambda genesis: recorder.start(log_ids_of(genesis, assigned))
    )
    for number in positions:
        show_lag(app, "recording bars", CANDLES.name, number, partial(recorded_below, number))
    return positions


start_reading_at(CANDLES.name, where_recorded)
watch_progress(CANDLES.name, lambda: recorder.recorded)
may_wait(lambda: sink.waits_for and f"{sink.waits_for}; recording of bars waits until it can")


@app.agent(candles)
@fail_stop
async def record_bars(stream: Any) -> None:
    """Carry updates to the recorder, which acknowledges what is committed."""
    async for batch in batches(stream):
        await recorder.append(batch.partition, batch.records, batch.acknowledge)


@app.task
@fail_stop
async def write_bars() -> None:
    """Write the gathered bars to Postgres while the agent gathers more."""
    with ending_when_refused():
        await recorder.run()
