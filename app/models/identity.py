"""Ids computed from the client's request, so that the same request has the same id on every gateway.

An order id is a UUIDv8: 32 bits identify the instrument (`instrument_tag`), the rest is a hash of client, instrument
and key. Public trades show order ids, so the hash is keyed with the venue's secret: otherwise anyone could try client
names and keys until one gives the id. The log's genesis record has the secret. An id is 16 bytes inside, and UUID text
outside.
"""

from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

ID_BYTES = 16
SECRET_BYTES = 32
NO_SECRET = b""
"""For logs from before secrets existed, so that their ids stay the same."""


def order_id(client_id: str, instrument: str, client_order_id: str, secret: bytes = NO_SECRET) -> bytes:
    """The order id for this client's key on this instrument, in a venue with this secret."""
    number = int.from_bytes(_hash16(b"order", client_id, instrument, client_order_id, secret=secret), "big")
    return (number & _HASHED_BITS | _fixed_bits(instrument)).to_bytes(ID_BYTES, "big")


def command_id(client_id: str | None, instrument: str, key: str) -> bytes:
    """The id of any other command; its keys never collide with those of orders."""
    return _hash16(b"command", client_id or "", instrument, key)


@lru_cache(maxsize=4_096)
def instrument_tag(instrument: str) -> bytes:
    """The first 4 bytes of every order id of the instrument; two listed instruments may not share one."""
    return blake2b(instrument.encode(), digest_size=4, person=b"instrument").digest()


@lru_cache(maxsize=4_096)
def _fixed_bits(instrument: str) -> int:
    """The bits of an order id that are not hashed: the tag, and those that make it a UUIDv8."""
    return int.from_bytes(instrument_tag(instrument), "big") << 96 | 0x8 << 76 | 0b10 << 62


_HASHED_BITS = 2**96 - 1 & ~(0xF << 76) & ~(0b11 << 62)


def fingerprint(*facts: object) -> int:
    """A 64-bit hash of a command's canonical content: equal for repeats, different for other content."""
    return int.from_bytes(blake2b(repr(facts).encode(), digest_size=8).digest(), "big")


@lru_cache(maxsize=4_096)
def id_text(value: bytes) -> str:
    """An id as UUID text."""
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id_bytes(text: str) -> bytes:
    """UUID text as bytes; raises ValueError."""
    return UUID(text).bytes


def _hash16(kind: bytes, *parts: str, secret: bytes = NO_SECRET) -> bytes:
    hashed = _begun(kind, secret).copy()
    # Identifiers have no "\0", so the joined text is unambiguous.
    hashed.update("\0".join(parts).encode())
    return hashed.digest()


@lru_cache(maxsize=16)
def _begun(kind: bytes, secret: bytes) -> blake2b:
    """A hash to copy: the secret alone is as much work as all that follows."""
    return blake2b(digest_size=ID_BYTES, person=kind, key=secret)
