"""Ids as functions of what the client said (app/models/identity.py)."""

from uuid import UUID

import pytest

from app.models import identity

SECRET = bytes(range(32))


def test_the_same_request_has_the_same_id_everywhere() -> None:
    """Every gateway of the venue computes it; a venue without a secret has the ids that it had before."""
    order_id = identity.order_id("alice", "BTC-USD", "k1", SECRET)

    assert order_id == identity.order_id("alice", "BTC-USD", "k1", SECRET)
    assert identity.id_text(identity.order_id("alice", "BTC-USD", "first")) == "09d7be30-e6e8-8a16-b3a6-20d46996d450"
    assert UUID(identity.id_text(order_id)).version == 8
    assert UUID(identity.id_text(order_id)).variant == "specified in RFC 4122"
    assert order_id[:4] == identity.instrument_tag("BTC-USD")
    assert order_id == identity.id_bytes(identity.id_text(order_id))


def test_nobody_without_the_secret_can_tell_whose_an_id_is() -> None:
    """The tape shows ids and instruments; names and keys can be guessed by the million."""
    order_id = identity.order_id("alice", "BTC-USD", "k1", SECRET)

    assert order_id != identity.order_id("alice", "BTC-USD", "k1")
    assert order_id != identity.order_id("alice", "BTC-USD", "k1", bytes(32))


def test_client_instrument_and_key_each_make_another_id() -> None:
    """Also where the joined texts would be equal without a separator."""
    ids = {
        identity.order_id(*said)
        for said in [("a", "BTC-USD", "k1"), ("ak", "BTC-USD", "1"), ("a", "ETH-USD", "k1"), ("a", "BTC-USD", "k2")]
    }

    assert len(ids) == 4


def test_commands_and_orders_have_key_spaces_of_their_own() -> None:
    """A cancel with the key of an order is no repeat of the order."""
    assert identity.command_id("a", "BTC-USD", "k1") != identity.order_id("a", "BTC-USD", "k1")


def test_a_fingerprint_tells_contents_apart_but_not_runs() -> None:
    """64 bits, independent of the process's hash seed."""
    assert identity.fingerprint("buy", 1, None) == identity.fingerprint("buy", 1, None)
    assert identity.fingerprint("buy", 1, None) != identity.fingerprint("buy", "1", None)
    assert 0 <= identity.fingerprint("x") < 2**64


def test_text_that_is_no_id_is_refused() -> None:
    """The caller turns it into unknown_order or a malformed command."""
    with pytest.raises(ValueError, match="badly formed"):
        identity.id_bytes("not-an-id")
