"""What a gateway consists of, started and stopped with its web server: producer, feed, Valkey, Postgres history."""

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from app import app, settings
from app.configuration import broker_address
from app.matching.words import Reason
from app.models.identity import instrument_tag
from app.postgres import History
from app.streaming.failstop import fail_stop
from web.edge.answers import RETRY_SOON
from web.edge.exposure import default_rate
from web.edge.keyring import Keyring
from web.edge.problems import Problem
from web.entry.idempotency import Idempotency
from web.entry.order_log import OrderLog
from web.entry.outgoing import Outgoing
from web.entry.pending import Pending
from web.market.agreement import Agreement
from web.market.answered import Commands
from web.market.feed import Feed
from web.market.log import LogReader
from web.market.matching import Matching
from web.streams.hub import Hub

# Books and recent orders are large and hold no cycles: Python's usual thresholds look through them time and again.
GC_THRESHOLDS = (50_000, 50, 1_000)


class Gateway:
    """The parts, for the handlers."""

    def __init__(self) -> None:
        broker, partitions = broker_address(app.conf.broker), app.conf.topic_partitions
        self.hub = Hub()
        self.pending = Pending()
        self.order_log = OrderLog(Path(app.conf.datadir) / "orders.log", settings.order_log)
        self.history = History(settings.database_url)
        self.feed = Feed(broker, partitions, self.history, self.pending, self.order_log, self.hub.publish)
        self.outgoing = Outgoing(broker, partitions)
        self.commands = Commands(broker, partitions)
        self.log = LogReader(broker, partitions)
        self.idempotency = Idempotency(settings.redis_url)
        self.matching = Matching(broker, partitions, self.feed.answered, lambda: self.feed.is_ready)
        self.agreement = Agreement(self.history, broker, partitions)
        self.keyring = Keyring(broker, default_rate()) if settings.auth == "keys" else None

    @property
    def is_ready(self) -> bool:
        """Whether it knows the market and the API keys, and was not told to stop."""
        knows_keys = self.keyring is None or self.keyring.is_ready
        knows_logs = self.feed.is_ready and self.agreement.was_asked
        return knows_logs and knows_keys and not self.outgoing.is_closing

    @property
    def secret(self) -> bytes:
        """What order ids are keyed with; raises 503 while the log has not been asked."""
        if self.feed.secret is None:
            raise Problem(503, "not_ready", "this gateway is still reading the market", RETRY_SOON)
        return self.feed.secret

    def check_tag(self, instrument: str) -> None:
        """Raise 422 when a new instrument's order ids could not be told from another's."""
        if self.feed.instrument_of_tag(instrument_tag(instrument)) not in (None, instrument):
            raise Problem(422, Reason.UNSUPPORTED_ORDER, "another instrument has the same tag in its order ids")


GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)


async def run_gateway(web_app: web.Application) -> AsyncIterator[None]:
    """aiohttp's cleanup context: everything is there while requests are served, and accepted orders are sent."""
    gateway = web_app[GATEWAY] = Gateway()
    await gateway.outgoing.start()
    gc.set_threshold(*GC_THRESHOLDS)
    parts = (gateway.feed, gateway.matching, gateway.agreement, gateway.order_log, gateway.keyring)
    tasks = [asyncio.create_task(fail_stop(part.run)()) for part in parts if part is not None]
    yield
    await gateway.outgoing.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await gateway.log.close()
    await gateway.idempotency.close()
    await gateway.history.close()
    await gateway.commands.close()


async def drain(web_app: web.Application) -> None:
    """Not ready, no new commands, everything else goes on; until the balancers have seen it."""
    web_app[GATEWAY].outgoing.is_closing = True
    await asyncio.sleep(settings.drain_s)


async def close_streams(web_app: web.Application) -> None:
    """Tell WebSocket clients before the server waits for its requests to end."""
    await web_app[GATEWAY].hub.close()
