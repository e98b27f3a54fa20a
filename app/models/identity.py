"""Ids that are functions of what the client said: the same request has the same id on any gateway.

An order id is a UUIDv8: 32 bits tell the instrument (`instrument_tag`), the rest is a hash of client, instrument and
key. The public trades show order ids, so the hash is keyed with a secret of the venue: without it, anyone could try
names until one gives the id. The secret is in the genesis record of the log. Inside an id is 16 bytes, outside the
usual UUID text.
"""

from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

ID_BYTES = 16
SECRET_BYTES = 32
NO_SECRET = b""
"""Of a log that began before there were secrets: its ids stay as they are."""


def order_id(client_id: str, instrument: str, client_order_id: str, secret: bytes = NO_SECRET) -> bytes:
    """The order id for this client's key on this instrument, in the venue that has this secret."""
    digest = bytearray(_hash16(b"order", client_id, instrument, client_order_id, secret=secret))
    digest[:4] = instrument_tag(instrument)
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def command_id(client_id: str | None, instrument: str, key: str) -> bytes:
    """The identity of any other command: its own key space beside the orders'."""
    return _hash16(b"command", client_id or "", instrument, key)


@lru_cache(maxsize=4_096)
def instrument_tag(instrument: str) -> bytes:
    """The first 4 bytes of every order id of the instrument; two listed instruments may not share one."""
    return blake2b(instrument.encode(), digest_size=4, person=b"instrument").digest()


def fingerprint(*facts: object) -> int:
    """64 bits over a command's canonical content; equal iff it says the same."""
    return int.from_bytes(blake2b(repr(facts).encode(), digest_size=8).digest(), "big")


@lru_cache(maxsize=4_096)
def id_text(value: bytes) -> str:
    """An id as the UUID text that people see."""
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id_bytes(text: str) -> bytes:
    """UUID text as bytes; raises ValueError."""
    return UUID(text).bytes


def _hash16(kind: bytes, *parts: str, secret: bytes = NO_SECRET) -> bytes:
    # Identifiers have no "\0", so the joined text is unambiguous.
    return blake2b("\0".join(parts).encode(), digest_size=ID_BYTES, person=kind, key=secret).digest()
