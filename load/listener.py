"""Listening to the public trades on the WebSocket: how long after its request an order traded, and what was missed."""

import asyncio
import time

import msgspec
from aiohttp import ClientError, ClientSession, WSMsgType

from load.latency import Latency

RECONNECT_S = 0.2
HEARTBEAT_S = 30.0


class _Trade(msgspec.Struct):
    instrument: str
    seq: int
    buy_order_id: str
    sell_order_id: str
    aggressor_side: str


_decode = msgspec.json.Decoder(_Trade).decode


class TradeListener:
    """Trades while it listens; `due` is when each order's request was due, in ns of the monotonic clock."""

    def __init__(self, url: str, due: dict[str, int]) -> None:
        self._url, self._due = f"{url}/ws/trades", due
        self._seqs: dict[str, int] = {}
        self.latency = Latency()  # from due to the first trade of an order that takes
        self.trades = 0
        self.connects = 0
        self.failures = 0
        self.gaps = 0  # trades that did not come although the connection stood
        self.repeats = 0
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; a lost connection is made again, and what was missed meanwhile is no gap."""
        async with ClientSession() as session:
            while True:
                try:
                    await self._listen(session)
                except (ClientError, OSError, TimeoutError):
                    self.failures += 1
                self._seqs.clear()
                await asyncio.sleep(RECONNECT_S)

    async def _listen(self, session: ClientSession) -> None:
        async with session.ws_connect(self._url, heartbeat=HEARTBEAT_S) as socket:
            self.connects += 1
            self.listening.set()
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    self._hear(frame.data, time.monotonic_ns())

    def _hear(self, text: str, now_ns: int) -> None:
        trade = _decode(text)
        last = self._seqs.get(trade.instrument)
        self.trades += 1
        self._seqs[trade.instrument] = trade.seq
        if last is not None and trade.seq > last + 1:
            self.gaps += trade.seq - last - 1
        elif last is not None and trade.seq <= last:
            self.repeats += 1
            self._seqs[trade.instrument] = last
        taker = trade.buy_order_id if trade.aggressor_side == "buy" else trade.sell_order_id
        due_ns = self._due.pop(taker, None)
        if due_ns is not None:
            self.latency.add_ns(now_ns - due_ns)
