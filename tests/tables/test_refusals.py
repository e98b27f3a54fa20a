"""Why a worker does not go on: one sentence each, from values."""

import pytest

from app.engine import partition_of
from app.matching.book import Book
from app.matching.commands import List, Listing, Moment
from app.matching.states import freeze
from tables.books.refusals import require_engine
from tables.books.subjects import AROUND, codec
from tables.recovery.changelog import Damaged, Fence, Named, OtherLog, interpret, manifest_key, manifest_value
from tables.recovery.refusals import (
    LogIncomplete,
    OtherPartitions,
    UnknownEngine,
    require_log,
    require_partition,
)

LOG, OTHER = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


def _interpret(named: dict[str, Named], log_id: str) -> None:
    interpret({manifest_key(7): manifest_value(7, LOG, named, 0)}, codec(log_id), log_id, Fence(0, 0))


def test_books_of_another_log_are_refused() -> None:
    """Topics that were recreated, or mixed."""
    with pytest.raises(OtherLog, match=f"another orders log \\({LOG}, this is {OTHER}\\)"):
        _interpret({}, OTHER)


def test_a_named_snapshot_that_is_missing_is_damage() -> None:
    """The manifest's word is what recovery stands on."""
    with pytest.raises(Damaged, match="names BTC-USD@6, which is not in the changelog"):
        _interpret({"BTC-USD": Named(6, 3, 0)}, LOG)


def test_a_log_that_ends_before_the_books_is_refused() -> None:
    """Accepted commands are gone."""
    with pytest.raises(LogIncomplete, match=r"orders\[2\] ends at 90, the table includes the record at 99: "):
        require_log(AROUND, 2, 100, 40, 50, 0, 90)
    with pytest.raises(LogIncomplete, match=r"orders\[2\] ends at 99, the table includes the record at 99: "):
        require_log(AROUND, 2, 40, 99, 50, 0, 99)
    with pytest.raises(
        LogIncomplete, match=r"orders\[2\] ends at 90, executions\[2\] has the output of the record at 92"
    ):
        require_log(AROUND, 2, 40, 50, 92, 0, 90)
    require_log(AROUND, 2, 100, 99, 99, 0, 100)


def test_books_of_another_number_of_partitions_are_refused() -> None:
    """Gateways would send their orders elsewhere."""
    where = partition_of("BTC-USD", 8)
    require_partition(where, 8, ["BTC-USD"])
    with pytest.raises(OtherPartitions, match=f"BTC-USD has its book in partition {where}, by the setting .*=9 it"):
        require_partition(where, 9, ["BTC-USD"])


def test_a_log_that_begins_after_the_books_is_refused() -> None:
    """Retention has taken what no snapshot covers."""
    with pytest.raises(LogIncomplete, match=r"orders\[2\] begins at 120, the table continues at 100"):
        require_log(AROUND, 2, 100, 99, -1, 120, 200)
    require_log(AROUND, 2, 100, 99, -1, 100, 100)


def test_an_unknown_engine_version_in_force_is_refused() -> None:
    """The market was governed by a release that this is not."""
    book = Book("BTC-USD")
    book.apply(List(b"\1" * 16, 1, Listing("BTC-USD", "BTC", "USD", 1_000_000, 10_000)), Moment(0, 1))
    require_engine([freeze(book)])
    with pytest.raises(UnknownEngine, match="BTC-USD has engine version 9 in force, this program has 1, 2"):
        require_engine([freeze(book)._replace(engine_version=9)])


FOREIGN = {
    b"_manifest@999": b"garbage",
    b"_manifest@998": b"[" * 100_000,
    manifest_key(997): manifest_value(7, LOG, {}, 0),  # another floor than its key's
    b"_manifest@" + b"9" * 5_000: b"",
    b"BTC-USD@5": b"garbage",
    b"BTC-USD@" + b"9" * 5_000: b"garbage",
    b"\xff\xfe@5": b"garbage",
    b"hello": b"garbage",
}


def test_what_a_stranger_wrote_into_the_changelog_is_passed_over() -> None:
    """As long as nothing that is promised needs it; it is named."""
    ours = {manifest_key(7): manifest_value(7, LOG, {}, 3)}
    for latest in (ours | FOREIGN, FOREIGN | ours):
        loaded = interpret(latest, codec(LOG), LOG, Fence(0, 0))
        assert (loaded.floor, loaded.outputs, loaded.states) == (7, 3, {})
        assert set(loaded.unusable) == set(FOREIGN)
    assert interpret(ours, codec(LOG), LOG, Fence(0, 0)).unusable == ()


def test_a_manifest_that_nobody_can_read_is_damage() -> None:
    """If there is no other: what it promised is not known."""
    with pytest.raises(Damaged, match="the manifest _manifest@999 cannot be read"):
        interpret(FOREIGN, codec(LOG), LOG, Fence(0, 0))


def test_a_named_snapshot_is_damage_whatever_lies_above_it() -> None:
    """A stranger's snapshot does not stand in for the one that is missing."""
    ours = {manifest_key(7): manifest_value(7, LOG, {"BTC-USD": Named(4, 3, 0)}, 0)}
    with pytest.raises(Damaged, match="names BTC-USD@4, which is not in the changelog"):
        interpret(ours | FOREIGN, codec(LOG), LOG, Fence(0, 0))
