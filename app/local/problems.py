"""Why a venue cannot start: each is one sentence for the user, never a traceback."""


class CannotStart(RuntimeError):
    """The message is a whole sentence: what is wrong, and what to do."""
