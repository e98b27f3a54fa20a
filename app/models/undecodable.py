"""The exceptions that decoding can raise; a reader of records that others may have written must catch all."""

UNDECODABLE: tuple[type[Exception], ...] = (ValueError, RecursionError)
"""msgspec's errors and those for non-UTF-8 text are ValueErrors; too deep nesting raises RecursionError."""
