"""What a changelog holds against the engine (O3): an honest one passes, each lie in it has a sentence of its own."""

from collections.abc import Callable
from uuid import UUID

import pytest

from app.engine import Partition
from app.kafka.reading import LogRecord
from app.matching.versions import NEWEST_VERSION
from app.matching.words import OrderType, Side
from app.models.commands import Genesis, ListInstrument, PlaceOrder, encode_command
from app.verification.findings import Findings, Verdict, verdict
from tables.books.subjects import Subjects
from tables.books.verification import books_states
from tables.recovery.changelog import Named, block_key, manifest_key, manifest_value, snapshot_key
from tables.recovery.checkpoint import Record

LOG = str(UUID(int=1))
NAME = "BTC-USD"
ORDERS = 5_000  # a snapshot of them does not fit into a chunk
FLOOR = ORDERS + 2
SNAPSHOTS = (500, ORDERS + 1)


def _log() -> list[LogRecord]:
    """Genesis, a listing, and orders that rest."""
    messages = [
        Genesis(LOG, NEWEST_VERSION),
        ListInstrument(NAME, "list", "BTC", "USD", tick_size="0.01", lot_size="0.01"),
    ]
    key, price = "key-{}".format, "{}.00".format
    messages += [
        PlaceOrder(NAME, "ann", key(n), Side.BUY, OrderType.LIMIT, "1.00", price(100 + n % 50)) for n in range(ORDERS)
    ]
    return [LogRecord(offset, 1_000 + offset, NAME.encode(), encode_command(m)) for offset, m in enumerate(messages)]


@pytest.fixture(scope="module")
def log() -> list[LogRecord]:
    return _log()


@pytest.fixture(scope="module")
def honest(log: list[LogRecord]) -> dict[bytes, bytes]:
    """What an owner writes: two snapshots, the later one in chunks, blocks, a manifest."""
    partition, records = Partition(0, 1), {}
    for record in log:
        partition.apply(*record)
        if record.offset in SNAPSHOTS:
            frozen = Subjects(partition, LOG)[NAME].freeze()
            records |= dict(frozen.snapshot_records(NAME))
            for number in range(frozen.first_block, frozen.end_block):
                records[block_key(NAME, number)] = frozen.block_value(number)
    named = {NAME: Named(SNAPSHOTS[-1], ORDERS + 1, ORDERS)}
    records[manifest_key(FLOOR)] = manifest_value(FLOOR, LOG, named, 0)
    assert snapshot_key(NAME, SNAPSHOTS[-1], 1) in records and block_key(NAME, 1) in records
    return records


def _found(log: list[LogRecord], records: list[Record]) -> Verdict:
    """What is said of a changelog with these records."""
    findings = Findings()
    states, partition = books_states(0, LOG, findings), Partition(0, 1)
    states.read(records)
    states.all_read()
    for record in log:
        states.before(record.offset, partition)
        outcome = partition.apply(*record)
        if outcome is not None:
            states.after(outcome.instrument, record.offset, partition)
            for report in outcome.reports:
                states.heard(report.instrument, report.seq, report.seq - 1)
    states.end(partition, outputs=ORDERS + 1)
    return verdict(findings, naive=False)


def test_an_honest_changelog_is_found_right(log: list[LogRecord], honest: dict[bytes, bytes]) -> None:
    """Snapshots, chunks, blocks and the manifest; again too, as two owners write them, and without the older one."""
    records: list[Record] = [*honest.items(), *honest.items()]
    verdict = _found(log, [*records, (snapshot_key(NAME, SNAPSHOTS[0]), None)])
    assert verdict.is_right, verdict.as_text()
    assert verdict.findings[-1].compared == 2 * len(honest)


def _altered(value: bytes) -> bytes:
    return value[:-9] + bytes([value[-9] ^ 1]) + value[-8:]


def alter_a_chunk(honest: dict[bytes, bytes]) -> list[Record]:
    """Somewhere in its middle."""
    key = snapshot_key(NAME, SNAPSHOTS[-1], 1)
    return [*(honest | {key: _altered(honest[key])}).items()]


def lose_a_chunk(honest: dict[bytes, bytes]) -> list[Record]:
    """The head is there."""
    return [*honest.items(), (snapshot_key(NAME, SNAPSHOTS[-1], 0), None)]


def alter_an_older_snapshot(honest: dict[bytes, bytes]) -> list[Record]:
    """No worker would read it."""
    key = snapshot_key(NAME, SNAPSHOTS[0])
    return [*(honest | {key: _altered(honest[key])}).items()]


def write_a_snapshot_again_with_other_content(honest: dict[bytes, bytes]) -> list[Record]:
    """Its key says that it never changes."""
    key = snapshot_key(NAME, SNAPSHOTS[0])
    return [(key, _altered(honest[key])), *honest.items()]


def swap_two_snapshots(honest: dict[bytes, bytes]) -> list[Record]:
    """Valid bytes of another offset."""
    return [*(honest | {snapshot_key(NAME, 900): honest[snapshot_key(NAME, SNAPSHOTS[0])]}).items()]


def alter_a_block(honest: dict[bytes, bytes]) -> list[Record]:
    """A needed one."""
    return [*(honest | {block_key(NAME, 1): _altered(honest[block_key(NAME, 1)])}).items()]


def lose_a_block(honest: dict[bytes, bytes]) -> list[Record]:
    """A needed one."""
    return [*honest.items(), (block_key(NAME, 1), None)]


def write_a_snapshot_of_nothing(honest: dict[bytes, bytes]) -> list[Record]:
    """At an offset that the log has not reached."""
    return [*(honest | {snapshot_key(NAME, 9_999): b"x"}).items()]


def promise_too_much(honest: dict[bytes, bytes]) -> list[Record]:
    """The floor is above commands that the named snapshot does not have."""
    named = {NAME: Named(SNAPSHOTS[0], SNAPSHOTS[0], 0)}
    return [*honest.items(), (manifest_key(1_000), manifest_value(1_000, LOG, named, 0))]


def name_another_seq(honest: dict[bytes, bytes]) -> list[Record]:
    """Readers would drop reports, or wait for ever."""
    named = {NAME: Named(SNAPSHOTS[-1], ORDERS, 0)}
    return [*(honest | {manifest_key(FLOOR): manifest_value(FLOOR, LOG, named, 0)}).items()]


def send_readers_too_far(honest: dict[bytes, bytes]) -> list[Record]:
    """Past the first report that the snapshot does not have."""
    named = {NAME: Named(SNAPSHOTS[0], SNAPSHOTS[0], 600)}
    return [*honest.items(), (manifest_key(501), manifest_value(501, LOG, named, 0))]


def send_readers_beyond_the_end(honest: dict[bytes, bytes]) -> list[Record]:
    """Nothing was reported after the snapshot, so only the end of `executions` can tell."""
    named = {NAME: Named(SNAPSHOTS[-1], ORDERS + 1, ORDERS + 2)}
    return [*(honest | {manifest_key(FLOOR): manifest_value(FLOOR, LOG, named, 0)}).items()]


def send_readers_of_the_unnamed_too_far(honest: dict[bytes, bytes]) -> list[Record]:
    """An owner's manifests send nobody further than readers of what they name."""
    named = {NAME: Named(SNAPSHOTS[-1], ORDERS + 1, ORDERS)}
    return [*(honest | {manifest_key(FLOOR): manifest_value(FLOOR, LOG, named, ORDERS + 1)}).items()]


def continue_beyond_the_log(honest: dict[bytes, bytes]) -> list[Record]:
    """Commands are gone, or the floor is made up."""
    named = {NAME: Named(SNAPSHOTS[-1], ORDERS + 1, 0)}
    return [*honest.items(), (manifest_key(9_999), manifest_value(9_999, LOG, named, 0))]


def belong_to_another_log(honest: dict[bytes, bytes]) -> list[Record]:
    """Topics were recreated."""
    return [*honest.items(), (manifest_key(9_999), manifest_value(9_999, str(UUID(int=2)), {}, 0))]


def hold_what_is_not_ours(honest: dict[bytes, bytes]) -> list[Record]:
    """Somebody else's record."""
    return [*honest.items(), (b"hello", b"world")]


Lie = Callable[[dict[bytes, bytes]], list[Record]]
LIES: list[tuple[Lie, str]] = [
    (alter_a_chunk, "names BTC-USD@5001, which is not in the changelog"),
    (lose_a_chunk, "names BTC-USD@5001, which is not in the changelog"),
    (alter_an_older_snapshot, "BTC-USD@500: wrong checksum"),
    (write_a_snapshot_again_with_other_content, "BTC-USD@500 was written twice, with different content"),
    (swap_two_snapshots, "BTC-USD@900: offset is 500, but should be 900 by the log"),
    (alter_a_block, "the block BTC-USD#1 cannot be read"),
    (lose_a_block, "needs the block BTC-USD#1"),
    (write_a_snapshot_of_nothing, "BTC-USD@9999 is there, and by the log nothing is"),
    (promise_too_much, "the manifest at 1000 covers BTC-USD up to 500, its command 999 is below"),
    (name_another_seq, "names BTC-USD@5001 with seq 5000, by the log it is 5001"),
    (send_readers_too_far, "sends readers of BTC-USD that have seq 500 to executions 600, the next report is at 500"),
    (send_readers_beyond_the_end, "a manifest sends readers to executions 5002, which end at 5001"),
    (send_readers_of_the_unnamed_too_far, "of what it does not name to 5001, which cannot be above"),
    (continue_beyond_the_log, "a manifest continues at 9999, the commands end at 5002"),
    (belong_to_another_log, "the log 00000000-0000-0000-0000-000000000002"),
    (hold_what_is_not_ours, "has the key b'hello', which is none of ours"),
]


@pytest.mark.parametrize(("lie", "sentence"), LIES, ids=lambda value: getattr(value, "__name__", None))
def test_a_lie_in_the_changelog_has_its_sentence(
    lie: Lie, sentence: str, log: list[LogRecord], honest: dict[bytes, bytes]
) -> None:
    """The first thing that is said leads to the place."""
    first = _found(log, lie(honest)).first
    assert first is not None and sentence in first, first
