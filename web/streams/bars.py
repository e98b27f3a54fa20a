"""`candles` and `ticker`: the channels that are made of the updates of bars, and who gets them."""

from typing import NamedTuple

from app.models.bars import candle_answer, ticker_data
from app.models.candles import Candle, CandlesUpdate, Ticker
from app.models.http import rfc3339
from app.models.streams import CandlesMessage, Channel, MessageType, TickerMessage
from web.market.bars import MarketBars
from web.streams.channels.channel import Head, Variant
from web.streams.client import Subscription, beat
from web.streams.messages import Message


class _Audience(NamedTuple):
    """The bars of a market, and the subscriptions to one of its channels."""

    bars: MarketBars
    subscriptions: set[Subscription]


class BarStreams:
    """All subscriptions to bars and tickers."""

    def __init__(self) -> None:
        self._audiences: dict[Variant, _Audience] = {}

    def publish(self, bars: MarketBars, update: CandlesUpdate) -> None:
        """Tell everyone of an update that the bars have taken in."""
        for channel in (Channel.CANDLES, Channel.TICKER):
            audience = self._audiences.get(Variant(channel, bars.instrument, None, None))
            if audience is not None:
                message = _update(channel, update)
                for subscription in audience.subscriptions:
                    subscription.offer(message)

    def begin(self, subscription: Subscription, bars: MarketBars, with_snapshot: bool) -> None:
        """Tell it what memory has after its seq, or a snapshot, and from now on everything.

        A market without trades has no snapshot: there is nothing to show.
        """
        channel = subscription.variant.channel
        if with_snapshot and bars.ticker is not None:
            subscription.send(_snapshot(channel, bars, bars.ticker))
        for update in bars.after(subscription.last_seq):
            subscription.send(_update(channel, update))
        self._audiences.setdefault(subscription.variant, _Audience(bars, set())).subscriptions.add(subscription)

    def remove(self, subscription: Subscription) -> None:
        """It gets nothing more."""
        audience = self._audiences.get(subscription.variant)
        if audience is not None:
            audience.subscriptions.discard(subscription)
            if not audience.subscriptions:
                del self._audiences[subscription.variant]

    def beat(self) -> None:
        """Heartbeats, each second."""
        for variant, audience in self._audiences.items():
            beat(variant, audience.subscriptions)


def _update(channel: Channel, update: CandlesUpdate) -> Message:
    head = _head(channel, MessageType.UPDATE, update.instrument, update.seq, update.time)
    return _message(head, update.bars, update.ticker)


def _snapshot(channel: Channel, bars: MarketBars, ticker: Ticker) -> Message:
    head = _head(channel, MessageType.SNAPSHOT, bars.instrument, bars.seq, bars.time_ms)
    return _message(head, bars.bars(), ticker)


def _head(channel: Channel, type_: MessageType, instrument: str, seq: int, time_ms: int) -> Head:
    return Head(channel=channel, type=type_, instrument=instrument, seq=seq, time=rfc3339(time_ms))


def _message(head: Head, candles: list[Candle], ticker: Ticker) -> Message:
    if head["channel"] is Channel.CANDLES:
        return Message(CandlesMessage(**head, data=[candle_answer(candle) for candle in candles]))
    return Message(TickerMessage(**head, data=[ticker_data(ticker)]))
