"""What the gateway refuses below HTTP, as it is answered."""

from typing import get_args

import pytest

from app.matching.words import Reason
from web.edge.problems import STATUSES, problem_of
from web.refused import RETRY_SOON_S, Code, Refused


def test_every_code_has_a_status() -> None:
    """Without one the answer would be a 500."""
    _, words = get_args(Code)
    assert set(STATUSES) == {*Reason, *get_args(words)}


@pytest.mark.parametrize(
    ("refused", "status", "headers"),
    [
        (Refused(Reason.UNKNOWN_INSTRUMENT, "no"), 404, {}),
        (Refused(Reason.DUPLICATE_ORDER, "no", order_id="x"), 422, {}),
        (Refused("overloaded", "no", RETRY_SOON_S), 503, {"Retry-After": "1"}),
        (Refused("outcome_unknown", "no", RETRY_SOON_S), 504, {"Retry-After": "1"}),
        (Refused("not_ready", "no", 1, is_leaving=True), 503, {"Retry-After": "1", "Connection": "close"}),
    ],
    ids=lambda value: value.code if isinstance(value, Refused) else None,
)
def test_what_is_refused_below_http_is_a_problem(refused: Refused, status: int, headers: dict[str, str]) -> None:
    """Code, sentence and facts as they were raised; when to try again, and where, as headers."""
    problem = problem_of(refused)
    assert (problem.status, problem.code, problem.detail) == (status, refused.code, "no")
    assert (problem.more, problem.headers) == (refused.more, headers)
