"""Keeps the gateway's view of the market: loads the newest snapshots, then applies each report exactly once.

Invariant: docs/EXACTNESS.md, I10.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from aiokafka import TopicPartition

from app.engine import partition_of
from app.kafka.administration import require_topics
from app.kafka.reading import bounds
from app.matching.states import BookState
from app.matching.words import Outcome, Side
from app.metrics import lag
from app.models.identity import instrument_tag
from app.models.reports import ExecutionReport, LevelChange, read_report
from app.models.snapshots import State
from app.postgres import History, HistoryUnavailable, Recorded
from app.progress import Sequencer, Step
from app.streaming.fetching import Fetching
from app.topics import EXECUTIONS, ORDERS
from app.unusable import NO_REPORT, pass_over
from tables.books.readers import Start, starts
from tables.recovery.owned import ending_what_cannot_begin
from web import metrics
from web.entry.expected import Expectations
from web.entry.order_log import OrderLog
from web.entry.pending import Pending
from web.market.books import Market
from web.market.recent_orders import RecentOrders
from web.market.recent_reports import RecentReports

PACE_S = 0.002  # wait before a fetch under load, so that one fetch returns several reports
MAX_APPLIED_AT_ONCE = 200  # reports; then the event loop serves requests
MAX_READ_AGAIN = 100_000  # reports below the snapshots that a start reads because Postgres lacks them: a few seconds
GAP_ALARM_S = 5.0

_log = logging.getLogger(__name__)


class _Earlier:
    """A snapshot, and the seq up to which the feed has read again the reports that led to it."""

    def __init__(self, state: BookState, seq: int) -> None:
        self.state, self.seq = state, seq


def where_to_read(start: Start, recorded: Recorded | None, left: int) -> tuple[int, Recorded | None]:
    """The position to read from; and `recorded`, if that position is low enough to read every report Postgres lacks.

    The feed reads at most `left` reports below the snapshots.
    """
    if recorded is None:
        return start.position, None
    if recorded.next_offset < max(start.first, start.position - left):
        behind = start.position - recorded.next_offset
        _log.warning("executions/%d: recording is %d reports behind; history waits for it", start.partition, behind)
        return start.position, None
    return min(start.position, recorded.next_offset), recorded


class Feed:
    """Keeps books, recent trades and recent orders, and passes each report to the requests that wait for it."""

    def __init__(
        self,
        broker: str,
        partitions: int,
        history: History,
        pending: Pending,
        order_log: OrderLog,
        on_report: Callable[[Market, ExecutionReport, list[LevelChange]], None],
    ) -> None:
        """`on_report` gets each report once its market has taken it in, and the report's levels as they were before."""
        self._broker, self._history, self._on_report = broker, history, on_report
        self._pending, self._order_log = pending, order_log
        self._topic_partitions = [TopicPartition(EXECUTIONS.name, partition_id) for partition_id in range(partitions)]
        self._fetching = Fetching(broker, (EXECUTIONS.name,), PACE_S)
        self._progress = Sequencer()
        self._earlier: dict[str, _Earlier] = {}
        self._gap_since: dict[str, float] = {}
        self._goals: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._lags = {tp: lag.labels("gateway", tp.partition) for tp in self._topic_partitions}
        self._tags: dict[bytes, str] = {}
        self._changed_depths: set[Market] = set()
        self._counted = 0
        self.matched = 0
        """Orders that took part in a trade since this gateway has caught up."""
        self.markets: dict[str, Market] = {}
        self.orders = RecentOrders()
        self.reports = RecentReports()
        self.expectations = Expectations()
        self.secret: bytes | None = None
        """The secret key of this venue's order ids; known before any market is. Never show it."""
        self.log_ids: dict[int, str] = {}
        """The identity of each partition of `orders`."""
        self.answered = [1] * partitions  # 1, because the genesis record at offset 0 has no report
        """For each partition of `orders`, the offset below which this feed has the report of every command."""
        self.is_ready = False
        """Whether the feed has applied every report that was written before this gateway started."""

    @property
    def applied(self) -> dict[int, int]:
        """For each partition of `executions`, the offset below which this gateway has applied every report."""
        return {tp.partition: offset for tp, offset in self._positions.items()}

    def instrument_of(self, order_id: str) -> str | None:
        """The instrument of an order id (UUID text), found by the id's first eight digits."""
        return self.instrument_of_tag(bytes.fromhex(order_id[:8]))

    def instrument_of_tag(self, tag: bytes) -> str | None:
        return self._tags.get(tag)

    def epoch_of(self, instrument: str) -> str:
        """The identity of the log in which the instrument's seqs count."""
        return self.log_ids[partition_of(instrument, len(self._topic_partitions))]

    def reported_below(self, instrument: str) -> int:
        """The offset in the instrument's partition of `orders` below which this feed has every command's report."""
        return self.answered[partition_of(instrument, len(self._topic_partitions))]

    async def run(self) -> None:
        """Load the newest snapshots, then follow the topic until cancelled."""
        await self._begin()
        fetching = self._fetching
        await fetching.start()
        try:
            await self._seek()
            self._note_progress()
            while True:
                for fetched in await fetching.fetch(self._topic_partitions):
                    for records in fetched.chunks(MAX_APPLIED_AT_ONCE):
                        await asyncio.sleep(0)
                        for record in records:
                            self._apply_record(fetched.where.partition, record)
                        self._positions[fetched.where] = records[-1].offset + 1
                self._note_progress()
        finally:
            await fetching.close()

    async def _begin(self) -> None:
        """Load the newest snapshots; end the process if they are damaged or of another installation."""
        recorded, left = await self._ask_recorded(), MAX_READ_AGAIN
        with ending_what_cannot_begin("rebuild"):
            genesis = await require_topics(self._broker, len(self._topic_partitions))
            self.secret = genesis[0].secret
            self.log_ids = {partition_id: each.log_id for partition_id, each in genesis.items()}
            async for start in starts(self._broker, self.log_ids):
                partition_id = start.partition
                position, known = where_to_read(start, recorded.get(partition_id), left)
                left -= start.position - position
                for state in start.states:
                    self.answered[partition_id] = max(self.answered[partition_id], state.offset + 1)
                    self._begin_with(state, state.seq if known is None else known.last_seqs.get(state.instrument, 0))
                self._positions[self._topic_partitions[partition_id]] = position
                if start.states:
                    found = len(start.states), position
                    _log.info("executions/%d: %d snapshots loaded, reading on at %d", partition_id, *found)

    async def _ask_recorded(self) -> dict[int, Recorded]:
        """How far Postgres has recorded each partition; empty while Postgres is away (history then answers 503)."""
        try:
            return await self._history.recorded(EXECUTIONS.name)
        except HistoryUnavailable:
            return {}

    def _begin_with(self, state: State, recorded: int) -> None:
        """Load a snapshot. If it covers reports that Postgres lacks, read these too: lists and look-ups need them."""
        self._progress.last_seqs[state.instrument] = state.seq
        if isinstance(state, BookState):
            after = recorded if recorded < state.seq else None
            market = Market.of(state, after)
            self._open(market)
            self.orders.begin(state, market.scale, after)
            if after is not None:
                self._earlier[state.instrument] = _Earlier(state, after)
            self._changed_depths.add(market)

    def _open(self, market: Market) -> None:
        name = market.listing.instrument
        self.markets[name] = market
        self._tags[instrument_tag(name)] = name

    async def _seek(self) -> None:
        numbers = range(len(self._topic_partitions))
        ends, ordered = [await bounds(self._broker, topic.name, numbers) for topic in (EXECUTIONS, ORDERS)]
        for tp in self._topic_partitions:
            self._fetching.seek(tp, self._positions[tp])
            # In a new venue the engine may not have reported the first commands yet, which list the instruments.
            self._goals[tp] = ends[tp.partition][1] or min(1, ordered[tp.partition][1] - 1)

    def _note_progress(self) -> None:
        for tp, at in self._positions.items():
            self._lags[tp].set(max(0, self._fetching.ends.get(tp, 0) - at))
        metrics.orders_matched.inc(self.matched - self._counted)
        self._counted = self.matched
        if not self.is_ready and all(self._positions[tp] >= goal for tp, goal in self._goals.items()):
            for name in list(self._earlier):
                self._give_up_earlier(name)
            self.is_ready = True
            _log.info("the feed has caught up, with %d instruments", len(self.markets))
        for market in self._changed_depths:
            name = market.listing.instrument
            metrics.orderbook_depth.labels(name, "buy").set(len(market.book.sides[Side.BUY]))
            metrics.orderbook_depth.labels(name, "sell").set(len(market.book.sides[Side.SELL]))
        self._changed_depths.clear()
        self._alarm_gaps()

    def _alarm_gaps(self) -> None:
        missing = self._progress.missing
        self._gap_since = {name: self._gap_since.get(name, monotonic()) for name in missing}
        for name, since in self._gap_since.items():
            if monotonic() - since > GAP_ALARM_S:
                _log.error("%s: the report with seq %d is missing", name, missing[name])
                self._gap_since[name] = monotonic()

    def _apply_record(self, partition: int, record: Any) -> None:
        report = read_report(record.value)
        if report is None:
            pass_over(EXECUTIONS.name, partition, record.offset, NO_REPORT)
        else:
            self._apply(report)
            if report.offset >= self.answered[partition] and report.part == report.parts:
                self.answered[partition] = report.offset + 1

    def _apply(self, report: ExecutionReport) -> None:
        step = self._progress.accept(report.instrument, report.seq)
        if self._earlier and report.instrument in self._earlier:
            self._take_earlier(report, step)
        if step is Step.NEXT:
            self._take(report)
        elif step is Step.GAP:
            metrics.feed_gaps.inc()
            return
        self._answer(report)

    def _take(self, report: ExecutionReport) -> None:
        instrument = report.instrument
        market = self.markets.get(instrument)
        if market is None:
            if report.listing is None:
                return  # the reserved instrument has no market
            market = Market(report.listing)
            self._open(market)
        before = market.apply(report)
        self.orders.apply(report)
        self.reports.add(report)
        if report.levels:
            self._changed_depths.add(market)
        if report.trades and self.is_ready:
            self.matched += sum(order.liquidity is not None for order in report.orders)
        self._on_report(market, report, before)

    def _take_earlier(self, report: ExecutionReport, step: Step) -> None:
        """Add a report that the snapshot covers and Postgres lacks to the orders and trades; the book includes it."""
        name = report.instrument
        earlier = self._earlier[name]
        if step is Step.NEXT:  # the log lacks some of the reports that led to the snapshot
            self._give_up_earlier(name)
        elif report.seq == earlier.seq + 1 <= earlier.state.seq:
            self.markets[name].remember(report)
            self.orders.apply(report)
            earlier.seq = report.seq
            if earlier.seq == earlier.state.seq:
                del self._earlier[name]

    def _give_up_earlier(self, name: str) -> None:
        """Reload from the snapshot alone; Postgres then answers for everything before it."""
        state = self._earlier.pop(name).state
        market = Market.of(state)
        self._open(market)
        self.orders.begin_again(state, market.scale)

    def _answer(self, report: ExecutionReport) -> None:
        """Pass the report to the requests that wait for this command; a duplicate's report answers them too."""
        identity = report.command_id or report.order_id
        if identity is None:
            return
        self.expectations.add(identity, report)
        if report.command_id is None and report.part == report.parts:
            seconds = self._pending.settle(identity)
            if seconds is not None:
                self._note_reported(report, seconds)

    def _note_reported(self, report: ExecutionReport, seconds: float) -> None:
        """Count and log the engine's report about an order of this gateway."""
        metrics.matched_latency.observe(seconds)
        if report.outcome is Outcome.REJECTED:
            metrics.rejected_by_engine.inc()
        self._order_log.note_reported(report)
