"""Record every update of `candles` in Postgres exactly once: bars, tickers and position share a transaction."""

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
    BarRecorder,
    PositionMoved,
    Recorded,
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
from app.topics import CANDLES

sink = Sink(settings.database_url, CANDLES.name, reach, "bars")
recorder = BarRecorder(sink)
candles = app.topic(CANDLES.name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)


async def where_recorded(assigned: frozenset[int]) -> dict[int, int]:
    """The positions stored in Postgres; end the process if this log does not have them (docs/EXACTNESS.md, I9, I14)."""
    broker, count = broker_address(app.conf.broker), app.conf.topic_partitions
    try:
        genesis = await require_topics(broker, count)
        known = {number: genesis[number].log_id for number in sorted(assigned) if number in genesis}
        positions = await recorder.start(known)
        recorded = {number: Recorded(position, known[number]) for number, position in positions.items()}
        require_bounds(CANDLES.name, recorded, await bounds(broker, CANDLES.name, positions))
    except (AnotherInstallation, AnotherTime, Refused, WrongTopic) as error:
        end_process(str(error))
    for number in positions:
        metrics.lag.labels("recording bars", number).set_function(partial(_lag, number))
    return positions


def _lag(number: int) -> int:
    end: int = app.consumer.end(TP(CANDLES.name, number))
    return max(0, end - recorder.recorded[number])


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
    try:
        await recorder.run()
    except (PositionMoved, Refused) as error:
        end_process(str(error))
