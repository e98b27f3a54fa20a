"""API keys: what is kept of them opens nothing, and only the right text opens."""

from typing import Any

import msgspec
import pytest

from app.configuration import Settings
from app.models.api_keys import MAX_RATE, MIN_RATE, KeyRole, decode_key, encode_key, key_id_of, new_key
from app.models.http import LARGEST_TIME_MS


def test_what_is_kept_does_not_have_the_key() -> None:
    """Who reads the topic cannot trade."""
    text, kept = new_key("ann", KeyRole.TRADER, 0)
    secret = text.split("_", 2)[2]

    assert len(secret) >= 43
    assert secret not in encode_key(kept).decode()
    assert decode_key(encode_key(kept)) == kept
    assert key_id_of(text) == kept.key_id


def test_only_the_key_opens() -> None:
    """Not its beginning, not another's, not what JSON or HTTP may carry beside text."""
    text, kept = new_key("ann", KeyRole.TRADER, 0)
    other, _ = new_key("ann", KeyRole.TRADER, 0)

    assert kept.opens_for(text)
    for wrong in (text[:-1], text + "x", text.upper(), other, "", kept.digest, "ms__", text + "\udc80"):
        assert not kept.opens_for(wrong)


@pytest.mark.parametrize("text", ["", "ms", "ms_0123", "xx_0123_456", "Bearer ms_1_2"])
def test_what_is_no_key_has_no_id(text: str) -> None:
    """It is refused before anything is looked up."""
    assert key_id_of(text) is None


def test_each_role_may_do_what_the_one_before_may() -> None:
    """viewer, trader, admin."""
    viewer, trader, admin = KeyRole
    assert [[role.may(needed) for needed in KeyRole] for role in (viewer, trader, admin)] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_a_key_ends_at_its_time() -> None:
    """In milliseconds; without one, never."""
    key = new_key("ann", KeyRole.TRADER, 0, expires_at=1_000).kept
    assert (key.is_expired(999), key.is_expired(1_000)) == (False, True)
    assert not new_key("ann", KeyRole.TRADER, 0).kept.is_expired(10**15)


@pytest.mark.parametrize(
    "member",
    [
        *({"rate": rate} for rate in (0, -1, 1e-300, MIN_RATE / 2, MAX_RATE * 2, 1e300, "1")),
        *({"expires_at": time} for time in (-1, LARGEST_TIME_MS + 1, 10**30, 1.5)),
        *({"created_at": time} for time in (-1, LARGEST_TIME_MS + 1)),
        *({"digest": text} for text in ("", "x" * 64, "0" * 63, "é" * 64, "0" * 64 + "\n")),
        *({"key_id": text} for text in ("", "x", "0" * 13, "_" * 12)),
        *({"client_id": text} for text in ("", "a b", "x" * 65)),
        {"role": "king"},
    ],
    ids=str,
)
def test_a_record_that_would_fail_later_is_no_key(member: dict[str, Any]) -> None:
    """Every value that a gateway computes with, or shows, has its bounds here."""
    right = msgspec.json.decode(encode_key(new_key("ann", KeyRole.TRADER, 0, rate=MIN_RATE, expires_at=1).kept))
    assert decode_key(msgspec.json.encode(right)).rate == MIN_RATE
    with pytest.raises(msgspec.MsgspecError):
        decode_key(msgspec.json.encode(right | member))


def test_the_setting_has_the_same_bounds() -> None:
    """0 is no limit."""
    assert [Settings(rate_limit=rate).rate_limit for rate in (None, 0, MIN_RATE, MAX_RATE)] == [
        *(None, 0, MIN_RATE, MAX_RATE)
    ]
    for rate in (-1, 1e-300, MAX_RATE * 2, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"0 for no limit, or 0.001 to 1,000,000 requests a second"):
            Settings(rate_limit=rate)
