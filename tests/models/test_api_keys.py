"""API keys: what is kept of them opens nothing, and only the right text opens."""

import pytest

from app.models.api_keys import KeyRole, decode_key, encode_key, key_id_of, new_key


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
