"""Chains of SHA-256 over lines: the digests of statements and the seals of cycles."""

from collections.abc import Iterable
from hashlib import sha256

EMPTY = bytes(32)
NO_SEAL = EMPTY.hex()
"""The previous seal of the first cycle."""


def chained(digest: bytes, line: str) -> bytes:
    """The digest after one more line, which has no newline."""
    return sha256(digest + line.encode()).digest()


class Chain:
    """A digest that grows line by line."""

    def __init__(self, lines: Iterable[str] = (), digest: bytes = EMPTY) -> None:
        self.digest = digest
        """The digest of all lines so far."""
        for line in lines:
            self.add(line)

    def add(self, line: str) -> None:
        """Append a line."""
        self.digest = chained(self.digest, line)

    @property
    def hex(self) -> str:
        """The digest as text."""
        return self.digest.hex()
