"""The exception with which the gateway refuses a request, free of HTTP; web/edge/problems.py makes it an answer."""

from typing import Any, Literal

from app.matching.words import Reason

Code = (
    Reason
    | Literal[
        "already_subscribed", "beyond_end", "history_behind", "history_unavailable", "invalid_value", "matching_behind",
        "not_ready", "not_subscribed", "other_epoch", "outcome_unknown", "overloaded", "snapshot_required",
        "too_many_subscriptions",
    ]
)  # fmt: skip
RETRY_SOON_S = 1


class Refused(Exception):
    """A refused request, with a code for programs and a sentence for people.

    `retry_after_s`: the client may retry after this time. `is_leaving`: this gateway stops, so retry at another one.
    `more`: further facts for programs, by name.
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
