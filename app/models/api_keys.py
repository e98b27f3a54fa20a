"""API keys: the text that a client presents, the record that Kafka keeps, and what a role allows.

A key is `ms_<key id>_<secret>`. The secret is 256 random bits, so nobody can guess it, and one SHA-256 protects the key
as well as a slow hash would.
"""

import secrets
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from app.models.commands import Identifier
from app.models.http import LARGEST_TIME_MS

PREFIX = "ms"
ID_BYTES = 6
SECRET_BYTES = 32
MIN_RATE, MAX_RATE = 0.001, 1_000_000.0
"""Requests a second: from one in 17 minutes to more than a gateway can answer."""

KeyId = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{2 * ID_BYTES}}}$(?!\n)")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Rate = Annotated[float, Meta(ge=MIN_RATE, le=MAX_RATE)]
Time = Annotated[int, Meta(ge=0, le=LARGEST_TIME_MS)]


class KeyRole(StrEnum):
    """What a key allows; each role also allows all that the roles before it do."""

    VIEWER = "viewer"
    """See the market and its client's orders."""

    TRADER = "trader"
    """Place, amend and cancel its client's orders."""

    ADMIN = "admin"
    """See and cancel all clients' orders; list, halt and resume instruments."""

    def may(self, needed: "KeyRole") -> bool:
        """Whether this role allows what requires the role `needed`."""
        return _RANKS[self] >= _RANKS[needed]


_RANKS = {role: rank for rank, role in enumerate(KeyRole)}


class ApiKey(Struct, frozen=True):
    """The stored record of a key. Times are in ms, `rate` in requests a second (None: the gateway's default)."""

    key_id: KeyId
    digest: Digest
    client_id: Identifier
    role: KeyRole
    created_at: Time
    rate: Rate | None = None
    expires_at: Time | None = None

    def opens_for(self, presented: str) -> bool:
        """Whether this is the presented key, compared in constant time."""
        return compare_digest(self.digest, digest_of(presented))

    def is_expired(self, now_ms: int) -> bool:
        return self.expires_at is not None and self.expires_at <= now_ms


class NewKey(NamedTuple):
    """A key's text, which cannot be recovered later, and the record to keep."""

    text: str
    kept: ApiKey


def new_key(
    client_id: str, role: KeyRole, created_at: int, rate: float | None = None, expires_at: int | None = None
) -> NewKey:
    """Create a new random key."""
    key_id = secrets.token_hex(ID_BYTES)
    text = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return NewKey(text, ApiKey(key_id, digest_of(text), client_id, role, created_at, rate, expires_at))


def key_id_of(presented: str) -> str | None:
    """The id inside a key; None if the text is not a key."""
    parts = presented.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == PREFIX else None


def digest_of(text: str) -> str:
    """The digest that we keep of a key's text; also works for surrogates, which no real key has."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


encode_key = msgspec.json.Encoder().encode
decode_key = msgspec.json.Decoder(ApiKey).decode
