"""Listens to the public trades on the WebSocket: measures the time from request to trade, and counts missed trades."""

import asyncio
import time
from collections.abc import Mapping

import msgspec
from aiohttp import ClientError, ClientSession, WSMsgType

from load.latency import Latency

RECONNECT_S = 0.2
HEARTBEAT_S = 30.0


class _Trade(msgspec.Struct):
    """A trade, or without orders the bust of one."""

    instrument: str
    seq: int
    buy_order_id: str = ""
    sell_order_id: str = ""
    aggressor_side: str = ""


_decode = msgspec.json.Decoder(_Trade).decode


class TradeListener:
    """Counts the trades that arrive while it is connected."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/ws/trades"
        self._seqs: dict[str, int] = {}
        self._taken: dict[str, int] = {}  # id of a taker order -> time of its first trade, ns of the monotonic clock
        self.trades = 0
        self.connects = 0
        self.failures = 0
        self.gaps = 0  # trades missed on an open connection
        self.repeats = 0
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; reconnects, and does not count trades missed while disconnected as gaps."""
        async with ClientSession() as session:
            while True:
                try:
                    await self._listen(session)
                except (ClientError, OSError, TimeoutError):
                    self.failures += 1
                self._seqs.clear()
                await asyncio.sleep(RECONNECT_S)

    def latency(self, due: Mapping[str, int], ids: Mapping[str, str]) -> Latency:
        """Times from when an order's request was due to the order's first trade as a taker.

        `due` and `ids` map an order's name to its due time and to its id.
        """
        found = Latency()
        for name, order_id in ids.items():
            if name in due and order_id in self._taken:
                found.add_ns(self._taken[order_id] - due[name])
        return found

    async def _listen(self, session: ClientSession) -> None:
        async with session.ws_connect(self._url, heartbeat=HEARTBEAT_S) as socket:
            self.connects += 1
            self.listening.set()
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    self._hear(frame.data, time.monotonic_ns())

    def _hear(self, text: str, now_ns: int) -> None:
        trade = _decode(text)
        if not trade.buy_order_id:
            return
        last = self._seqs.get(trade.instrument)
        self.trades += 1
        self._seqs[trade.instrument] = trade.seq
        if last is not None and trade.seq > last + 1:
            self.gaps += trade.seq - last - 1
        elif last is not None and trade.seq <= last:
            self.repeats += 1
            self._seqs[trade.instrument] = last
        taker = trade.buy_order_id if trade.aggressor_side == "buy" else trade.sell_order_id
        self._taken.setdefault(taker, now_ns)
