"""The gateway's view of the market: it tails `executions` without a group and applies each report once (I10)."""

import asyncio
import logging
from time import monotonic

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.matching.words import Outcome, Side, Status
from app.models.http import trade_answer
from app.models.identity import instrument_tag
from app.models.reports import ExecutionReport, decode_report
from app.progress import Progress, Verdict
from app.streaming.failstop import fail_stop
from app.topics import EXECUTIONS
from web import metrics
from web.books import Market, RecentOrders
from web.hub import Hub

FETCH_MAX_WAIT_MS = 500
PACE_S = 0.001  # reports of this time share a fetch

_log = logging.getLogger(__name__)


class Feed:
    """Books, recent trades and orders, and whoever waits for a report."""

    def __init__(self, broker: str, partitions: int, hub: Hub) -> None:
        self._broker, self._hub = broker, hub
        self._topic_partitions = [TopicPartition(EXECUTIONS.name, number) for number in range(partitions)]
        self._progress = Progress()
        self._ends_at_start: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._waiting: dict[str, list[asyncio.Future[ExecutionReport]]] = {}
        self._begun: dict[str, float] = {}
        self._tags: dict[str, str] = {}
        self.markets: dict[str, Market] = {}
        self.orders = RecentOrders()
        self.caught_up = False

    async def run(self) -> None:
        """Follow the topic until cancelled; a failure ends the process, and a fresh one reads anew."""
        await fail_stop(self._run)()

    def instrument_of(self, order_id: str) -> str | None:
        """The instrument that an order id belongs to, as its first digits tell."""
        return self._tags.get(order_id[:8].lower())

    def begin(self, order_id: str, started: float) -> None:
        """An order of this gateway is on its way; when its report comes, its latency is known."""
        self._begun[order_id] = started

    def is_pending(self, order_id: str) -> bool:
        """Accepted by this gateway, and its report has not come."""
        return order_id in self._begun

    def forget(self, order_id: str) -> None:
        """An order that was not acknowledged is not pending."""
        self._begun.pop(order_id, None)

    def expect(self, identity: str) -> asyncio.Future[ExecutionReport]:
        """The report about a command with this id (an order's id, or a command id), when it comes."""
        future: asyncio.Future[ExecutionReport] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(identity, []).append(future)
        return future

    def stop_expecting(self, identity: str, future: asyncio.Future[ExecutionReport]) -> None:
        futures = self._waiting.get(identity, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._waiting.pop(identity, None)

    async def _run(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._broker,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        )
        await consumer.start()
        try:
            consumer.assign(self._topic_partitions)
            self._ends_at_start = await consumer.end_offsets(self._topic_partitions)
            for tp in self._topic_partitions:
                consumer.seek(tp, self._start(tp))
                self._positions[tp] = self._start(tp)
            self._note_progress()
            while True:
                await asyncio.sleep(PACE_S)
                for tp, records in (await consumer.getmany(timeout_ms=1_000)).items():
                    for record in records:
                        self._apply(decode_report(record.value))
                    self._positions[tp] = records[-1].offset + 1
                    await asyncio.sleep(0)  # requests are served while a backlog is read
                self._note_progress()
        finally:
            await consumer.stop()

    def _start(self, tp: TopicPartition) -> int:
        """Where reading begins: everything, until books can be had from the newest snapshots."""
        return 0

    def _note_progress(self) -> None:
        left = sum(max(0, end - self._positions[tp]) for tp, end in self._ends_at_start.items())
        if not self.caught_up:
            metrics.feed_lag.set(left)
            if left == 0:
                self.caught_up = True
                _log.info("the feed has caught up with %d instruments", len(self.markets))

    def _apply(self, report: ExecutionReport) -> None:
        verdict = self._progress.accept(report.instrument, report.seq)
        if verdict is Verdict.NEXT:
            self._take(report)
        elif verdict is Verdict.GAP:
            metrics.feed_gaps.inc()
            _log.warning("%s: seq %d before its predecessor", report.instrument, report.seq)
        if report.part == report.parts:
            self._answer(report)

    def _take(self, report: ExecutionReport) -> None:
        instrument = report.instrument
        market = self.markets.get(instrument)
        if market is None:
            if report.listing is None:
                return  # the reserved instrument has no market
            market = self.markets[instrument] = Market(report.listing)
            self._tags[instrument_tag(instrument).hex()] = instrument
        market.apply(report)
        self.orders.apply(report)
        if self.caught_up:
            self._measure(report, market)
        if report.trades and self._hub:
            for trade in report.trades:
                self._hub.publish(instrument, orjson.dumps(trade_answer(instrument, trade, report.time)).decode())

    def _measure(self, report: ExecutionReport, market: Market) -> None:
        if report.outcome is Outcome.REJECTED:
            metrics.rejected_by_engine.inc()
        if report.trades:
            touched = sum(1 for order in report.orders if order.liquidity is not None)
            metrics.orders_matched.inc(touched)
        if report.levels:
            metrics.orderbook_depth.labels(report.instrument, "buy").set(len(market.sides[Side.BUY]))
            metrics.orderbook_depth.labels(report.instrument, "sell").set(len(market.sides[Side.SELL]))

    def _answer(self, report: ExecutionReport) -> None:
        """Tell whoever waits for this command: a duplicate's report is an answer too."""
        identity = report.command_id or report.order_id
        if identity is None:
            return
        started = self._begun.pop(identity, None)
        if started is not None:
            metrics.matched_latency.observe(monotonic() - started)
        for future in self._waiting.pop(identity, ()):
            if not future.done():
                future.set_result(report)


def is_finished(status: Status) -> bool:
    """Whether an order with this status can change no more."""
    return status not in (Status.PENDING_NEW, Status.NEW, Status.PARTIALLY_FILLED)
