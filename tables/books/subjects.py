"""Let the recovery protocol snapshot and restore a partition's books, and decode their changelog records.

A subject is what the protocol snapshots as one unit: the book of an instrument, or the partition's rejections.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from app.engine import Partition
from app.matching.book import Book
from app.matching.identities import Block
from app.matching.rejections import Rejections
from app.matching.states import freeze
from app.models.snapshots import State, decode_block, decode_state, encode_block, encode_state
from app.topics import BOOKS_CHANGELOG, EXECUTIONS, ORDERS
from tables.recovery.around import Around
from tables.recovery.changelog import Codec, Loaded, records_of_snapshot
from tables.recovery.checkpoint import Record

AROUND = Around(ORDERS.name, EXECUTIONS.name, BOOKS_CHANGELOG.name)


def codec(log_id: str) -> Codec:
    """The decoders for the books table of the log with this id."""
    return Codec(state=partial(_state, log_id), block=decode_block)


class FrozenState(NamedTuple):
    """An immutable copy of a subject's state; `id_block(n)` returns its n-th complete id block (docs/EXACTNESS.md)."""

    state: State
    log_id: str
    id_block: Callable[[int], Block]

    @property
    def offset(self) -> int:
        return self.state.offset

    @property
    def seq(self) -> int:
        return self.state.seq

    @property
    def first_block(self) -> int:
        return self.state.first_block

    @property
    def end_block(self) -> int:
        return self.state.end_block

    def snapshot_records(self, name: str) -> list[Record]:
        """The changelog records of the snapshot."""
        return records_of_snapshot(name, self.offset, *encode_state(self.state, self.log_id))

    def block_value(self, number: int) -> bytes:
        return encode_block(self.id_block(number))


class BookSubject(NamedTuple):
    """A book as a subject."""

    book: Book
    log_id: str

    @property
    def size(self) -> int:
        return self.book.open_orders + self.book.identities.unfinished

    def freeze(self) -> FrozenState:
        return FrozenState(freeze(self.book), self.log_id, self.book.id_block)


class RejectionsSubject(NamedTuple):
    """A partition's rejections as a subject, named after the reserved instrument `_partition-<p>`."""

    rejections: Rejections
    log_id: str
    size: int = 0

    def freeze(self) -> FrozenState:
        return FrozenState(self.rejections.state(), self.log_id, _no_blocks)


class Subjects(Mapping[str, BookSubject | RejectionsSubject]):
    """All subjects of one partition by name: a live view, which includes instruments that are listed later."""

    def __init__(self, partition: Partition, log_id: str) -> None:
        self._partition, self._log_id = partition, log_id

    def restore(self, loaded: Loaded) -> None:
        """Restore the partition from the loaded states."""
        for name, state in loaded.states.items():
            self._partition.restore(state, loaded.blocks[name])

    def __getitem__(self, name: str) -> BookSubject | RejectionsSubject:
        if name == self._partition.rejections.instrument:
            return RejectionsSubject(self._partition.rejections, self._log_id)
        return BookSubject(self._partition.books[name], self._log_id)

    def __iter__(self) -> Iterator[str]:
        yield from self._partition.books
        yield self._partition.rejections.instrument

    def __len__(self) -> int:
        return len(self._partition.books) + 1


def _no_blocks(number: int) -> Block:
    raise AssertionError("the reserved instrument has no ids")


def _state(log_id: str, head: bytes, chunk: Callable[[int], bytes | None]) -> State:
    return decode_state(head, chunk, log_id)
