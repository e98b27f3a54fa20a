"""The checksum of an order book, with which a client checks that its own copy equals the venue's book."""

from collections.abc import Iterable
from zlib import crc32

CHECKED_LEVELS = 10
"""The checksum covers this many best levels of each side, or all if a side has fewer."""

Level = tuple[str, str]
"""Price and displayed quantity, as text in the API's format."""


def book_checksum(bids: Iterable[Level], asks: Iterable[Level]) -> int:
    """CRC-32 of `price:quantity|price:quantity…#price:quantity|…`, bids before the `#`, each side best first."""
    return crc32(f"{_text(bids)}#{_text(asks)}".encode())


def _text(levels: Iterable[Level]) -> str:
    return "|".join(f"{price}:{quantity}" for price, quantity in levels)
