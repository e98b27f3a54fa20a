"""Recording: every report is in Postgres once, through repeats, gaps, outages and lost answers (I9, I14)."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from random import Random

import msgspec
import pytest
from psycopg2.extensions import make_dsn

from app.engine import Partition
from app.instruments import default_listings
from app.local import postgres
from app.local.ports import Ports
from app.local.process import Process
from app.local.ready import postgres_answers, wait_ready
from app.models.commands import PlaceOrder, SnapshotBook, encode_command
from app.models.identity import id_text, order_id
from app.models.reports import encode
from app.postgres import AnotherInstallation, PositionMoved, Refused, UnexpectedRecords, recorder
from app.postgres.errors import WAITED_FOR
from app.postgres.schema import migrate
from app.streaming.intact import UNREADABLE
from tests.postgres.recorded import LOG_ID, Record, Recording, ask, differences, market, recording, records
from tests.postgres.wire import Cut, wire

PATIENCE_S = 60.0
BTC = next(listing for listing in default_listings() if listing.instrument == "BTC-USD")


class _TheEnd(Exception):
    """Of a process, as far as its recorder can tell."""


@pytest.fixture
async def database(database_url: str) -> str:
    """A database with our schema."""
    await asyncio.to_thread(migrate, database_url)
    return database_url


@pytest.fixture
async def mortal_postgres(tmp_path: Path) -> AsyncIterator[tuple[str, Process]]:
    """A Postgres of the test's own, to be killed, with our schema."""
    port = Ports(tmp_path, usual=False).get("postgres")
    process = Process(postgres.prepare(tmp_path / "postgres", port), tmp_path / "postgres.log")
    await start(process, port)
    await asyncio.to_thread(migrate, postgres.url(port))
    yield postgres.url(port), process
    await process.stop()


async def start(process: Process, port: int) -> None:
    await process.start()
    await wait_ready(process, lambda: postgres_answers(port), postgres.START_TIMEOUT_S)


def chunks(found: list[Record], seed: int) -> list[list[Record]]:
    """Consecutive batches of 1 to 40 records, as a consumer may fetch them."""
    random, rest = Random(seed), iter(found)
    return list(iter(lambda: list(islice(rest, random.randint(1, 40))), []))


def partition_reports(*values: bytes, key: bytes = b"BTC-USD") -> list[bytes]:
    """The encoded reports of BTC-USD's listing and these commands, from the engine."""
    partition = Partition(0, 1)
    commands = [encode_command(BTC), *values]
    outcomes = (partition.apply(offset, 1_000 + offset, key, value) for offset, value in enumerate(commands))
    return [encode(report) for outcome in outcomes if outcome for report in outcome.reports]


def order(number: int, side: str, price: int, quantity: str) -> bytes:
    return encode_command(
        PlaceOrder(
            instrument="BTC-USD",
            client_id=f"client-{number}",
            client_order_id="k",
            side=side,
            type="limit",
            price=f"{price}.00",
            quantity=quantity,
        )
    )


@pytest.mark.parametrize("seed", [3, 9])
async def test_batches_of_any_size_leave_what_the_reports_say(seed: int, database: str) -> None:
    """Orders, their changes, trades, instruments and positions, from a stream in which everything meets everything."""
    values = market(seed, 1_500)
    async with recording(database) as running:
        assert running.positions == {0: 0}
        for batch in chunks(records(values), seed):
            await running.take(batch)
    assert running.acknowledged == len(values)
    assert running.recorder.transactions < len(chunks(records(values), seed))  # a backlog shares transactions
    assert differences(database, values, {0: len(values)}) == []


async def test_what_was_recorded_is_not_recorded_again_but_passed(database: str) -> None:
    """A matching worker that starts over sends its reports again: at new offsets, with their old seqs."""
    values = market(5, 300)
    async with recording(database) as running:
        await running.take(records(values[:200]))
        await running.take(records(values[100:200], 200))
    async with recording(database) as resumed:
        assert resumed.positions == {0: 300}
        await resumed.take(records(values, 300))
    assert differences(database, values, {0: 300 + len(values)}) == []


async def test_a_report_beyond_a_gap_waits_until_those_before_it_come(database: str) -> None:
    """Nothing out of order is written; the gap is remembered over a restart and closes when it is sent again."""
    values = market(6, 60)
    async with recording(database) as running:
        await running.take(records(values[:20]))
        await running.take(records(values[30:], 20))
    passed = len(values) - 10
    assert differences(database, values[:20], {0: passed}) == []
    async with recording(database) as resumed:
        await resumed.take(records(values[20:], passed))
    assert differences(database, values, {0: passed + len(values) - 20}) == []


async def test_a_gap_that_stays_is_said(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """People must see it: the report that is missing, and that later ones wait."""
    monkeypatch.setattr(recorder, "GAP_ALARM_S", 0.05)
    values = market(6, 30)
    with caplog.at_level(logging.ERROR, recorder.__name__):
        async with recording(database) as running:
            await running.take(records([values[0], *values[2:]]))
            await asyncio.sleep(0.2)
            await running.take(records(values[1:], len(values) - 1))
    assert "BTC-USD: report 2 is missing, so later ones are not recorded" in caplog.messages


async def test_records_that_do_not_follow_are_refused(database: str) -> None:
    """From before the position, or of a partition that was not begun: something is wrong, and nothing is written."""
    values = market(6, 10)
    async with recording(database) as running:
        await running.take(records(values[:5]))
        with pytest.raises(UnexpectedRecords, match="got offset 4, expected 5"):
            await running.take(records(values[4:], 4))
        with pytest.raises(UnexpectedRecords, match="partition 1 was not started"):
            await running.take(records(values), partition=1)
    assert differences(database, values[:5], {0: 5}) == []


async def test_a_hole_in_the_topic_is_stepped_over(database: str) -> None:
    """Offsets may jump (the consumer has confirmed that nothing is there); seqs may not."""
    values = market(6, 10)
    async with recording(database) as running:
        await running.take(records(values[:5]))
        await running.take(records(values[5:], 7))
    assert differences(database, values, {0: len(values) + 2}) == []


async def test_partitions_keep_their_own_positions(database: str) -> None:
    """Two partitions in one transaction, each with its log id."""
    values, other = market(6, 20), LOG_ID.replace("1", "2")
    async with recording(database, {0: LOG_ID, 5: other}) as running:
        await running.take(records(values[:4]))
        await running.take([], partition=5)
        await running.take(records(values[4:], 4))
    positions = ask(database, "SELECT partition, next_offset, log_id FROM sink_progress ORDER BY 1")
    assert positions == [(0, len(values), LOG_ID), (5, 0, other)]


async def test_postgres_killed_in_the_middle_is_waited_for(
    mortal_postgres: tuple[str, Process], caplog: pytest.LogCaptureFixture
) -> None:
    """Reports go on coming while it is away; when it is back all of them are there, once."""
    database, process = mortal_postgres
    values = market(3, 2_000)
    batches = chunks(records(values), 1)
    third = len(batches) // 3
    async with recording(database) as running:
        for batch in batches[:third]:
            await running.take(batch)
        await process.kill()
        for batch in batches[third : 2 * third]:
            await running.take(batch)
        await asyncio.sleep(0.5)
        behind = running.acknowledged
        assert behind < running.taken
        await start(process, int(database.rpartition(":")[2].partition("/")[0]))
        for batch in batches[2 * third :]:
            await running.take(batch)
    said = [message for message in caplog.messages if "Postgres is" in message]
    assert [message.partition(",")[0] for message in said] == ["Postgres is away", "Postgres is back"]
    assert differences(database, values, {0: len(values)}) == []


FAIL_WITH = """
CREATE TABLE failure (code text);
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wanted text := (SELECT max(code) FROM failure);
BEGIN
    IF wanted IS NOT NULL THEN RAISE EXCEPTION 'as the test asks for' USING ERRCODE = wanted; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE INSERT ON order_events FOR EACH ROW EXECUTE FUNCTION fail()
"""
PASSING = ["53100", "53200", "53400", "40001", "40P01", "55P03", "57014", "58030", "25006", "08006", "57P01"]


async def waiting(running: Recording, state: str) -> None:
    """Until recording waits because of this."""
    async with asyncio.timeout(PATIENCE_S):
        while f"Postgres {state}:" not in (running.sink.waits_for or ""):  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.02)


async def test_an_error_that_passes_is_waited_for(database: str, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk, no memory, locks, a failover: each is told once, and when it is over everything is there, once."""
    values = market(5, 20 * (len(PASSING) + 1))
    batches = [records(values[start : start + 20], start) for start in range(0, len(values), 20)]
    ask(database, FAIL_WITH)
    async with recording(database) as running:
        await running.take(batches[0])
        await running.written()
        for code, batch in zip(PASSING, batches[1:], strict=False):
            caplog.clear()
            ask(database, "INSERT INTO failure VALUES (%s)", code)
            await running.take(batch)
            await waiting(running, WAITED_FOR.get(code) or WAITED_FOR.get(code[:3]) or WAITED_FOR[code[:2]])
            ask(database, "DELETE FROM failure")
            await running.written()
            assert running.sink.waits_for is None
            told = [message.partition(",")[2].split()[:2] for message in caplog.messages if "Postgres" in message]
            assert told == [["recording", "waits"], ["recording", "continues"]], code
        for batch in batches[len(PASSING) + 1 :]:
            await running.take(batch)
    assert differences(database, values, {0: len(values)}) == []


async def test_a_database_that_becomes_read_only_is_waited_for(database: str, caplog: pytest.LogCaptureFixture) -> None:
    """As after a failover, which ends the connections: a restart meanwhile knows its position and waits as well."""
    values, name = market(5, 60), database.rpartition("/")[2]
    async with recording(database) as running:
        await running.take(records(values[:20]))
        await running.written()
        ask(database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        ask(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()",
        )
        await running.take(records(values[20:40], 20))
        await waiting(running, "is read-only")
        async with recording(database) as restarted:
            assert restarted.positions == {0: 20}
        ask(make_dsn(database, dbname="postgres"), f"ALTER DATABASE {name} RESET ALL")
        await running.take(records(values[40:], 40))
    assert [message for message in caplog.messages if "is read-only, recording waits" in message][1:] == []
    assert differences(database, values, {0: len(values)}) == []


@pytest.fixture
def role(database: str) -> Iterator[str]:
    """A role with all rights on rows that is no superuser: limits hold for it."""
    name = f"role_{database.rpartition('_')[2]}"
    ask(database, f"CREATE ROLE {name} LOGIN IN ROLE pg_read_all_data, pg_write_all_data")
    yield name
    ask(database, f"DROP ROLE {name}")


async def test_a_database_without_a_free_connection_is_waited_for(database: str, role: str) -> None:
    """At the start of recording."""
    values = market(5, 20)
    ask(database, f"ALTER ROLE {role} CONNECTION LIMIT 0")

    async def let_in() -> None:
        await asyncio.sleep(0.5)  # it has been refused by then, or will not be: right in both cases
        ask(database, f"ALTER ROLE {role} CONNECTION LIMIT 10")

    letting_in = asyncio.create_task(let_in())
    async with recording(make_dsn(database, user=role)) as running:
        await running.take(records(values))
    await letting_in
    assert differences(database, values, {0: len(values)}) == []


FAILS_WITH = "DELETE FROM failure; INSERT INTO failure VALUES ('{}')"
REFUSALS = [
    (FAILS_WITH.format("23514"), r"\(23514\).*restore the database, or drop the database and run"),
    (FAILS_WITH.format("42501"), r"\(42501\).*give the role .* the rights"),
    (FAILS_WITH.format("22012"), r"\(22012\): as the test asks for$"),
    ("DELETE FROM failure; ALTER TABLE orders RENAME TO gone", r"\(42P01\).*orders.*python -m app setup"),
    (
        "ALTER TABLE gone RENAME TO orders; UPDATE sink_progress SET next_offset = 0; DELETE FROM instrument_progress",
        r"\(23505\).*duplicate key.*python -m app setup",
    ),
]


async def test_an_error_that_stays_ends_the_recording_with_a_sentence(database: str) -> None:
    """Waiting would not help: the sentence has the code, what is wrong and what an operator can do."""
    values = market(5, 200)
    ask(database, FAIL_WITH)
    async with recording(database) as running:
        await running.take(records(values[:100]))
    for damage, sentence in REFUSALS:
        ask(database, damage)
        with pytest.raises(Refused, match=sentence):
            async with recording(database) as running:
                position = running.positions[0]
                await running.take(records(values[position:], position))


async def test_a_connection_that_is_refused_ends_the_recording_with_a_sentence(database_url: str) -> None:
    """Without a code, which Postgres tells only those it lets in."""
    for changes, sentence in (
        ({"dbname": "no_such"}, r'\(3D000\).*database "no_such" does not exist; run `python -m app setup`'),
        ({"user": "no_such"}, r'\(28000\).*role "no_such" does not exist; correct the setting database_url'),
    ):
        with pytest.raises(Refused, match=sentence):
            async with recording(make_dsn(database_url, **changes)):
                pass


@pytest.mark.parametrize("cut", Cut)
async def test_a_commit_whose_answer_is_lost_is_neither_forgotten_nor_repeated(cut: Cut, database: str) -> None:
    """The connection breaks before or after Postgres has committed: the sink cannot tell, the position can."""
    values = market(5, 200)
    async with wire(database) as (carried, address), recording(address) as running:
        for number, batch in enumerate(chunks(records(values), 2)):
            if number % 2:
                carried.cut_at = cut
            await running.take(batch)
            await running.written()
    assert carried.cuts > 1
    assert differences(database, values, {0: len(values)}) == []


async def test_a_process_that_ends_in_the_middle_leaves_a_beginning(database: str) -> None:
    """Whatever was on its way is there as a whole or not at all, and the next process goes on from there."""
    values = market(5, 400)
    batches = chunks(records(values), 3)
    position = 0
    for lap in range(4):
        with pytest.raises(_TheEnd):
            async with recording(database) as running:
                position = running.positions[0]
                rest = [record for batch in batches for record in batch if record.offset >= position]
                await running.take(rest[: 20 * (lap + 1)])
                await asyncio.sleep(0.02 + 0.004 * lap)
                raise _TheEnd
    async with recording(database) as last:
        position = last.positions[0]
        assert differences(database, values[:position], {0: position}) == []
        await last.take(records(values[position:], position))
    assert differences(database, values, {0: len(values)}) == []


async def test_a_position_that_somebody_else_moved_ends_the_recording(database: str) -> None:
    """Two sinks of one partition: the second to write finds that, writes nothing, and its process ends."""
    values = market(5, 100)
    with pytest.raises(PositionMoved, match="another sink records these partitions"):
        async with recording(database) as late:
            async with recording(database) as first:
                await first.take(records(values[:50]))
            await late.take(records(values))
    assert differences(database, values[:50], {0: 50}) == []


async def test_the_log_of_another_installation_is_refused(database: str) -> None:
    """A database and a log that were not made for each other must not be mixed; nothing is changed."""
    values = market(5, 20)
    async with recording(database) as running:
        await running.take(records(values))
    with pytest.raises(AnotherInstallation, match="another log than this one \\(partition 0\\)"):
        async with recording(database, {0: LOG_ID.replace("1", "2")}):
            pass
    assert differences(database, values, {0: len(values)}) == []


async def test_the_parts_of_a_large_report_are_recorded_each_in_its_turn(database: str) -> None:
    """One order that takes 200 others makes a report in parts; a restart between two parts does not matter."""
    sells = [order(number, "sell", 100 + number, "1") for number in range(200)]
    values = partition_reports(*sells, order(999, "buy", 500, "200"))
    parts = len(values) - len(sells) - 1
    assert parts > 1
    async with recording(database) as running:
        await running.take(records(values[: 1 - parts]))
    assert differences(database, values[: 1 - parts], {0: len(values) + 1 - parts}) == []
    async with recording(database) as resumed:
        await resumed.take(records(values[1 - parts :], len(values) + 1 - parts))
    assert differences(database, values, {0: len(values)}) == []
    assert ask(database, "SELECT count(*), sum(quantity)::int FROM trades") == [(200, 200)]


async def test_a_snapshot_in_parts_is_complete_when_its_last_part_is(database: str) -> None:
    """Readers take complete ones only: 600 levels come in three parts."""
    sells = [order(number, "sell", 100 + number, "1") for number in range(600)]
    values = partition_reports(*sells, encode_command(SnapshotBook(instrument="BTC-USD", command_id="s1")))
    async with recording(database) as running:
        await running.take(records(values[:-1]))
    assert ask(database, "SELECT complete, jsonb_array_length(levels) FROM book_snapshots") == [(False, 512)]
    async with recording(database) as resumed:
        await resumed.take(records(values[-1:], len(values) - 1))
    assert ask(database, "SELECT complete, jsonb_array_length(levels) FROM book_snapshots") == [(True, 600)]
    assert differences(database, values, {0: len(values)}) == []


async def test_what_belongs_to_nobody_is_recorded_with_its_beginning(database: str) -> None:
    """Rejections of the reserved instrument: garbage with what Postgres cannot store, and an order without a market."""
    lost = PlaceOrder(
        instrument="NO-SUCH", client_id="ann", client_order_id="k1", side="buy", type="limit", price="1", quantity="1"
    )
    partition, values = Partition(0, 1), list[bytes]()
    for offset, (key, value) in enumerate([(b"BTC-USD", b"\x00\xff{"), (b"NO-SUCH", encode_command(lost))]):
        outcome = partition.apply(offset, 1_000 + offset, key, value)
        assert outcome is not None
        values += [encode(report) for report in outcome.reports]
    async with recording(database) as running:
        await running.take(records(values))
    assert differences(database, values, {0: 2}) == []
    found = ask(database, "SELECT seq, reason, raw, order_id::text FROM rejections ORDER BY seq")
    assert found == [
        (1, "malformed_command", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}{", None),
        (2, "unknown_instrument", encode_command(lost).decode(), id_text(order_id("ann", "NO-SUCH", "k1"))),
    ]


async def test_a_report_that_cannot_be_read_stops_the_recording(database: str) -> None:
    """A newer release may have written it: passing over it would lose it."""
    async with recording(database) as running:
        with pytest.raises(msgspec.DecodeError):
            await running.take([Record(0, b'{"instrument":"BTC-USD","seq":1,"outcome":"postponed"}')])
    assert differences(database, [], {0: 0}) == []


async def test_what_a_stranger_wrote_among_the_reports_is_passed_over(database: str) -> None:
    """It has no instrument and seq, so it is none of ours: the reports around it are recorded."""
    first, second = market(1, 2)
    foreign = (None, b"", b"no report", b"[" * 100_000, b'{"\xff":1}', b'{"seq":1}', UNREADABLE)
    batch = [Record(offset, value) for offset, value in enumerate([first, *foreign, second])]
    async with recording(database) as running:
        await running.take(batch)
    assert differences(database, [first, second], {0: len(batch)}) == []
