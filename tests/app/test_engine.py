"""Garbage in the `orders` log, by the engine alone: one report each under the reserved instrument, and it goes on."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest

from app.engine import Output, Partition, UnknownEngine, partition_of
from app.instruments import default_listings
from app.matching.rejections import MAX_RAW_BYTES
from app.matching.sanity import check
from app.matching.states import freeze
from app.matching.versions import NEWEST_VERSION
from app.models.commands import Genesis, PlaceOrder, encode_command
from app.models.identity import id_text, order_id
from app.models.reports import ExecutionReport, decode_report, encode
from app.verification.engines import NaivePartition

PARTITIONS = 8
BTC = next(listing for listing in default_listings() if listing.instrument == "BTC-USD")
NUMBER = partition_of(BTC.instrument, PARTITIONS)
RESERVED = f"_partition-{NUMBER}"
ORDER = PlaceOrder(
    instrument="BTC-USD",
    client_id="ann",
    client_order_id="k1",
    side="buy",
    type="limit",
    price="100.00",
    quantity="1",
)


def elsewhere() -> str:
    """A name whose records belong to another partition."""
    return next(name for name in map("X{}-USD".format, range(100)) if partition_of(name, PARTITIONS) != NUMBER)


def here() -> str:
    """A name that nobody listed, and whose records belong to this partition."""
    return next(name for name in map("X{}-USD".format, range(100)) if partition_of(name, PARTITIONS) == NUMBER)


def order(**changes: Any) -> bytes:
    return encode_command(msgspec.structs.replace(ORDER, **changes))


def genesis(version: int | None) -> bytes:
    """The first record; without a version as the releases before versions wrote it."""
    value = encode_command(Genesis(str(UUID(int=1)), version or 1))
    return value.replace(b"}", b',"engine_version":1}') if version == 1 else value


def listing(**changes: Any) -> bytes:
    return encode_command(msgspec.structs.replace(BTC, **changes))


BAD = "malformed_command"
POISON: dict[str, tuple[bytes | None, bytes | None, str]] = {
    "no value (a tombstone)": (b"BTC-USD", None, BAD),
    "an empty value": (b"BTC-USD", b"", BAD),
    "no text": (b"BTC-USD", bytes(range(256)), BAD),
    "half of a command": (b"BTC-USD", order()[:-10], BAD),
    "two commands": (b"BTC-USD", order() + order(), BAD),
    "a command of a kind that there is not": (b"BTC-USD", order().replace(b'"place"', b'"steal"'), BAD),
    "an unknown field": (b"BTC-USD", order()[:-1] + b',"fee":"0"}', BAD),
    "a field that is missing": (b"BTC-USD", order().replace(b'"side":"buy",', b""), BAD),
    "a number that is not one": (b"BTC-USD", order(quantity="NaN"), BAD),
    "a number without end": (b"BTC-USD", order(price="1" * 5_000), BAD),
    "an exponent": (b"BTC-USD", order(price="1E+1000000"), BAD),
    "lists in lists": (b"BTC-USD", b"[" * 100_000, BAD),
    "objects in objects": (b"BTC-USD", b'{"command":' * 50_000, BAD),
    "a record of 900 KB": (b"BTC-USD", order(client_id="x" * 900_000), BAD),
    "a name that stands twice": (b"BTC-USD", order()[:-1] + b',"quantity":"2"}', BAD),
    "a name that stands twice, once in other letters": (b"BTC-USD", order()[:-1] + b',"quantit\\u0079":"2"}', BAD),
    "a name that stands twice with the same value": (b"BTC-USD", order()[:-1] + b',"quantity":"1"}', BAD),
    "a price that is no number, of an order that needs none": (b"BTC-USD", order(type="market", price="abc"), BAD),
    "a price that is no number, of a stop": (b"BTC-USD", order(type="stop", stop_price="9", price="abc"), BAD),
    "a market whose tick stands twice": (here().encode(), listing(instrument=here())[:-1] + b',"tick_size":"1"}', BAD),
    "no key": (None, order(), "key_mismatch"),
    "the key of another": (b"ETH-USD", order(), "key_mismatch"),
    "a key in small letters": (b"btc-usd", order(), "key_mismatch"),
    "a partition that is not its own": (elsewhere().encode(), order(instrument=elsewhere()), "wrong_partition"),
    "an instrument that nobody listed": (here().encode(), order(instrument=here()), "unknown_instrument"),
    "a market without a tick": (here().encode(), listing(instrument=here(), tick_size="0"), BAD),
}


@pytest.fixture
def partition() -> Partition:
    """The partition of BTC-USD, which is listed."""
    made = Partition(NUMBER, PARTITIONS)
    assert made.apply(0, 1_000, None, genesis(NEWEST_VERSION)) is None
    assert only(made.apply(1, 1_000, b"BTC-USD", encode_command(BTC))).outcome == "accepted"
    return made


def only(output: Output | None) -> ExecutionReport:
    """The one report that a record gave, as a reader of the topic gets it."""
    assert output is not None
    (report,) = (decode_report(encode(report)) for report in output.reports)
    return report


@pytest.mark.parametrize("what", POISON)
def test_poison_is_reported_and_changes_nothing(what: str, partition: Partition) -> None:
    """A reason, the beginning of the record, no trade, and the book as it was."""
    key, value, reason = POISON[what]
    before = freeze(partition.books["BTC-USD"])
    outcome = partition.apply(2, 1_001, key, value)
    report = only(outcome)
    assert (report.instrument, report.seq, report.offset, report.outcome) == (RESERVED, 1, 2, "rejected")
    assert report.reason == reason
    assert report.raw == (value or b"")[:MAX_RAW_BYTES].decode("utf-8", "replace")
    assert not (report.orders or report.trades or report.levels or (outcome and outcome.trades))
    assert partition.books.keys() == {"BTC-USD"} and freeze(partition.books["BTC-USD"]) == before


def test_the_rejections_are_dense_and_the_market_goes_on(partition: Partition) -> None:
    """Poison between orders: two dense sequences, and the order after it rests and trades."""
    offset = 2
    for rejected, (key, value, _) in enumerate(POISON.values(), start=1):
        report = only(partition.apply(offset, 1_000 + offset, key, value))
        assert (report.instrument, report.seq) == (RESERVED, rejected)
        report = only(partition.apply(offset + 1, 1_001 + offset, b"BTC-USD", order(client_order_id=f"k{offset}")))
        assert (report.instrument, report.seq, report.outcome) == ("BTC-USD", 1 + rejected, "accepted")
        offset += 2
    sell = only(partition.apply(offset, 9_000, b"BTC-USD", order(client_id="bob", side="sell", quantity="2")))
    assert len(sell.trades) == 2
    check(partition.books["BTC-USD"])


def test_a_second_genesis_is_passed_over(partition: Partition) -> None:
    """It is no command and needs no answer, wherever it stands."""
    assert partition.apply(2, 1_000, None, genesis(1)) is None
    assert only(partition.apply(3, 1_000, b"BTC-USD", order())).outcome == "accepted"
    report = only(partition.apply(4, 1_000, b"BTC-USD", order(type="market", price="abc")))
    assert (report.instrument, report.engine_version) == (RESERVED, NEWEST_VERSION), "it is no other beginning"


STRICT = [name for name in POISON if name.startswith(("a name that stands twice", "a price that is no number"))]


@pytest.mark.parametrize("what", STRICT)
@pytest.mark.parametrize("version", [1, None])
def test_an_old_log_is_read_as_it_was_written(what: str, version: int | None) -> None:
    """Its genesis names version 1, or none; it goes on to be read so under any engine version, restored or not."""
    made = Partition(NUMBER, PARTITIONS)
    switch = b'{"command":"engine_version","instrument":"BTC-USD","command_id":"v","version":2}'
    for offset, record in enumerate((genesis(version), encode_command(BTC), switch)):
        made.apply(offset, 1_000, b"BTC-USD", record)
    restored = Partition(NUMBER, PARTITIONS, Genesis(str(UUID(int=1))))
    restored.restore(freeze(made.books["BTC-USD"]), {})
    for partition in (made, restored):
        report = only(partition.apply(3, 1_000, *POISON[what][:2]))
        assert (report.instrument, report.outcome, report.engine_version) == ("BTC-USD", "accepted", 2)


def test_a_price_that_a_market_order_needs_not_is_passed_over(partition: Partition) -> None:
    """As long as it is one, on the tick or not."""
    report = only(partition.apply(2, 1_000, b"BTC-USD", order(type="market", price="7.123456")))
    assert (report.outcome, report.orders[0].price) == ("accepted", None)


def test_a_stop_with_a_price_is_refused(partition: Partition) -> None:
    """A `_limit` was forgotten; so is a stop_limit without one."""
    for offset, terms in enumerate(({"type": "stop", "price": "9.00"}, {"type": "stop_limit", "price": None}), 2):
        report = only(
            partition.apply(offset, 1_000, b"BTC-USD", order(stop_price="9.00", client_order_id=f"k{offset}", **terms))
        )
        assert (report.instrument, report.outcome, report.reason) == ("BTC-USD", "rejected", "unsupported_order")


def test_a_log_of_a_later_release_is_refused() -> None:
    """Its markets would go by rules that this program does not have."""
    with pytest.raises(UnknownEngine, match=r"begins with engine version 4, this program has 1, 2, 3: start a release"):
        Partition(NUMBER, PARTITIONS).apply(0, 1_000, None, genesis(4))


@pytest.mark.parametrize("engine", [Partition, NaivePartition])
def test_the_first_record_tells_the_secret_of_the_order_ids(engine: type[Partition] | type[NaivePartition]) -> None:
    """Both engines; a second genesis record changes nothing, and a log that begins without one has no secret."""
    secret, made = bytes(range(32)), engine(NUMBER, PARTITIONS)
    log = [
        Genesis(str(UUID(int=1)), id_secret=secret.hex()),
        BTC,
        Genesis(str(UUID(int=2)), id_secret="ab" * 32),
        order(),
    ]
    outcomes = [_applied(made, offset, record) for offset, record in enumerate(log)]
    assert outcomes[0] is outcomes[2] is None
    assert outcomes[3].order_id == id_text(order_id("ann", "BTC-USD", "k1", secret))

    old = engine(NUMBER, PARTITIONS)
    assert _applied(old, 0, BTC).outcome == "accepted"
    assert _applied(old, 1, log[0]) is None
    assert _applied(old, 2, order()).order_id == id_text(order_id("ann", "BTC-USD", "k1"))


def test_a_worker_that_begins_in_the_middle_is_told_the_secret() -> None:
    """It does not see the genesis record again, and believes no other."""
    secret = bytes(range(32))
    made = Partition(NUMBER, PARTITIONS, Genesis(str(UUID(int=1)), id_secret=secret.hex()))
    assert _applied(made, 5, Genesis(str(UUID(int=2)), id_secret="ab" * 32)) is None
    assert _applied(made, 6, BTC).outcome == "accepted"
    assert _applied(made, 7, order()).order_id == id_text(order_id("ann", "BTC-USD", "k1", secret))


def _applied(partition: Any, offset: int, record: Any) -> Any:
    """The one report that a message or a value gives, if any."""
    value = record if isinstance(record, bytes) else encode_command(record)
    output = partition.apply(offset, 1_000 + offset, b"BTC-USD", value)
    return output and output.reports[0]


def test_invented_names_take_no_memory(partition: Partition) -> None:
    """A thousand of them leave one counter."""
    apply: Callable[..., Output | None] = partition.apply
    for number in range(1_000):
        name = f"INVENTED{number}-USD"
        assert only(apply(2 + number, 1_000, name.encode(), order(instrument=name))).seq == number + 1
    assert partition.books.keys() == {"BTC-USD"}
    assert partition.rejections.state().seq == 1_000
