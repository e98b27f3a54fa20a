"""A subscription brought up to date from a seq on: from the ring, and what is older from the log, within a budget."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from app.models.reports import ExecutionReport
from app.models.streams import Answer, Channel, RequestId, StreamError
from web.market.books import LevelBook
from web.refused import RETRY_SOON_S, Refused
from web.streams.channels.channel import Made
from web.streams.channels.registry import made
from web.streams.client import Client, Subscription
from web.streams.hub import Hub
from web.streams.messages import frame_of

MAX_REPLAYS = 8  # connections that are brought up to date at once; each does so for one subscription after the other
INTERNAL_ERROR = 1011

_log = logging.getLogger(__name__)

Past = Callable[[str, int, int | None], Awaitable[tuple[list[ExecutionReport], int]]]
"""Reports of an instrument after a seq, read from an offset on if it is given; and where to read on. Raises Refused."""


class Replay:
    """What a subscription has to be told before it is live. `seen`: it was told of every report up to there."""

    def __init__(self, subscription: Subscription, hub: Hub, past: Past, req_id: RequestId) -> None:
        self.subscription, self.seen, self.req_id = subscription, subscription.last_seq, req_id
        self._hub, self._past = hub, past
        self._channel: Made | None = None
        self._book: LevelBook | None = None
        self._offset: int | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether the subscription still exists."""
        subscription = self.subscription
        return subscription.client.subscriptions.get(subscription.variant.key) is subscription

    def is_short(self) -> bool:
        """Whether memory has all of it."""
        return self.seen + 1 >= self._hub.ring.first_seq(self.subscription.market)

    def from_ring(self) -> bool:
        """Tell what memory has, as far as there is room; True when that was all, and the subscription is live."""
        subscription, ring = self.subscription, self._hub.ring
        market, client = subscription.market, subscription.client
        if self._channel is None or (subscription.variant.channel is Channel.BOOK and self._book is None):
            self._book = ring.book_at(market, self.seen) if subscription.variant.channel is Channel.BOOK else None
            self._channel = made(subscription.variant, self._book)
        for report in ring.after(market, self.seen):
            if client.is_behind:
                return False
            self._tell(report)
        self._hub.add(subscription)
        return True

    async def run(self) -> None:
        """The same until it is live, from the log where memory does not reach; raises Refused."""
        client = self.subscription.client
        while self.is_wanted:
            if not self.is_short():
                await self._from_log()
            elif self.from_ring():
                return
            await client.wait_for_room()

    async def _from_log(self) -> None:
        reports, self._offset = await self._past(self.subscription.variant.instrument, self.seen, self._offset)
        self._channel = self._channel or made(self.subscription.variant, None)
        for report in reports:
            if not self.is_wanted:
                return
            if report.seq == self.seen + 1:  # a restart of matching repeats others
                self._tell(report)
            if self.subscription.client.is_behind:
                await self.subscription.client.wait_for_room()

    def _tell(self, report: ExecutionReport) -> None:
        assert self._channel is not None, "it is made before anything is told"
        before = None if self._book is None else [self._book.put(level) for level in report.levels]
        message = self._channel.update(report, before)
        if message is not None:
            self.subscription.send(message)
        self.seen = report.seq


class Replays:
    """Those of all connections: few at once, so that they do not hold up live readers."""

    def __init__(self, hub: Hub, past: Past) -> None:
        self._hub, self._past = hub, past
        self._running = 0

    def check_room(self, client: Client) -> None:
        """Raise Refused when this connection would have to wait for others."""
        if not client.replays and self._running >= MAX_REPLAYS:
            sentence = f"{MAX_REPLAYS} connections are being brought up to date; ask again"
            raise Refused("overloaded", sentence, RETRY_SOON_S)

    def of(self, subscription: Subscription, req_id: RequestId) -> Replay:
        """What this subscription has to be told."""
        return Replay(subscription, self._hub, self._past, req_id)

    def begin(self, replay: Replay) -> None:
        """Run it after those that its connection has asked for before."""
        client = replay.subscription.client
        client.replays.append(replay)
        if len(client.replays) == 1:
            client.keep(asyncio.create_task(self._run(client)))

    async def _run(self, client: Client) -> None:
        self._running += 1
        try:
            while client.replays:
                await self._carry_out(client.replays[0])
                client.replays.popleft()
        except Exception:
            _log.exception("a replay failed")
            client.drop(INTERNAL_ERROR, b"internal_error")
        finally:
            self._running -= 1

    async def _carry_out(self, replay: Replay) -> None:
        subscription = replay.subscription
        try:
            await replay.run()
        except Refused as refused:
            del subscription.client.subscriptions[subscription.variant.key]
            error = StreamError(refused.code, refused.sentence, last_seq=replay.seen)
            subscription.client.push(frame_of(Answer(replay.req_id, error=error)))
