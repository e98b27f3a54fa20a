"""The benchmarks' streams are what they claim to be, and a difference between engines is seen."""

from app.engine import Partition, partition_of
from app.instruments import default_listings
from app.matching.words import Outcome
from app.models.commands import encode_command
from benchmarks.engines import Ours, Traded, differences
from benchmarks.flow import Mix, draw, ids
from benchmarks.orders_log import prepared


def test_one_seed_is_one_stream() -> None:
    """What is compared between runs, machines and engines is the same stream."""
    assert draw(3, 100, 900) == draw(3, 100, 900) != draw(4, 100, 900)


def test_a_stream_rests_cancels_and_trades_as_its_mix_says() -> None:
    """Resting orders do not trade, and the shares are those asked for."""
    stream = draw(5, 500, 4_000)
    engine = Ours()
    engine.run(engine.ready(stream[:500], ids(5, stream)))
    assert engine.trades() == []

    engine.run(engine.ready(stream[500:], ids(5, stream)))
    cancels = sum(operation.target is not None for operation in stream)
    assert 0.27 * 4_000 < cancels < 0.33 * 4_000
    assert len(engine.trades()) > 400


def test_a_prepared_log_is_accepted_from_first_to_last() -> None:
    """A command that is refused, a cancel too late for instance, would be cheaper than one that is carried out."""
    partitions = [Partition(number, 8) for number in range(8)]
    for offset, listing in enumerate(default_listings()):
        owner = partitions[partition_of(listing.instrument, 8)]
        owner.apply(offset, 0, listing.instrument.encode(), encode_command(listing))
    for offset, record in enumerate(prepared(1, 600, 100, 8, Mix()), 100):
        outcome = partitions[record.partition].apply(offset, offset, record.key, record.value)
        assert outcome is not None and outcome.reports[0].outcome is Outcome.ACCEPTED


def test_the_first_differing_trade_is_named() -> None:
    """A comparison that cannot fail would prove nothing."""
    one, other = Traded("a", "b", 1, 2), Traded("a", "b", 1, 3)
    assert differences("peer", [one, one], [one, one]) is None
    assert differences("peer", [one, one], [one, other]) == f"peer: trade 1 is {other}, not {one}"
    assert differences("peer", [one, one], [one]) == "peer: 1 trades, not 2"
