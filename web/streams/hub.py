"""Who gets which message: every subscription of every connection, told of each report as the feed applies it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import orjson

from app.models.http import trade_answer
from app.models.reports import ExecutionReport, LevelChange
from app.models.streams import OF_BARS, Notice, busts_of, concerned
from web import metrics
from web.market.books import Market
from web.refused import Refused
from web.streams.bars import BarStreams
from web.streams.channels.channel import Made, Variant
from web.streams.channels.registry import made
from web.streams.client import GOING_AWAY, Client, Socket, Subscription, beat
from web.streams.fanout import Fanout
from web.streams.messages import frame_of, framed
from web.streams.ring import Ring

MAX_CLIENTS = 10_000
FULL_RETRY_S = 10
HEARTBEAT_S = 1.0


class _Shared(NamedTuple):
    """A channel of an instrument and who gets it."""

    channel: Made
    subscriptions: set[Subscription]


class _Audience:
    """Who listens to an instrument: to public channels, and clients to their own orders."""

    def __init__(self) -> None:
        self.public: dict[Variant, _Shared] = {}
        self.private: dict[str, _Shared] = {}

    def of(self, report: ExecutionReport) -> Iterator[_Shared]:
        """Those whom the report may concern; the clients of its orders first, because the public may be many."""
        if report.bust is not None:
            yield from self.private.values()
        elif self.private:
            for client_id in concerned(report) & self.private.keys():
                yield self.private[client_id]
        yield from self.public.values()


class Hub:
    """All WebSocket clients of this gateway."""

    def __init__(self) -> None:
        self.ring, self.bars, self._fanout = Ring(), BarStreams(), Fanout()
        self._clients: set[Client] = set()
        self._trade_clients: dict[Client, str | None] = {}
        self._shared: dict[Variant, _Shared] = {}
        self._audiences: dict[str, _Audience] = {}

    def publish(self, market: Market, report: ExecutionReport, before: list[LevelChange]) -> None:
        """Tell everyone of a report that the market has taken in; `before` are its levels before."""
        self.ring.add(report, before)
        audience = self._audiences.get(report.instrument)
        for shared in () if audience is None else audience.of(report):
            message = shared.channel.update(report, before)
            if message is not None:
                for subscription in shared.subscriptions:
                    subscription.offer(message)
        if self._trade_clients and (report.trades or report.bust is not None):
            self._publish_trades(report)

    def add(self, subscription: Subscription) -> Made:
        """From now on it gets every message of its channel, which is returned."""
        variant = subscription.variant
        shared = self._shared.get(variant)
        if shared is None:
            shared = self._shared[variant] = _Shared(made(variant, subscription.market.book), set())
            audience = self._audiences.setdefault(variant.instrument, _Audience())
            if variant.client_id is None:
                audience.public[variant] = shared
            else:
                audience.private[variant.client_id] = shared
        shared.subscriptions.add(subscription)
        return shared.channel

    def remove(self, subscription: Subscription) -> None:
        """It gets nothing more; it may not have been added yet."""
        variant = subscription.variant
        if variant.channel in OF_BARS:
            self.bars.remove(subscription)
            return
        shared = self._shared.get(variant)
        if shared is None:
            return
        shared.subscriptions.discard(subscription)
        if not shared.subscriptions:
            del self._shared[variant]
            audience = self._audiences[variant.instrument]
            if variant.client_id is None:
                del audience.public[variant]
            else:
                del audience.private[variant.client_id]

    @contextmanager
    def client(self, socket: Socket) -> Iterator[Client]:
        """Keep a client while its connection is served; raises Refused when there are too many."""
        if len(self._clients) >= MAX_CLIENTS:
            raise Refused("overloaded", f"{MAX_CLIENTS} clients are connected", FULL_RETRY_S)
        client = Client(socket, self._fanout)
        self._clients.add(client)
        metrics.websocket_clients.set(len(self._clients))
        try:
            yield client
        finally:
            self._clients.discard(client)
            metrics.websocket_clients.set(len(self._clients))
            client.end()
            for subscription in client.subscriptions.values():
                self.remove(subscription)

    @contextmanager
    def trade_client(self, socket: Socket, instrument: str | None) -> Iterator[Client]:
        """A client of /ws/trades: it gets the trades and busts of one instrument, or of all (None), from now on.

        Those of its handshake wait until `begin`.
        """
        with self.client(socket) as client:
            self._trade_clients[client] = instrument
            try:
                yield client
            finally:
                del self._trade_clients[client]

    async def run(self) -> None:
        """Heartbeats, until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self.beat()

    def beat(self) -> None:
        """Tell how far its channel is to each subscription that was sent nothing since the last time."""
        for variant, shared in self._shared.items():
            beat(variant, shared.subscriptions)
        self.bars.beat()
        sent = 0
        for client in self._clients:
            sent += client.sent
            client.sent = 0
        metrics.websocket_frames.inc(sent)

    def announce(self, closes_in_s: float) -> None:
        """Tell every client that this gateway goes away soon; those of /ws/trades expect trades only."""
        frame = frame_of(Notice(closes_in_s))
        for client in self._clients - self._trade_clients.keys():
            client.push(frame)

    async def close(self) -> None:
        """Tell everyone that this gateway goes away, after what has gathered for them."""
        for client in self._clients:
            client.write()
        await asyncio.gather(*(client.close(GOING_AWAY, b"shutdown") for client in list(self._clients)))

    def _publish_trades(self, report: ExecutionReport) -> None:
        wanted = [client for client, name in self._trade_clients.items() if name in (None, report.instrument)]
        if not wanted:
            return
        frames = [framed(orjson.dumps(trade_answer(report.instrument, trade, report.time))) for trade in report.trades]
        frames += [frame_of(bust) for bust in busts_of(report) or ()]
        for frame in frames:
            for client in wanted:
                client.push(frame, is_public=True)
