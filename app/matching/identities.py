"""Which commands were seen before: records of keys within a window of count and time (docs/EXACTNESS.md, I12)."""

from collections.abc import Mapping
from typing import TypeAlias

BLOCK = 1 << 10
NEVER = 1 << 62

# (key, fingerprint, count, seq, time_ms): count numbers a book's records from 0, seq is that of the report.
Record: TypeAlias = tuple[bytes, int, int, int, int]
# The (key, fingerprint, seq, time_ms) of a block's records; the counts follow from their places.
Block: TypeAlias = tuple[tuple[bytes, int, int, int], ...]


class Identities:
    """The records with count >= `live_from`, found by key. They are forgotten in whole blocks, so some stay longer."""

    __slots__ = (
        "_open",
        "_window_count",
        "_window_ms",
        "blocks",
        "first_block",
        "index",
        "live_from",
        "oldest_ms",
        "total",
    )

    def __init__(self) -> None:
        self.index: dict[bytes, Record] = {}
        self._open: list[Record] = []
        self.blocks: dict[int, list[Record]] = {0: self._open}
        self.first_block = 0
        self.live_from = 0
        self.total = 0
        self.oldest_ms = NEVER  # not later than the oldest live record's time
        self._window_count = 0
        self._window_ms = 0

    @property
    def unfinished(self) -> int:
        """How many records the unfinished block has."""
        return self.total % BLOCK

    def set_window(self, count: int, ms: int) -> None:
        """The window in force from the next command on."""
        self._window_count, self._window_ms = count, ms

    def advance(self, time_ms: int) -> None:
        """Move the window; `live_from` never goes back."""
        if self.total - self._window_count > self.live_from:
            self.live_from = self.total - self._window_count
        if time_ms - self.oldest_ms > self._window_ms:
            self._expire(time_ms)
        if self.live_from // BLOCK > self.first_block:
            self._forget()

    def find(self, key: bytes) -> Record | None:
        """The live record of a key."""
        record = self.index.get(key)
        return None if record is None or record[2] < self.live_from else record

    def add(self, key: bytes, fingerprint: int, seq: int, time_ms: int) -> None:
        """Record a key; the new record replaces one that has left the window."""
        record = (key, fingerprint, self.total, seq, time_ms)
        self.index[key] = record
        self._open.append(record)
        self.total += 1
        if self.oldest_ms == NEVER:
            self.oldest_ms = time_ms
        if self.total % BLOCK == 0:
            self._open = self.blocks[self.total // BLOCK] = []

    def _expire(self, time_ms: int) -> None:
        live_from, blocks, total = self.live_from, self.blocks, self.total
        self.oldest_ms = NEVER
        while live_from < total:
            oldest_ms = blocks[live_from // BLOCK][live_from % BLOCK][4]
            if time_ms - oldest_ms <= self._window_ms:
                self.oldest_ms = oldest_ms
                break
            live_from += 1
        self.live_from = live_from

    def _forget(self) -> None:
        index = self.index
        while self.first_block < self.live_from // BLOCK:
            for record in self.blocks.pop(self.first_block):
                # The key may have been used again since.
                if index.get(record[0]) is record:
                    del index[record[0]]
            self.first_block += 1

    def block(self, number: int) -> Block:
        """A block that has live records, or the unfinished one."""
        return tuple((key, fingerprint, seq, time_ms) for key, fingerprint, _, seq, time_ms in self.blocks[number])

    def restore(self, live_from: int, total: int, blocks: Mapping[int, Block]) -> None:
        """Restore the records; `blocks` has every block from that of `live_from` to the unfinished one."""
        self.first_block, self.live_from, self.total, self.blocks = live_from // BLOCK, live_from, total, {}
        for number in range(live_from // BLOCK, total // BLOCK + 1):
            first = number * BLOCK
            records = [
                (key, fingerprint, first + place, seq, time_ms)
                for place, (key, fingerprint, seq, time_ms) in enumerate(blocks[number])
            ]
            self.blocks[number] = self._open = records
            self.index.update((record[0], record) for record in records)
        if live_from < total:
            self.oldest_ms = self.blocks[live_from // BLOCK][live_from % BLOCK][4]
