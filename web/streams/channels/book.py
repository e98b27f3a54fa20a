"""`book`: levels, all of them, or the best `depth` of each side with those that enter and leave this window."""

from msgspec import UNSET, UnsetType

from app.matching.words import Side
from app.models.reports import ExecutionReport, LevelChange
from app.models.streams import BookMessage
from web.market.books import SNAPSHOT, LevelBook, Market
from web.streams.channels.channel import Levels, Variant, snapshot_of, update_of
from web.streams.messages import Message


class BookChannel:
    """The levels of a book."""

    def __init__(self, variant: Variant, book: LevelBook | None) -> None:
        """Without a book, as in a replay from Kafka, there is no checksum, and no depth."""
        assert book is not None or variant.depth is None, "a window is cut out of a book"
        self._variant, self._book, self._depth = variant, book, variant.depth
        self._window = None if book is None or variant.depth is None else _window(book, variant.depth)
        self._snapshot: Message | None = None

    def update(self, report: ExecutionReport, before: Levels) -> Message | None:
        if not report.levels:
            return None
        levels = report.levels if self._window is None else self._moved()
        if report.command == SNAPSHOT and self._window is None and before is not None:  # it tells every level
            levels = [level for level, old in zip(levels, before, strict=True) if level != old]
        if not levels:
            return None
        return Message(BookMessage(**update_of(self._variant, report), data=levels, checksum=self._checksum()))

    def snapshot(self, market: Market) -> Message:
        if self._snapshot is None or self._snapshot.seq != market.seq:
            levels = [level for side in Side for level in market.book.best_first(side, self._depth)]
            head = snapshot_of(self._variant, market)
            self._snapshot = Message(BookMessage(**head, data=levels, checksum=self._checksum()))
        return self._snapshot

    def _moved(self) -> list[LevelChange]:
        """What changes the window into what it is now."""
        assert self._book is not None and self._depth is not None and self._window is not None
        before, self._window = self._window, _window(self._book, self._depth)
        levels = []
        for side, now in self._window.items():
            was = before[side]
            levels += [level for price, level in now.items() if (old := was.get(price)) is not level and old != level]
            levels += [LevelChange(side, price, "0", 0) for price in was if price not in now]
        return levels

    def _checksum(self) -> int | UnsetType:
        return UNSET if self._book is None else self._book.checksum()


def _window(book: LevelBook, depth: int) -> dict[Side, dict[str, LevelChange]]:
    return {side: {level.price: level for level in book.best_first(side, depth)} for side in Side}
