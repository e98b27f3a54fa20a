"""Builds, starts and stops the components of a gateway: producer, feed, Valkey, Postgres history."""

import asyncio
from pathlib import Path
from typing import Any

from app import app, settings
from app.configuration import broker_address
from app.matching.words import Reason
from app.models.identity import instrument_tag
from app.models.reports import ExecutionReport
from app.postgres import History, Journal, Reader, Settlements
from app.streaming.failstop import fail_stop
from web.edge.exposure import default_rate
from web.edge.keyring import Keyring
from web.entry.idempotency import Idempotency
from web.entry.order_log import OrderLog
from web.entry.outgoing import Outgoing
from web.entry.pending import Pending
from web.entry.room import Room
from web.market.agreement import Agreement
from web.market.answered import Commands
from web.market.bars import BarsFeed
from web.market.books import Market
from web.market.feed import Feed
from web.market.log import LogReader, Unreadable
from web.market.matching import Matching
from web.market.pipeline import Pipeline
from web.refused import Refused
from web.streams.hub import Hub
from web.streams.subscribing import Subscribing


class Gateway:
    """Holds the gateway's components for the request handlers."""

    def __init__(self) -> None:
        broker, partitions = broker_address(app.conf.broker), app.conf.topic_partitions
        self.hub = Hub()
        self.pending = Pending()
        self.room = Room()
        self.order_log = OrderLog(Path(app.conf.datadir) / "orders.log", settings.order_log)
        self.history = History(settings.database_url)
        self.reader = Reader(settings.database_url)
        self.settlements, self.journal = Settlements(self.reader), Journal(self.reader)
        self.feed = Feed(broker, partitions, self.history, self.pending, self.order_log, self.hub.publish)
        self.outgoing = Outgoing(broker, partitions, self.feed.answered)
        self.commands = Commands(broker, partitions)
        self.log, self._past = LogReader(broker, partitions), LogReader(broker, partitions)
        self.bars = BarsFeed(broker, partitions, self.reader, self.hub.bars.publish)
        self.subscribing = Subscribing(self.hub, self.reports_after, self.bars.of)
        self.idempotency = Idempotency(settings.redis_url)
        self.matching = Matching(broker, partitions, self.feed.answered, lambda: self.feed.is_ready)
        self.agreement = Agreement(self.history, broker, partitions)
        self.pipeline = Pipeline(broker, partitions, self.feed, self.history)
        self.keyring = Keyring(broker, default_rate()) if settings.auth == "keys" else None
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Connect to Kafka and start the background tasks; raises KafkaError."""
        await self.outgoing.start()
        parts = (self.hub, self.feed, self.bars, self.matching, self.agreement, self.order_log, self.keyring)
        self._tasks = [asyncio.create_task(fail_stop(part.run)()) for part in parts if part is not None]

    async def stop(self) -> None:
        """Stop the producer and the background tasks, then close all connections."""
        await self.outgoing.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.log.close()
        await self._past.close()
        await self.idempotency.close()
        await self.history.close()
        await self.reader.close()
        await self.commands.close()
        await self.pipeline.close()

    @property
    def is_ready(self) -> bool:
        """Whether the feed has caught up, Postgres has the same log ids, we know the keys, and are not stopping."""
        knows_keys = self.keyring is None or self.keyring.is_ready
        knows_logs = self.feed.is_ready and self.agreement.was_asked
        return knows_logs and knows_keys and not self.outgoing.is_closing

    @property
    def secret(self) -> bytes:
        """The secret key of this venue's order ids."""
        assert self.feed.secret is not None, "requests are let in once the feed has caught up"
        return self.feed.secret

    def market(self, instrument: str) -> Market:
        """The market of this instrument; raises Refused if the instrument is not listed."""
        market = self.feed.markets.get(instrument)
        if market is None:
            raise Refused(Reason.UNKNOWN_INSTRUMENT, f"{instrument[:64]} is not listed")
        return market

    async def reports_after(self, instrument: str, seq: int, offset: int | None) -> tuple[list[ExecutionReport], int]:
        """Old reports for those who resume a stream (web/streams/replays.py); raises Refused."""
        try:
            return await self._past.after(instrument, seq, offset)
        except Unreadable as error:
            raise Refused("snapshot_required", f"what followed seq {seq} cannot be read: {error}") from error

    def check_tag(self, instrument: str) -> None:
        """Raise Refused if the order ids of a new instrument would have the same tag as another's."""
        if self.feed.instrument_of_tag(instrument_tag(instrument)) not in (None, instrument):
            raise Refused(Reason.UNSUPPORTED_ORDER, "another instrument has the same tag in its order ids")
