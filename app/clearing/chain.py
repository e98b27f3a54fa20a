"""Chains of SHA-256 over lines: the digests of statements and the seals of cycles."""

from collections.abc import Iterable
from hashlib import sha256

EMPTY = bytes(32)
NO_SEAL = EMPTY.hex()
"""What stands for the seal before the first cycle."""


class Chain:
    """A digest that grows line by line."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._digest = EMPTY
        for line in lines:
            self.add(line)

    def add(self, line: str) -> None:
        """The next line, without its newline."""
        self._digest = sha256(self._digest + line.encode()).digest()

    @property
    def hex(self) -> str:
        """The digest of all lines so far."""
        return self._digest.hex()
