"""A connection and what waits for it: bounded frames in one order, and subscriptions that lag each in its own way."""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import repeat
from typing import Any, Protocol

from msgspec.structs import replace

from app.models.reports import LevelChange
from app.models.streams import BookMessage, MessageType, OnSlow, PlainMessage, TickerMessage
from web import metrics
from web.market.bars import MarketBars
from web.market.books import Market
from web.streams.channels.channel import Key, Variant
from web.streams.channels.registry import made
from web.streams.fanout import Fanout
from web.streams.messages import Message

MAX_WAITING = 10_000  # frames; beyond, the connection is closed with SLOW_CONSUMER
MAX_WAITING_BYTES = 4 * 1024 * 1024
BEHIND = 500  # frames: from here on a subscription is conflated or skipped, if it wants to be
BEHIND_BYTES = 512 * 1024  # the same, in bytes
CAUGHT_UP = 50
MAX_CONFLATED = 2_000  # levels that wait for one connection; more are told with a snapshot
SLOW_CONSUMER = 4008
GOING_AWAY = 1001
CLOSE_TIMEOUT_S = 5.0
MAX_WRITTEN = 100  # frames in one write; more are written once the connection has room
MAX_GATHERED_BYTES = 64 * 1024  # public frames do not wait for more beyond


class Socket(Protocol):
    """What a client is sent through."""

    @property
    def is_full(self) -> bool:
        """Whether more should wait until `drain` returns."""
        ...

    @property
    def is_gone(self) -> bool:
        """Whether nobody would read what is written."""
        ...

    def write(self, frames: bytes) -> None:
        """Send whole frames."""
        ...

    async def drain(self) -> None:
        """Return once there is room; a client that has gone raises ConnectionError."""
        ...

    async def close(self, *, code: int, message: bytes) -> None:
        """Say why, and wait for the client's answer."""
        ...


class Client:
    """One connection, with its subscriptions."""

    def __init__(self, socket: Socket, fanout: Fanout) -> None:
        self.subscriptions: dict[Key, Subscription] = {}
        self.sent = 0
        """Frames since the hub last looked."""
        self._socket, self._fanout = socket, fanout
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._drained = asyncio.Event()
        self._lagging: dict[Subscription, None] = {}
        self._draining: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._has_begun = self._is_due = self._has_ended = False
        self.replays: deque[Any] = deque()
        """Subscriptions that wait to be brought up to date; the first one is being so (web/streams/replays.py)."""
        self._replaying: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The handshake is over: send what has gathered since it began, and what follows."""
        self._has_begun = True
        self._write_soon()

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that a subscription that may leave something out does so."""
        return len(self._waiting) >= BEHIND or self._waiting_bytes >= BEHIND_BYTES

    @property
    def waiting(self) -> int:
        """How many frames wait to be written."""
        return len(self._waiting)

    def push(self, frame: bytes, is_public: bool = False) -> None:
        """Queue a frame; nothing is left out, so a full queue ends the connection.

        A public one may wait for more (web/streams/fanout.py), but not once there are enough for a write.
        """
        if self._has_ended:
            return
        if not self._has_begun or (len(self._waiting) < MAX_WAITING and self._waiting_bytes < MAX_WAITING_BYTES):
            self._waiting.append(frame)
            self._waiting_bytes += len(frame)
            if self._is_due:
                return
            if not is_public or len(self._waiting) >= MAX_WRITTEN or self._waiting_bytes >= MAX_GATHERED_BYTES:
                self._write_soon()
            elif self._may_write:
                self._fanout.add(self)
        elif self._closing is None:
            metrics.websocket_dropped.inc()
            self.drop(SLOW_CONSUMER, b"slow_consumer")

    def drop(self, code: int, reason: bytes) -> None:
        """Begin to close."""
        self._closing = asyncio.create_task(self.close(code, reason))

    def keep(self, task: asyncio.Task[None]) -> None:
        """A task for this connection, the one that works off its replays: it ends with the connection."""
        self._replaying = task

    def lags(self, subscription: "Subscription") -> None:
        """It is to be told of what it has missed once the connection has caught up."""
        self._lagging[subscription] = None

    async def wait_for_room(self) -> None:
        """Return when the connection is not behind."""
        while self.is_behind:
            self._drained.clear()
            await self._drained.wait()

    async def close(self, code: int, reason: bytes) -> None:
        """Send nothing more but the reason, and do not wait for a client that does not even read that."""
        if not self._has_begun:
            return
        self.end()
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=reason)

    def end(self) -> None:
        """The connection is over: nothing more is kept for it."""
        self._has_ended = True
        for task in (self._draining, self._replaying):
            if task is not None:
                task.cancel()
        self._waiting.clear()
        self._waiting_bytes = 0
        self._lagging.clear()
        self._drained.set()

    @property
    def _may_write(self) -> bool:
        """Whether the handshake is over, and nothing waits for room."""
        return self._has_begun and self._draining is None

    def _write_soon(self) -> None:
        """Write when this turn of the event loop is over: what gathers until then is one write."""
        if self._may_write:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self.write)

    def write(self) -> None:
        """Write what waits, as far as there is room; the rest when there is room again."""
        self._write_all()
        self._is_due = False

    def _write_all(self) -> None:
        waiting, socket = self._waiting, self._socket
        while not self._has_ended and self._draining is None:
            if len(waiting) <= CAUGHT_UP:
                self._catch_up()
            if socket.is_gone:
                self.end()
            elif not waiting:
                return
            elif socket.is_full:
                self._draining = asyncio.create_task(self._drain())
            else:
                self._write_some(min(len(waiting), MAX_WRITTEN))

    def _write_some(self, count: int) -> None:
        frames = self._waiting.popleft()
        if count > 1:
            frames = b"".join((frames, *(take() for take in repeat(self._waiting.popleft, count - 1))))
        self._waiting_bytes -= len(frames)
        self.sent += count
        self._socket.write(frames)

    async def _drain(self) -> None:
        with suppress(ConnectionError):
            await self._socket.drain()
        self._draining = None
        self.write()

    def _catch_up(self) -> None:
        self._drained.set()
        while self._lagging:
            subscription = next(iter(self._lagging))
            del self._lagging[subscription]
            subscription.catch_up()


class Subscription:
    """A channel for one connection. `last_seq`: it has, or is about to be sent, everything up to there."""

    def __init__(
        self,
        client: Client,
        variant: Variant,
        market: Market,
        on_slow: OnSlow,
        last_seq: int,
        bars: MarketBars | None = None,
    ) -> None:
        """`bars` are those of the market, for a channel that is made of them."""
        self.client, self.variant, self.market = client, variant, market
        self.source: Market | MarketBars = market if bars is None else bars
        """What says how far the channel is."""
        self.on_slow, self.last_seq = on_slow, last_seq
        self.is_silent = False
        """Whether it was sent nothing since the hub last looked."""
        self._missed: Message | None = None  # the last one
        self._levels: dict[tuple[str, str], LevelChange] = {}

    def offer(self, message: Message) -> None:
        """Send a message now, or in the way that was chosen for a slow reader."""
        if self._missed is None and (self.on_slow is OnSlow.CLOSE or not self.client.is_behind):
            self.send(message)
            return
        self._missed = message
        self.client.lags(self)
        body = message.body
        if isinstance(body, BookMessage) and len(self._levels) <= MAX_CONFLATED:
            for level in body.data:
                self._levels[level.side, level.price] = level

    def catch_up(self) -> None:
        """The connection has room again: tell what it was spared, in one message."""
        missed, levels = self._missed, self._levels
        if missed is None:
            return
        self._missed, self._levels = None, {}
        if isinstance(missed.body, TickerMessage):  # the last one says all
            self.send(missed)
        elif not isinstance(missed.body, BookMessage):
            self.send(plain(self.variant, MessageType.SKIPPED, missed.seq))
        elif len(levels) <= MAX_CONFLATED:
            self.send(Message(replace(missed.body, data=list(levels.values()))))
        else:
            self.send(made(self.variant, self.market.book).snapshot(self.market))

    def beat(self, heartbeat: Message) -> None:
        """Nothing has happened up to the seq of this message."""
        if self._missed is None and not self.client.is_behind:
            self.send(heartbeat)
            self.is_silent = True

    def send(self, message: Message) -> None:
        """Send a message now, however slow the reader is."""
        self.client.push(message.frame(self.last_seq), self.variant.client_id is None)
        self.last_seq, self.is_silent = message.seq, False


def beat(variant: Variant, subscriptions: Iterable[Subscription]) -> None:
    """Tell those that were sent nothing since the last time how far their channel is."""
    heartbeat: Message | None = None
    for subscription in subscriptions:
        if not subscription.is_silent:
            subscription.is_silent = True
            continue
        heartbeat = heartbeat or plain(variant, MessageType.HEARTBEAT, subscription.source.seq)
        subscription.beat(heartbeat)


def plain(variant: Variant, type_: MessageType, seq: int) -> Message:
    """A message that says nothing but how far the channel is."""
    body = PlainMessage(channel=variant.channel, type=type_, instrument=variant.instrument, seq=seq)
    if variant.client_id is not None:
        body.client_id = variant.client_id
    return Message(body)
