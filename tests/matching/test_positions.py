"""The core reads some fields by position, which is faster than by name; each position must hold the field it means."""

import pytest

from app.matching import commands
from app.matching.book import _NAMES
from app.matching.commands import COMMAND_WORDS, Amend, Cancel, Listing, Place, Reduce, Replace, Tick
from app.matching.events import Level
from app.matching.identities import Identities
from app.matching.orders import Terms
from app.matching.states import OpenOrder


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        (Listing._fields[:5], "instrument base_asset quote_asset tick_size lot_size"),
        (Listing._fields[5:9], "min_price max_price min_quantity max_quantity"),
        (Place._fields[8:13], "time_in_force stop_price display_quantity expire_time_ms post_only"),
        (Terms._fields[:1], "side"),
        (Terms._fields[5:6], "expire_time_ms"),
        (OpenOrder._fields[10:18], " ".join(Terms._fields)),
        (Level._fields[2:], "quantity orders"),
    ],
)
def test_a_slice_has_the_fields_that_the_core_expects(fields: tuple[str, ...], names: str) -> None:
    """A field put in front of one of these would be read as another."""
    assert fields == tuple(names.split())


@pytest.mark.parametrize("kind", [kind for kind in COMMAND_WORDS if kind is not Tick])
def test_each_command_begins_with_its_key_and_fingerprint(kind: type) -> None:
    """The book looks for repeats by the first two fields of whatever comes (R15)."""
    first = "order_id" if kind is Place else "command_id"
    assert kind._fields[:2] == (first, "fingerprint")  # type: ignore[attr-defined]


def test_a_report_names_the_commands_key_and_its_order() -> None:
    """Every command with an order names it, whatever becomes of it."""
    for kind, (word, key, order) in _NAMES.items():
        fields = kind._fields  # type: ignore[attr-defined]
        assert word == COMMAND_WORDS[kind]
        assert (key is None) == (kind is Tick) and (key is None or fields[key] in ("command_id", "order_id"))
        assert (order is not None) == ("order_id" in fields)
        assert order is None or fields[order] == "order_id"
    assert _NAMES.keys() == set(commands.Command.__args__)
    assert {kind for kind, (_, key, order) in _NAMES.items() if order == 2} == {Cancel, Amend, Reduce, Replace}


def test_an_id_record_has_fingerprint_count_seq_and_time_in_their_places() -> None:
    """Records are plain tuples: a hundred thousand of them are kept for each book."""
    identities = Identities()
    identities.set_window(10, 10)
    identities.add(b"first", 1, 2, 3)
    identities.add(b"key", 11, 12, 13)
    record = identities.find(b"key")
    assert record is not None
    assert dict(zip(("key", "fingerprint", "count", "seq", "time_ms"), record, strict=True)) == {
        "key": b"key",
        "fingerprint": 11,
        "count": 1,
        "seq": 12,
        "time_ms": 13,
    }
