"""The error for a venue that cannot start: one sentence for the user, never a traceback."""


class CannotStart(RuntimeError):
    """The message is a whole sentence: what is wrong, and what to do."""
