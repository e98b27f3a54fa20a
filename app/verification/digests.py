"""Digests of all records of a topic partition, by instrument and seq; on disk, so that memory does not grow."""

import tempfile
from array import array
from hashlib import blake2b

DIGEST_BYTES = 8
PAGE = 512  # digests, 4 KiB


class Digests:
    """Append records in order of seq, from 1; compare any earlier seq at any time."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="matchstream-verify-")  # noqa: SIM115 - lives as long as this
        self._pages: dict[str, array[int]] = {}
        self._last: dict[str, bytearray] = {}
        self._written = 0

    def append(self, instrument: str, value: bytes) -> None:
        """Append the record with the instrument's next seq."""
        last = self._last.setdefault(instrument, bytearray())
        last += _digest(value)
        if len(last) == PAGE * DIGEST_BYTES:
            self._file.seek(self._written * PAGE * DIGEST_BYTES)
            self._file.write(last)
            self._pages.setdefault(instrument, array("Q")).append(self._written)
            self._written += 1
            last.clear()

    def is_of(self, instrument: str, seq: int, value: bytes) -> bool:
        """Whether the record appended with this seq had these bytes."""
        page, place = divmod(seq - 1, PAGE)
        pages = self._pages.get(instrument, ())
        if page < len(pages):
            self._file.seek((pages[page] * PAGE + place) * DIGEST_BYTES)
            found = self._file.read(DIGEST_BYTES)
        else:
            found = bytes(self._last[instrument][place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES])
        return found == _digest(value)

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()


def _digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=DIGEST_BYTES).digest()
