"""Which class makes the messages of a channel."""

from app.models.streams import Channel
from web.market.books import LevelBook
from web.streams.channels.book import BookChannel
from web.streams.channels.channel import Made, Variant
from web.streams.channels.orders import OrdersChannel
from web.streams.channels.status import StatusChannel
from web.streams.channels.trades import TradesChannel


def made(variant: Variant, book: LevelBook | None) -> Made:
    """The channel of this variant, of a book that takes in each report before it does."""
    match variant.channel:
        case Channel.BOOK:
            return BookChannel(variant, book)
        case Channel.TRADES:
            return TradesChannel(variant)
        case Channel.ORDERS:
            return OrdersChannel(variant)
        case Channel.STATUS:
            return StatusChannel(variant)
        case Channel.CANDLES | Channel.TICKER:
            raise AssertionError("made of bars: web/streams/bars.py")
