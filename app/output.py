"""What commands print: a closed pipe or a full disk ends them at once, and no terminal is too plain for the text."""

import errno
import io
import os
import sys
from typing import Any, NoReturn


class Guarded(io.FileIO):
    """Standard output that ends the process if it cannot be written: silently if its reader has gone."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _end(error)


def guard() -> None:
    """From now on, standard output is guarded; it stays as it is if somebody has replaced it already."""
    plain = sys.stdout
    if plain is sys.__stdout__ and isinstance(plain, io.TextIOWrapper):
        plain.flush()
        raw = Guarded(plain.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw), plain.encoding, "backslashreplace", line_buffering=plain.line_buffering
        )


def write_in_any_encoding() -> None:
    """Characters that standard output's encoding lacks are written as escapes, as on standard error."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")


def _end(error: OSError) -> NoReturn:
    """Without a normal exit, which would flush standard output and fail again."""
    if error.errno != errno.EPIPE:
        print(f"Error: cannot write the output: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(1)
