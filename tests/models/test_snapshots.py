"""Snapshots: a market goes on from its bytes as if nothing had happened, and other bytes are refused."""

import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
import pytest

from app.matching import identities, sanity, states
from app.matching.book import Book
from app.matching.commands import Cancel, Command, List, Listing, Moment, Place
from app.matching.events import Report
from app.matching.identities import BLOCK, Block
from app.matching.rejections import Rejections
from app.matching.sanity import check
from app.matching.states import BookState, freeze, restore
from app.matching.words import OrderType, Reason, Side
from app.models import sealed as sealing
from app.models import snapshots
from app.models.sealed import MAX_CHUNK_BYTES, DamagedSnapshot
from app.models.snapshots import (
    State,
    decode_block,
    decode_state,
    encode_block,
    encode_state,
    state_hash,
)
from tests.matching.streams import INSTRUMENT, commands

LOG = "00000000-0000-0000-0000-000000000001"
LISTING = Listing(INSTRUMENT, "BTC", "USD", 1, 1, id_window_count=1_500)


class Saved:
    """A book as the changelog keeps it: head, chunks and complete id blocks, all bytes."""

    def __init__(self, book: Book) -> None:
        state = freeze(book)
        self.head, self.chunks = encode_state(state, LOG)
        self.blocks = {number: encode_block(book.id_block(number)) for number in _complete(state)}

    def state(self) -> State:
        return decode_state(self.head, self.chunk, LOG)

    def chunk(self, number: int) -> bytes | None:
        return self.chunks[number] if number < len(self.chunks) else None

    def restored(self) -> Book:
        state = self.state()
        assert isinstance(state, BookState)
        blocks: dict[int, Block] = {number: decode_block(value) for number, value in self.blocks.items()}
        book = restore(state, blocks)
        check(book)
        return book


def _complete(state: BookState) -> range:
    return range(state.first_block, state.end_block)


def each_cut_goes_on(log: list[tuple[Command, Moment]], cuts: Callable[[int], bool]) -> None:
    """Save after each of the commands that are cuts; from every save the rest of the log gives the same."""
    book, reports, saves = Book(INSTRUMENT), list[Report](), dict[int, Saved]()
    for index, (command, at) in enumerate(log):
        reports.append(book.apply(command, at))
        if cuts(index):
            saves[index] = Saved(book)
    assert saves
    end = state_hash(freeze(book))
    for index, saved in saves.items():
        other = saved.restored()
        assert [other.apply(command, at) for command, at in log[index + 1 :]] == reports[index + 1 :], f"cut at {index}"
        assert state_hash(freeze(other)) == end, f"cut at {index}"


@pytest.mark.parametrize("block", [BLOCK, 4])
@pytest.mark.parametrize("seed", range(500, 508))
def test_a_market_restored_at_any_point_goes_on_as_if_nothing_had_happened(
    seed: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cut point of a stream with all commands: the same reports, and the same hash; small id blocks or large."""
    for module in (identities, states, sanity):
        monkeypatch.setattr(module, "BLOCK", block)
    each_cut_goes_on(commands(seed, 100), lambda _: True)


def test_a_market_restored_around_an_id_block_goes_on_as_if_nothing_had_happened() -> None:
    """Keys are remembered or forgotten as before, whichever blocks are complete, unfinished or gone."""
    log: list[tuple[Command, Moment]] = [(List(b"list".ljust(16), 0, LISTING), Moment(0, 0))]
    for number in range(1, 3 * BLOCK):
        # Every third key comes again, inside the window, at its edge or beyond it.
        back = (700, 1_499, 1_500, 1_501)[number % 4] if number % 3 == 0 else 0
        key = max(1, number - back).to_bytes(16, "big")
        log.append((Cancel(key, 0, b"none".ljust(16)), Moment(number, number)))
    edges = {edge + by for edge in (BLOCK, 2 * BLOCK, 1_500, BLOCK + 1_500) for by in (-2, -1, 0, 1)}
    each_cut_goes_on(log, lambda index: index in edges or index % 700 == 0)


def test_the_size_of_an_id_block_is_part_of_the_format() -> None:
    """Blocks are stored under their numbers (docs/EXACTNESS.md, I12): with another size they would be other keys."""
    assert BLOCK == 1_024


def changed(value: Any) -> Any:
    """Another value, of the same kind if it has a length."""
    if isinstance(value, tuple):
        return value[1:] or (77,)
    return {False: True, None: 1}.get(value, 77)


def test_a_different_state_has_a_different_hash() -> None:
    """Whatever the difference: `verify` compares nothing else."""
    book = Book(INSTRUMENT)
    for command, at in commands(500, 100):
        book.apply(command, at)
    state = freeze(book)
    assert state.bids and state.asks and state.stops and state.ids
    others: list[State] = [
        state._replace(**{field: changed(value)})
        for field, value in zip(state._fields, state, strict=True)
        if field not in ("instrument", "listing")
    ]
    others += [state._replace(listing=state.listing._replace(max_fills=77)), state._replace(instrument="X")]
    hashes = {state_hash(other) for other in (state, *others)}
    assert len(hashes) == 1 + len(others) == 1 + len(state._fields)


def deep_book(orders: int) -> Book:
    """A book with so many orders at so many prices."""
    book = Book(INSTRUMENT)
    book.apply(List(b"list".ljust(16), 0, LISTING), Moment(0, 0))
    for number in range(1, orders + 1):
        order_id = number.to_bytes(16, "big")
        place = Place(order_id, 1, f"client-{number}", "", Side.BUY, OrderType.LIMIT, number, number)
        book.apply(place, Moment(number, number))
    return book


def test_a_large_snapshot_comes_in_chunks() -> None:
    """None of the records is larger than the limit, and together they are the state."""
    book = deep_book(8_000)
    saved = Saved(book)
    assert len(saved.chunks) > 1
    assert all(len(value) <= MAX_CHUNK_BYTES for value in (saved.head, *saved.chunks))
    assert saved.state() == freeze(book)
    assert freeze(saved.restored()) == freeze(book)


def test_a_chunk_that_is_missing_moved_or_altered_is_noticed() -> None:
    """The head knows how many there are, and the checksum of all."""
    saved = Saved(deep_book(8_000))
    whole = list(saved.chunks)
    middle = bytearray(whole[1])
    middle[1_000] ^= 1
    for chunks in (whole[:-1], whole[1:], [whole[1], whole[0], *whole[2:]], [whole[0], bytes(middle), *whole[2:]], []):
        saved.chunks = chunks
        with pytest.raises(DamagedSnapshot):
            saved.state()
    saved.chunks = [*whole[:-1], whole[-1][:-1]]
    with pytest.raises(DamagedSnapshot):
        saved.state()


def test_any_other_byte_is_noticed() -> None:
    """Every byte altered, every truncation, anything added: of a head and of an id block."""
    head, block = Saved(deep_book(3)).head, encode_block(((b"k" * 16, 1, 2, 3),))
    for whole, read in ((head, lambda value: decode_state(value, lambda _: None, LOG)), (block, decode_block)):
        read(whole)
        altered = [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(len(whole))]
        for value in (*altered, *(whole[:i] for i in range(len(whole))), whole + b" ", b"\0" * 100):
            with pytest.raises(DamagedSnapshot):
                read(value)


def test_a_snapshot_of_another_log_is_refused() -> None:
    """The topics were created anew, or the data is another installation's."""
    head = Saved(deep_book(1)).head
    with pytest.raises(DamagedSnapshot, match="of the log"):
        decode_state(head, lambda _: None, LOG.replace("1", "2"))


def test_what_another_format_version_wrote_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it looks alike: state and block."""
    other = sealing.FORMAT_VERSION + 1
    for module in (sealing, snapshots):
        monkeypatch.setattr(module, "FORMAT_VERSION", other)
    saved, block = Saved(deep_book(1)), encode_block(())
    saved.state()
    decode_block(block)
    monkeypatch.undo()
    with pytest.raises(DamagedSnapshot, match="format 2"):
        saved.state()
    with pytest.raises(DamagedSnapshot, match="format 2"):
        decode_block(block)


def sealed(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=32).digest() + payload


def forged(instrument: str, offset: int, body: bytes) -> bytes:
    """A head with valid checksums around any body."""
    digest = b64encode(blake2b(body, digest_size=32).digest()).decode()
    return sealed(json.dumps([1, LOG, instrument, offset, 0, digest, b64encode(body).decode()]).encode())


def test_a_head_around_something_else_is_refused() -> None:
    """Checksums alone do not make a snapshot: the content must be the state that the head names."""
    state = freeze(deep_book(1))
    body = msgspec.json.encode(state)
    assert decode_state(forged(INSTRUMENT, state.offset, body), lambda _: None, LOG) == state
    for head in (
        forged("OTHER", state.offset, body),
        forged(INSTRUMENT, state.offset + 1, body),
        forged(INSTRUMENT, state.offset, body[:-1]),
        forged(INSTRUMENT, state.offset, b"[]"),
        forged("_partition-0", state.offset, body),
        sealed(b"{}"),
    ):
        with pytest.raises(DamagedSnapshot):
            decode_state(head, lambda _: None, LOG)


def test_the_reserved_instrument_goes_on_too() -> None:
    """Its seq, clock and position are all it has."""
    rejections = Rejections(3)
    rejections.reject(Reason.MALFORMED_COMMAND, b"?", Moment(5, 50), 1)
    head, chunks = encode_state(rejections.state(), LOG)
    assert not chunks
    state = decode_state(head, lambda _: None, LOG)
    assert state == rejections.state()
    other = Rejections.restore(state)  # type: ignore[arg-type]
    at = Moment(9, 20)
    assert other.reject(Reason.KEY_MISMATCH, b"!", at, 1) == rejections.reject(Reason.KEY_MISMATCH, b"!", at, 1)
    assert other.state() == rejections.state()
