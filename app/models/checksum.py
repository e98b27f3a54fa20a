"""The checksum of an order book: what a client computes over its own copy to know that it is the venue's."""

from collections.abc import Iterable
from zlib import crc32

CHECKED_LEVELS = 10
"""The best levels of each side that it covers, fewer if there are fewer."""

Level = tuple[str, str]
"""Price and displayed quantity, as the API has them."""


def book_checksum(bids: Iterable[Level], asks: Iterable[Level]) -> int:
    """CRC-32 of `price:quantity|price:quantity…#price:quantity|…`, bids before the `#`, each side best first."""
    return crc32(f"{_text(bids)}#{_text(asks)}".encode())


def _text(levels: Iterable[Level]) -> str:
    return "|".join(f"{price}:{quantity}" for price, quantity in levels)
