"""How frames leave a gateway: whole, many in one write, and no more than a client has room for."""

import asyncio
from time import monotonic
from typing import Any

import msgspec
import pytest

from app.pace import WINDOW_S
from tests.until import until
from tests.web.reports import Wire, payloads_of, settled
from web.streams.client import BEHIND, BEHIND_BYTES, MAX_GATHERED_BYTES, MAX_WRITTEN, Client
from web.streams.fanout import MOST_S, Fanout
from web.streams.messages import framed


class Counting(Wire):
    """A socket that keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, frames: bytes) -> None:
        self.writes.append(frames)
        super().write(frames)


def begun(wire: Wire, fanout: Fanout | None = None) -> Client:
    """A client after its handshake."""
    client = Client(wire, fanout or Fanout())
    client.begin()
    return client


async def busy() -> Fanout:
    """One that has written so much that the next public frames would wait for minutes."""
    fanout = Fanout(most_s=3_600.0)
    readers = [begun(Wire(), fanout) for _ in range(100)]
    for count in (0, 1, MAX_WRITTEN - 1):
        for reader in readers:
            for number in range(count):
                reader.push(numbered(number), is_public=True)
        await settled()
        await asyncio.sleep(WINDOW_S)  # over which the rate is measured
    return fanout


def numbered(number: int) -> bytes:
    return framed(b'{"number":%d}' % number)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_a_frame_carries_its_payload(size: int) -> None:
    """The length has one, three or nine bytes, as RFC 6455 says."""
    payload = b"x" * size
    assert list(payloads_of(framed(payload) + framed(b"next"))) == [payload, b"next"]


async def test_what_gathers_in_one_turn_is_one_write() -> None:
    """A write costs more than a frame; the order stays."""
    wire = Counting()
    client = begun(wire)
    for number in range(MAX_WRITTEN):
        client.push(numbered(number))
    await settled()
    assert len(wire.writes) == 1
    assert [frame["number"] for frame in wire.frames] == list(range(MAX_WRITTEN))


async def test_public_frames_leave_at_once_while_few_go_out() -> None:
    """The first reader of a quiet venue waits for nothing."""
    wire = Counting()
    client = begun(wire)
    for number in range(3):
        client.push(numbered(number), is_public=True)
        await settled()
    assert len(wire.writes) == 3


async def test_public_frames_gather_while_many_go_out() -> None:
    """A thousand readers cost a write each time; what one of them asked for takes along what has gathered for it."""
    wire, fanout = Counting(), await busy()
    client = begun(wire, fanout)
    await settled()
    for number in range(3):
        client.push(numbered(number), is_public=True)
        await settled()
    assert wire.writes == []
    client.push(numbered(3))
    await settled()
    assert len(wire.writes) == 1
    assert [frame["number"] for frame in wire.frames] == [0, 1, 2, 3]


async def test_a_connection_gathers_once_however_often_it_writes_meanwhile() -> None:
    """Its frames would be counted again and again otherwise, and everybody's would wait longer for it."""
    wire, fanout = Counting(), await busy()
    client = begun(wire, fanout)
    await settled()
    for number in range(3):
        client.push(numbered(number), is_public=True)
        client.push(numbered(number))
        await settled()
    client.push(numbered(3), is_public=True)
    assert list(fanout._due) == [client]


@pytest.mark.parametrize(
    ("frame", "count"),
    [(numbered(1), MAX_WRITTEN), (framed(msgspec.json.encode("x" * 10_000)), MAX_GATHERED_BYTES // 10_000 + 1)],
    ids=["many", "large"],
)
async def test_no_more_gathers_than_a_write_takes(frame: bytes, count: int) -> None:
    """Whoever reads fast must not look like a slow reader."""
    wire, fanout = Counting(), await busy()
    client = begun(wire, fanout)
    await settled()
    for _ in range(count - 1):
        client.push(frame, is_public=True)
    await settled()
    assert wire.writes == []
    client.push(frame, is_public=True)
    await settled()
    assert len(wire.writes) == 1


async def test_what_has_gathered_leaves_in_the_end() -> None:
    """Without another frame, too."""
    wire, fanout = Counting(), Fanout()
    fanout._pace._next_at = monotonic() + MOST_S
    client = begun(wire, fanout)
    await settled()
    client.push(numbered(1), is_public=True)
    await until(lambda: wire.writes)


async def test_what_comes_during_the_handshake_waits_for_it() -> None:
    """A frame before the answer to the handshake would break it."""
    wire = Counting()
    client = Client(wire, Fanout())
    client.push(numbered(1))
    await settled()
    assert wire.writes == []
    client.begin()
    await settled()
    assert [frame["number"] for frame in wire.frames] == [1]


async def test_a_full_connection_is_written_when_it_has_room() -> None:
    """Nothing is handed over while it is full, so what waits is counted in one place."""
    wire = Counting()
    client = begun(wire)
    wire.stop_reading()
    for number in range(3):
        client.push(numbered(number))
        await settled()
    assert wire.writes == []
    wire.read_on()
    await settled()
    assert [frame["number"] for frame in wire.frames] == [0, 1, 2]


@pytest.mark.parametrize("frame", [numbered(1), framed(msgspec.json.encode("x" * 10_000))], ids=["many", "large"])
async def test_a_connection_is_behind_by_frames_or_by_bytes(frame: bytes) -> None:
    """Few large frames are as much as many small ones."""
    wire = Wire()
    client = begun(wire)
    wire.stop_reading()
    count = min(BEHIND, BEHIND_BYTES // len(frame) + 1)
    for _ in range(count - 1):
        client.push(frame)
    assert not client.is_behind
    client.push(frame)
    assert client.is_behind


async def test_nobody_waits_for_room_on_a_connection_that_ends() -> None:
    """A request that is held back until there is room ends with its connection."""
    wire = Wire()
    client = begun(wire)
    wire.stop_reading()
    for _ in range(BEHIND):
        client.push(numbered(1))
    waiting = asyncio.create_task(client.wait_for_room())
    await settled()
    assert not waiting.done()
    client.end()
    async with asyncio.timeout(60):
        await waiting


async def test_a_client_that_has_gone_is_written_nothing() -> None:
    """Nor does anything gather for it."""
    wire: Any = Counting()
    client = begun(wire)
    await settled()
    wire.is_gone = True
    client.push(numbered(1))
    await settled()
    client.push(numbered(2))
    await settled()
    assert wire.writes == [] and not client._waiting
