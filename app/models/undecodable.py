"""What decoding raises for bytes that are not the message: a reader of foreign records catches all of it."""

UNDECODABLE: tuple[type[Exception], ...] = (ValueError, RecursionError)
"""msgspec's errors and text that is not UTF-8 are ValueErrors; nesting beyond Python's stack is a RecursionError."""
