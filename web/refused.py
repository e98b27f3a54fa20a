"""Why the gateway does not do something, without HTTP: `web/edge/problems.py` turns it into an answer."""

from typing import Any, Literal

from app.matching.words import Reason

Code = (
    Reason
    | Literal[
        "history_behind", "history_unavailable", "invalid_value", "matching_behind", "not_ready", "outcome_unknown",
        "overloaded",
    ]
)  # fmt: skip
RETRY_SOON_S = 1


class Refused(Exception):
    """A code for programs and a sentence for people.

    `retry_after_s`: when the same may be tried again. `is_leaving`: another gateway must be asked, this one stops.
    `more`: facts that a program needs, by name.
    """

    def __init__(
        self,
        code: Code,
        sentence: str,
        retry_after_s: int | None = None,
        is_leaving: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.more = code, sentence, more
        self.retry_after_s, self.is_leaving = retry_after_s, is_leaving
