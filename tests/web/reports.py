"""A seeded market's reports and what a client makes of the streams about them, without servers."""

import asyncio
from collections.abc import Iterator
from typing import Any, ClassVar

import orjson

from app.matching.book import Book
from app.matching.events import split
from app.models.candles import CandlesUpdate
from app.models.conversion import scale_of
from app.models.reports import ExecutionReport, report_message
from app.models.streams import SubscribeParams
from load.followed import Followed
from tests.matching.streams import INSTRUMENT, commands
from web.market.bars import MarketBars
from web.market.books import Market
from web.streams.client import Client
from web.streams.hub import Hub
from web.streams.subscribing import Subscribing

EPOCH = "3d7f2b0e-0000-8000-8000-000000000000"


def reports_of(seed: int, count: int) -> list[ExecutionReport]:
    """Those of so many commands; the first one lists the market."""
    book, reports = Book(INSTRUMENT), []
    for command, moment in commands(seed, count):
        report = book.apply(command, moment)
        reports += [report_message(part, scale_of(book.listing)) for part in split(report)]
    return reports


class Wire:
    """A socket whose client reads when it is let."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, bytes] | None = None
        self._reads = asyncio.Event()
        self._reads.set()

    def stop_reading(self) -> None:
        self._reads.clear()

    def read_on(self) -> None:
        self._reads.set()

    is_gone = False

    @property
    def is_full(self) -> bool:
        return not self._reads.is_set()

    def write(self, frames: bytes) -> None:
        for payload in payloads_of(frames):
            self.frames.append(orjson.loads(payload))

    async def drain(self) -> None:
        await self._reads.wait()

    async def close(self, *, code: int, message: bytes) -> None:
        self.closed = code, message


def payloads_of(frames: bytes) -> Iterator[bytes]:
    """What whole text frames carry, as RFC 6455 has it."""
    at = 0
    while at < len(frames):
        size, start = frames[at + 1], at + 2
        if size >= 126:
            start += 2 if size == 126 else 8
            size = int.from_bytes(frames[at + 2 : start])
        assert frames[at] == 0x81 and len(frames) >= start + size
        yield frames[start : start + size]
        at = start + size


class Venue:
    """A gateway's market and hub, fed by hand."""

    def __init__(self, reports: list[ExecutionReport]) -> None:
        self.hub, self.reports = Hub(), reports
        self.bars = MarketBars(INSTRUMENT)
        self.subscribing = Subscribing(self.hub, self.past, lambda instrument: self.bars)
        assert reports[0].listing is not None
        self.market = Market(reports[0].listing)
        self.asked_for: list[int] = []
        """The seqs after which the log was read."""

    async def past(self, instrument: str, seq: int, offset: int | None) -> tuple[list[ExecutionReport], int]:
        """The log, ten reports at a time, with some that come twice, as after a restart of matching."""
        self.asked_for.append(seq)
        await asyncio.sleep(0)
        start = seq if offset is None else offset
        return self.reports[max(0, start - 3) : start + 10], start + 10

    def tell(self, update: CandlesUpdate) -> None:
        """Take in an update of the bars, unless it is a repeat."""
        if self.bars.accept(update):
            self.bars.apply(update)
            self.hub.bars.publish(self.bars, update)

    def apply_to(self, seq: int) -> None:
        """Take in the reports up to this one."""
        for report in self.reports[self.market.seq : seq]:
            self.hub.publish(self.market, report, self.market.apply(report))

    def subscribe(self, client: Client, followed: Followed, epoch: str = EPOCH) -> None:
        """As the socket does it."""
        params = {**followed.request(1)["params"]}
        wanted = SubscribeParams(**params)
        self.subscribing.subscribe(client, wanted, wanted.client_id, self.market, epoch, 1)


class Reader:
    """A connection and one subscription on it; `take` gives its frames to the subscription."""

    all: ClassVar[list["Reader"]] = []
    """Those to be cut when the test is over."""

    def __init__(self, venue: Venue, followed: Followed) -> None:
        self.wire, self.followed = Wire(), followed
        self._connection = venue.hub.client(self.wire)
        self.client = self._connection.__enter__()
        self.client.begin()
        self.messages: list[dict[str, Any]] = []
        self.all.append(self)
        venue.subscribe(self.client, followed)

    async def take(self) -> list[dict[str, Any]]:
        """Everything that was sent and not taken yet; raises Gap and WrongCopy."""
        await settled()
        self.client.write()  # what gathers (web/streams/fanout.py)
        frames, self.wire.frames[:] = list(self.wire.frames), []
        taken = []
        for frame in frames:
            if "req_id" in frame:
                self.followed.begin(frame["result"])
            else:
                self.followed.take(frame)
                taken.append(frame)
        self.messages += taken
        return taken

    async def until_live(self) -> list[dict[str, Any]]:
        """The same, and what a replay still has to say."""
        taken = await self.take()
        while self.client.replays:
            taken += await self.take()
        return taken + await self.take()

    def cut(self) -> None:
        """The connection ends, with whatever waits for it."""
        self.all.remove(self)
        self._connection.__exit__(None, None, None)


async def settled() -> None:
    """Let every task of the loop have its turns."""
    for _ in range(10):
        await asyncio.sleep(0)
