"""Verify the books table: its changelog against the books of a replay."""

from collections.abc import Mapping

from app.engine import Partition
from app.matching.identities import BLOCK
from app.models.snapshots import encode_block
from app.verification.findings import Findings
from app.verification.running import StatesOf
from tables.books.subjects import AROUND, FrozenState, Subjects, codec
from tables.recovery.verification import ChangelogStates, states_in_kafka


class ReplayedBooks:
    """The books of a partition as verification.Replayed."""

    def __init__(self, partition: Partition, log_id: str) -> None:
        self._partition, self._subjects = partition, Subjects(partition, log_id)

    def reached(self) -> Mapping[str, int]:
        reached = {name: book.offset for name, book in self._partition.books.items()}
        return reached | {self._partition.rejections.instrument: self._partition.rejections.offset}

    def seq(self, name: str) -> int:
        book = self._partition.books.get(name)
        return self._partition.rejections.seq if book is None else book.seq

    def end_block(self, name: str) -> int:
        book = self._partition.books.get(name)
        return 0 if book is None else book.identities.total // BLOCK

    def block_value(self, name: str, number: int) -> bytes:
        return encode_block(self._partition.books[name].id_block(number))

    def freeze(self, name: str) -> FrozenState:
        return self._subjects[name].freeze()


def changelog_states(broker: str) -> StatesOf:
    """The function with which app.verification reads the books table to verify it."""
    return states_in_kafka(broker, "matching", AROUND, books_states)


def books_states(number: int, log_id: str, findings: Findings, live_only: bool = False) -> ChangelogStates:
    """The states of the books table's partition, of which nothing is read yet."""
    return ChangelogStates(
        number, log_id, findings, codec(log_id), lambda partition: ReplayedBooks(partition, log_id), live_only
    )
