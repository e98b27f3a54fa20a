"""The words: every reason for a no, and its FIX code."""

import pytest

from app.matching.words import FIX_CODES, FixField, Reason

ORD_REJ_REASON = {
    1: "unknown_instrument",
    2: "market_closed",
    3: "too_many_orders",
    6: "duplicate_order",
    8: "stale_order",
    11: "unsupported_order",
    13: "incorrect_quantity",
    16: "price_band",
    18: "invalid_price_increment",
    99: "post_only_would_take",
}
CXL_REJ_REASON = {0: "too_late_to_cancel", 1: "unknown_order"}
# FIX has no code for these: the record is no command at all, or an operator's.
WITHOUT_CODE = {
    "malformed_command",
    "key_mismatch",
    "wrong_partition",
    "unsupported_engine_version",
    "invalid_fees",
    "unknown_trade",
    "trade_busted",
    "too_many_busts",
}
ENDS = {
    "insufficient_liquidity",
    "ioc_remainder",
    "fok_not_filled",
    "max_fills",
    "expire_time_reached",
    "self_trade_prevented",
    "canceled_by_client",
    "mass_canceled",
    "replaced",
}


@pytest.mark.parametrize(
    ("field", "number", "codes"),
    [(FixField.ORD_REJ_REASON, 103, ORD_REJ_REASON), (FixField.CXL_REJ_REASON, 102, CXL_REJ_REASON)],
)
def test_a_refusal_has_the_code_that_fix_gives_it(field: FixField, number: int, codes: dict[int, str]) -> None:
    """Fields 103 (OrdRejReason) and 102 (CxlRejReason)."""
    assert field.value == number
    assert {code: str(reason) for reason, (of, code) in FIX_CODES.items() if of is field} == codes


def test_every_reason_is_a_refusal_with_a_code_or_known_to_have_none() -> None:
    """A new reason must find its place here."""
    coded = {*ORD_REJ_REASON.values(), *CXL_REJ_REASON.values()}
    assert {str(reason) for reason in Reason} == coded | WITHOUT_CODE | ENDS
    assert len(Reason) == len(coded) + len(WITHOUT_CODE) + len(ENDS)
