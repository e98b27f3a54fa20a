"""The analytics agent: reads `executions` and is the only writer of `candles` and the candles table."""

import gc
import os
import time
from typing import Any

from faust.types import TP

from app import app, metrics, settings
from app.candles import Listed
from app.configuration import broker_address
from app.kafka.administration import require_topics
from app.kafka.genesis import WrongTopic
from app.kafka.reading import new_reader
from app.models.candles import encode_update
from app.models.commands import PassTime, encode_command
from app.pace import LATE_RATE
from app.streaming.batches import Batch, batches
from app.streaming.consumer import start_reading_at
from app.streaming.failpoints import reach
from app.streaming.failstop import end_process, fail_stop
from app.streaming.lag import show_lag
from app.streaming.outbox import Outbox
from app.streaming.watchdog import watch_progress
from app.topics import CANDLES, CANDLES_CHANGELOG, EXECUTIONS, ORDERS
from tables.candles.owned import OwnedCandles
from tables.candles.subjects import AROUND
from tables.recovery.ports import KafkaLogs

PACE_S = 0.2  # wait before a fetch under load, so that more reports share a fetch and a request
NICENESS = 5  # bars may be late, matching may not: on a busy machine it goes first
WRITTEN = (CANDLES.name, CANDLES_CHANGELOG.name, ORDERS.name)

executions = app.topic(EXECUTIONS.name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)
owned: dict[int, OwnedCandles] = {}
outboxes: list[Outbox] = []


async def load_candles(assigned: frozenset[int]) -> dict[int, int]:
    """Load the partitions that this worker now owns; return the offset from which to read each of them."""
    os.nice(NICENESS)
    broker, count = broker_address(app.conf.broker), app.conf.topic_partitions
    try:
        genesis = await require_topics(broker, count)
    except WrongTopic as error:
        end_process(str(error))
    outbox, reader = Outbox(broker, WRITTEN), new_reader(broker)
    await outbox.start()
    await reader.start()
    outboxes.append(outbox)
    for number in sorted(number for number in assigned if number < count):
        logs = KafkaLogs(reader, AROUND, number)
        owned[number] = await OwnedCandles.load(number, count, logs, outbox, genesis[number].log_id)
        show(number)
    gc.freeze()
    return {number: partition.progress.position for number, partition in owned.items()}


def show(number: int) -> None:
    """Register this partition's metrics, which are computed on each scrape."""
    progress = owned[number].progress
    show_lag(app, "analytics", EXECUTIONS.name, number, lambda: progress.position)
    metrics.checkpoint_age.labels(number).set_function(lambda: progress.checkpoint_age_s)
    for instrument, listed in owned[number].candles.markets.items():
        show_trades(instrument, listed)


shown: set[str] = set()
"""The markets that have a figure."""


def show_trades(instrument: str, listed: Listed) -> None:
    """Register a market's metric, which is computed on each scrape."""
    shown.add(instrument)
    metrics.market_trades.labels(instrument).set_function(lambda: listed.market.history.total)


start_reading_at(EXECUTIONS.name, load_candles, PACE_S, LATE_RATE)
watch_progress(EXECUTIONS.name, lambda: {number: partition.progress.position for number, partition in owned.items()})


@app.agent(executions)
@fail_stop
async def fold_bars(stream: Any) -> None:
    """Carry reports to the bars and what they change to the topic; a task of its own writes the checkpoints."""
    async for batch in batches(stream):
        reach("fetched")
        publish(batch, outboxes[0])
        await outboxes[0].room()


def publish(batch: Batch, outbox: Outbox) -> None:
    """Apply a batch and queue its updates."""
    partition, bars = owned[batch.partition], 0
    for output in partition.apply(batch):
        reach("applied-before-send")
        if output.update is not None:
            bars += len(output.update.bars)
            if output.instrument not in shown:
                show_trades(output.instrument, partition.candles.markets[output.instrument])
            outbox.append(CANDLES.name, batch.partition, output.instrument.encode(), encode_update(output.update))
    metrics.bars_told.inc(bars)


ticked: dict[str, int] = {}
"""Instrument -> the seq of its market when the last tick was sent: one tick waits for its report."""


async def pass_time() -> None:
    """Send ticks: in a quiet market nothing else closes a bar, or tells of the last trades of a burst."""
    now_ms = time.time_ns() // 1_000_000 - int(1_000 * settings.bar_close_s)
    for number, partition in owned.items():
        if app.consumer.end(TP(EXECUTIONS.name, number)) > partition.progress.position:
            continue  # its reports may close the bars
        for instrument, listed in partition.candles.markets.items():
            market = listed.market
            is_over = market.next_close_ms is not None and market.next_close_ms <= now_ms
            if (is_over or (market.waits and market.time_ms <= now_ms)) and market.seq > ticked.get(instrument, 0):
                ticked[instrument] = market.seq
                value = encode_command(PassTime(instrument=instrument))
                outboxes[0].append(ORDERS.name, number, instrument.encode(), value)


if settings.bar_close_s:
    app.timer(settings.bar_close_s)(pass_time)


@app.on_before_shutdown.connect
async def last_checkpoint(_app: Any, **_: Any) -> None:
    """On a graceful stop, write a last checkpoint, so that the next start replays nothing."""
    for partition in owned.values():
        await partition.progress.stop()
