"""What a channel is: a report in, at most one message out, and the snapshot that a subscription begins with. No I/O.

An update is a function of the report, and for `book` of the levels before it: every gateway makes the same bytes of it,
live, from memory or from Kafka.
"""

from typing import NamedTuple, Protocol, TypedDict

from app.models.http import rfc3339
from app.models.reports import ExecutionReport, LevelChange
from app.models.streams import Channel, MessageType
from web.market.books import Market
from web.streams.messages import Message

Key = tuple[Channel, str, str | None]
"""Channel, instrument and, of a private channel, client: what a connection can subscribe to once."""
Levels = list[LevelChange] | None


class Variant(NamedTuple):
    """What subscriptions can share: their messages are the same."""

    channel: Channel
    instrument: str
    client_id: str | None
    depth: int | None

    @property
    def key(self) -> Key:
        return self.channel, self.instrument, self.client_id


class Made(Protocol):
    """A channel of an instrument."""

    def update(self, report: ExecutionReport, before: Levels) -> Message | None:
        """The message for the next report, which the book has taken in; None when it is not about this channel.

        `before`: its levels as they were, if that is known.
        """
        ...

    def snapshot(self, market: Market) -> Message:
        """Where a new subscription begins."""
        ...


class Head(TypedDict):
    """The fields that the messages of all channels share."""

    channel: Channel
    type: MessageType
    instrument: str
    seq: int
    time: str


def update_of(variant: Variant, report: ExecutionReport) -> Head:
    """The head of the message about a report."""
    return _head(variant, MessageType.UPDATE, report.seq, report.time)


def snapshot_of(variant: Variant, market: Market) -> Head:
    """The head of a snapshot."""
    return _head(variant, MessageType.SNAPSHOT, market.seq, market.time_ms)


def _head(variant: Variant, type_: MessageType, seq: int, time_ms: int) -> Head:
    return Head(channel=variant.channel, type=type_, instrument=variant.instrument, seq=seq, time=rfc3339(time_ms))
