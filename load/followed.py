"""A subscription as its client sees it: proves that no message is missing, and keeps a copy of the book. No I/O."""

from decimal import Decimal
from typing import Any

from app.models.checksum import CHECKED_LEVELS, book_checksum

Message = dict[str, Any]


class Gap(Exception):
    """A message does not follow the one before it."""


class WrongCopy(Exception):
    """The copy of the book has not the checksum that the venue says."""


class BookCopy:
    """A book kept by `book` messages alone, all of it or a window of the best levels."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Message]] = {"buy": {}, "sell": {}}

    def apply(self, message: Message) -> None:
        """Take in a snapshot or an update; raises WrongCopy."""
        if message["type"] == "snapshot":
            self.sides = {"buy": {}, "sell": {}}
        for level in message["data"]:
            side, price = self.sides[level["side"]], Decimal(level["price"])
            if level["orders"]:
                side[price] = level
            else:
                side.pop(price, None)
        if message.get("checksum") not in (None, self.checksum()):
            raise WrongCopy(f"{message['instrument']} at seq {message['seq']}")

    def best_first(self, side: str) -> list[Message]:
        """The levels of a side."""
        prices = sorted(self.sides[side], reverse=side == "buy")
        return [self.sides[side][price] for price in prices]

    def checksum(self) -> int:
        """Of its ten best levels."""
        bids, asks = (
            [(level["price"], level["quantity"]) for level in self.best_first(side)[:CHECKED_LEVELS]]
            for side in ("buy", "sell")
        )
        return book_checksum(bids, asks)


class Followed:
    """One subscription, over as many connections as it takes."""

    def __init__(self, channel: str, instrument: str, **params: Any) -> None:
        """`params` as in a subscribe request: depth, on_slow, client_id, from_seq, epoch, snapshot."""
        self.channel, self.instrument, self.client_id = channel, instrument, params.get("client_id")
        self.last_seq: int | None = params.pop("from_seq", None)
        self.epoch: str | None = params.pop("epoch", None)
        self.book = BookCopy() if channel == "book" else None
        self.resumed = 0
        self.skipped = 0
        self._params = params

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What its messages are known by."""
        return self.channel, self.instrument, self.client_id

    def request(self, req_id: int) -> Message:
        """What to send on a new connection: the position that it has, if it has one."""
        params = {**self._params, "channel": self.channel, "instrument": self.instrument}
        if self.last_seq is not None:
            params |= {"from_seq": self.last_seq} | ({} if self.epoch is None else {"epoch": self.epoch})
        return {"method": "subscribe", "params": params, "req_id": req_id}

    def begin(self, result: Message) -> None:
        """The answer to that request; raises Gap."""
        if result["recovered"]:
            self.resumed += 1
            if result["last_seq"] != self.last_seq:
                raise Gap(f"{self.key}: asked for what follows {self.last_seq}, got what follows {result['last_seq']}")
        self.epoch, self.last_seq = result["epoch"], result["last_seq"]

    def begin_again(self) -> None:
        """Forget the position: the next request begins with a snapshot."""
        self.last_seq = None

    def take(self, message: Message) -> None:
        """The next message; raises Gap and WrongCopy."""
        if message["prev_seq"] != self.last_seq or message["seq"] < message["prev_seq"]:
            raise Gap(f"{self.key}: {message['prev_seq']} to {message['seq']} follows {self.last_seq}")
        if message["type"] == "skipped":
            self.skipped += 1
        elif self.book is not None and message["type"] in ("snapshot", "update"):
            self.book.apply(message)
        self.last_seq = message["seq"]
