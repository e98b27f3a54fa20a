"""The newest bars and tickers of every market, from the topic `candles`, and its latest updates."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator

from aiokafka import TopicPartition

from app.analytics.intervals import INTERVALS, Interval
from app.kafka.reading import bounds
from app.models.candles import Candle, CandlesUpdate, Ticker, read_update
from app.postgres.bars import newest
from app.postgres.reading import HistoryUnavailable, Reader
from app.streaming.fetching import Fetching
from app.topics import CANDLES
from app.unusable import NO_UPDATE, pass_over
from web.refused import RETRY_SOON_S, Refused

PACE_S = 0.01
MAX_APPLIED_AT_ONCE = 100  # updates; then the event loop serves requests
MAX_READ = 20_000
"""Updates of a partition that a start reads again: some seconds. Postgres has markets that are quiet for longer."""
RECALL_AGAIN_S = 5.0
"""How often a gateway asks for them while Postgres is away, or has not recorded them yet."""
MAX_UPDATES = 500
"""Updates of a market that are kept for those who resume: two minutes at the highest rate."""

_log = logging.getLogger(__name__)


class MarketBars:
    """One market: the newest bar of each interval, the ticker, and how far they are right."""

    def __init__(self, instrument: str) -> None:
        self.instrument = instrument
        self.seq = self.time_ms = 0
        self.ticker: Ticker | None = None
        self.newest: dict[Interval, Candle] = {}
        self._recent: deque[CandlesUpdate] = deque(maxlen=MAX_UPDATES)

    @property
    def first_seq(self) -> int:
        """The first report of which memory can tell what it changed."""
        return self._recent[0].prev_seq + 1 if self._recent else self.seq + 1

    def accept(self, update: CandlesUpdate) -> bool:
        """Whether the update is the next one; the first that is read is taken as it is. Repeats come after restarts."""
        return update.seq > self.seq and (update.prev_seq <= self.seq or not self._recent)

    def apply(self, update: CandlesUpdate) -> None:
        """Take in the next update."""
        self.seq, self.time_ms, self.ticker = update.seq, update.time, update.ticker
        for candle in update.bars:
            known = self.newest.get(candle.interval)
            if known is None or candle.open_time >= known.open_time:  # a bust restates older ones
                self.newest[candle.interval] = candle
        self._recent.append(update)

    def bars(self) -> list[Candle]:
        """The newest bars, from the finest to the coarsest."""
        return [self.newest[interval] for interval in INTERVALS if interval in self.newest]

    def after(self, seq: int) -> Iterator[CandlesUpdate]:
        """The updates after a seq; all of them must be here."""
        return (update for update in self._recent if update.seq > seq)


class BarsFeed:
    """Follows the topic, and passes each update on. Postgres has the bars of markets that have long been quiet."""

    def __init__(
        self, broker: str, partitions: int, reader: Reader, on_update: Callable[[MarketBars, CandlesUpdate], None]
    ) -> None:
        self._broker, self._reader, self._on_update = broker, reader, on_update
        self._topic_partitions = [TopicPartition(CANDLES.name, number) for number in range(partitions)]
        self._fetching = Fetching(broker, (CANDLES.name,), PACE_S)
        self._goals: dict[TopicPartition, int] = {}
        self._starts: dict[int, int] = {}
        """Partition -> the first offset that was read, if older updates were left out, until Postgres told of those."""
        self._markets: dict[str, MarketBars] = {}
        self._recall_at = 0.0
        self.is_ready = False
        """Whether it has applied every update that was written before this gateway started, and asked Postgres once."""

    def of(self, instrument: str) -> MarketBars:
        """The bars of a listed market; raises Refused until the feed has caught up."""
        if not self.is_ready:
            raise Refused("not_ready", "this gateway is still reading the bars", RETRY_SOON_S)
        return self._of(instrument)

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        fetching = self._fetching
        await fetching.start()
        try:
            ends = await bounds(self._broker, CANDLES.name, range(len(self._topic_partitions)))
            for tp in self._topic_partitions:
                first, end = ends[tp.partition]
                self._goals[tp], start = end, max(first, end - MAX_READ)
                fetching.seek(tp, start)
                if start > first:
                    self._starts[tp.partition] = start
            while True:
                await self._note_ready()
                for fetched in await fetching.fetch(self._topic_partitions):
                    for records in fetched.chunks(MAX_APPLIED_AT_ONCE):
                        await asyncio.sleep(0)
                        for record in records:
                            self._apply(fetched.where, record.offset, record.value)
        finally:
            await fetching.close()

    def _apply(self, where: TopicPartition, offset: int, value: bytes | None) -> None:
        update = read_update(value)
        if update is None:
            pass_over(where.topic, where.partition, offset, NO_UPDATE)
            return
        self._take(update)

    def _of(self, instrument: str) -> MarketBars:
        found = self._markets.get(instrument)
        if found is None:
            found = self._markets[instrument] = MarketBars(instrument)
        return found

    async def _note_ready(self) -> None:
        """Be ready once everything is read and Postgres was asked for the rest; ask it again if it could not tell."""
        if all(self._fetching.positions[tp] >= goal for tp, goal in self._goals.items()):
            if self._starts and asyncio.get_running_loop().time() >= self._recall_at:
                await self._recall()
            if not self.is_ready:
                self.is_ready = True
                _log.info("the bars of %d markets are known", len(self._markets))

    async def _recall(self) -> None:
        """Take markets without an update in what was read from Postgres, which must have recorded all before that."""
        self._recall_at = asyncio.get_running_loop().time() + RECALL_AGAIN_S
        try:
            known = [name for name, market in self._markets.items() if market.seq]
            recorded, updates = await newest(self._reader, known)
        except HistoryUnavailable as error:
            _log.warning("bars of quiet markets are not known until Postgres answers: %s", error)
            return
        if all(recorded.get(number, 0) >= start for number, start in self._starts.items()):
            self._starts = {}
            for update in updates:
                self._take(update)

    def _take(self, update: CandlesUpdate) -> None:
        market = self._of(update.instrument)
        if market.accept(update):
            market.apply(update)
            self._on_update(market, update)
