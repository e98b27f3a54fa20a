"""Postgres nets as the ledgers do, each fact once, whatever stops the worker, and locks nothing that others need."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from fractions import Fraction
from itertools import count
from math import floor

import psycopg2
import pytest
from hypothesis import given

from app.clearing.amounts import text
from app.clearing.cycles import Cycles
from app.clearing.entries import Bust, Entry, Trade, legs
from app.local.servers import Servers
from app.models.clearing import CycleClosed, Settle, encode_fact, read_fact
from app.postgres import Journal, PositionMoved, Projection
from app.settling import NOTHING, Proposal, Settling
from tests.clearing.histories import CLIENTS, Cleared, History, examples, histories
from tests.clearing.projected import (
    LOG_ID,
    TOPIC,
    Projected,
    Record,
    ask,
    project,
    record,
    records,
)
from tests.migrated import migrated_database

SUMS = ("gross_in", "gross_out", "fees", "carried", "net", "opening", "closing")
TRADE = Trade("BTC-USD", 1, 1, "BTC", "USD", 100_00000000, 2_00000000, "ann", "bob")


@pytest.fixture(scope="module")
async def database(servers: Servers) -> AsyncIterator[str]:
    """A database with our schema."""
    async with migrated_database(servers, "clearing_projection") as url:
        yield url


@examples(25)
@given(history=histories())
async def test_postgres_agrees_with_the_ledger(history: History, database: str) -> None:
    """Obligations, instructions, statements and seals of random histories, fees, rebates and busts included."""
    seals = await project(database, history)
    cleared = Cleared(history)
    assert seals == cleared.ledger.seals
    async with Projected(database) as projected:
        for cycle, netted in cleared.netted.items():
            rows = await projected.settlements.obligations(cycle)
            found = {(row["client_id"], row["asset"]): [row[name] for name in SUMS] for row in rows}
            assert found == {key: [text(getattr(o, n)) for n in SUMS] for key, o in netted.obligations.items()}
            due = [
                (number, i.client, i.asset, text(i.amount), cleared.ledger.decisions.get((cycle, number), "pending"))
                for number, i in netted.instructions.items()
            ]
            rows = await projected.settlements.instructions(cycle)
            names = ("instruction", "client_id", "asset", "amount", "state")
            assert [tuple(row[name] for name in names) for row in rows] == due
            row = await projected.settlements.cycle(cycle)
            assert row is not None and row["state"] == ("settled" if cleared.ledger.is_settled(cycle) else "netted")
            assert all(sums["sum"] == "0" for sums in row["conservation"])
            for client in {client for client, _ in netted.obligations}:
                statement = await projected.settlements.statement(client, cycle)
                assert statement is not None
                assert statement.csv() == cleared.statement(client, cycle).csv()
                assert await projected.settlements.digest(client, cycle) == statement.digest()
        for client in CLIENTS:
            for to_seq in (3, 1000):
                found = await projected.settlements.positions(client, to_seq=to_seq)
                assert {name: p.average_cost for name, p in found.items()} == average_costs(history, client, to_seq)
                assert {name: p.realised_cash for name, p in found.items()} == cash(history, client, to_seq)
            balances = {row["asset"]: row["balance"] for row in await projected.settlements.balances(client)}
            sums = {asset: n for (account, asset), n in sums_of_legs(history).items() if n and account == client}
            assert balances == {asset: text(sums.get(asset, 0)) for asset in balances.keys() | sums.keys()}
        for market in ("BTC-USD", "ETH-BTC", "ETH-USD"):
            page = await Journal(projected.reader).page(market, (0, 0), 1_000)
            assert [found.entry for found in page] == sorted(
                (entry for entry in history.entries() if entry.instrument == market), key=place_of
            )
        preview = await projected.settlements.preview()
        assert preview.ranges == {
            name: (cleared.cycles.cutoffs.get(name, 0), 1000) for name in ("BTC-USD", "ETH-BTC", "ETH-USD")
        }
    # The books of every account from the view: as the legs say, and each asset adds up to nothing.
    view = "SELECT account, asset, trim_scale(sum(amount))::text FROM ledger_legs GROUP BY account, asset"
    found = {(account, asset): sum_ for account, asset, sum_ in ask(database, view)}
    assert found == {key: text(sum_) for key, sum_ in sums_of_legs(history).items() if key in found}
    assert not any(sum_ for key, sum_ in sums_of_legs(history).items() if key not in found)
    assert ask(database, "SELECT asset, sum(amount) FROM ledger_legs GROUP BY asset HAVING sum(amount) <> 0") == []


def place_of(entry: Entry) -> tuple[int, int]:
    """How the entries of a market are ordered."""
    return entry.seq, entry.trade.number if isinstance(entry, Bust) else entry.number


def sums_of_legs(history: History) -> Counter[tuple[str, str]]:
    """Account and asset -> what all entries leave there."""
    sums: Counter[tuple[str, str]] = Counter()
    for entry in history.entries():
        for leg in legs(entry):
            sums[leg.account, leg.asset] += leg.amount
    return sums


def held(history: History, client: str, to_seq: int) -> dict[str, list[Trade]]:
    """The client's trades that are not busted by then, twice if it is buyer and seller."""
    found: dict[str, list[Trade]] = {}
    for trade in history.trades:
        bust = history.bust_of(trade)
        if trade.seq <= to_seq and not (bust and bust <= to_seq) and client in (trade.buyer, trade.seller):
            found.setdefault(trade.instrument, []).append(trade)
    return dict(sorted(found.items()))


def average_costs(history: History, client: str, to_seq: int) -> dict[str, int | None]:
    """The average price of the larger side in 10^-8, rounded half up, with fractions."""
    costs: dict[str, int | None] = {}
    for name, trades in held(history, client, to_seq).items():
        sides = [[t for t in trades if t.buyer == client], [t for t in trades if t.seller == client]]
        bought, sold = (sum(t.quantity for t in side) for side in sides)
        larger = sides[0] if bought > sold else sides[1]
        average = Fraction(sum(t.notional for t in larger), sum(t.quantity for t in larger)) if bought != sold else None
        costs[name] = None if average is None else floor(average + Fraction(1, 2))
    return costs


def cash(history: History, client: str, to_seq: int) -> dict[str, int]:
    """What came in beyond what went out, fees included."""
    found: dict[str, int] = {}
    for name, trades in held(history, client, to_seq).items():
        paid = sum(t.notional + t.buyer_fee for t in trades if t.buyer == client)
        found[name] = sum(t.notional - t.seller_fee for t in trades if t.seller == client) - paid
    return found


TWO_CYCLES = History(
    trades=[TRADE, TRADE._replace(seq=3, number=2, buyer="bob", seller="ann", price=103_00000000)],
    facts=[
        ("settle", "a"),
        ("close", 1, {"BTC-USD": 2}),
        ("outcome", 1, 1, "failed"),
        ("outcome", 1, None, "settled"),
        ("settle", "b"),
        ("settle", "a"),
        ("close", 1, {"BTC-USD": 9}),
        ("close", 2, {"BTC-USD": 5}),
        ("close", 2, {"BTC-USD": 3}),
    ],
)


class _TheEnd(Exception):
    """Of a process, as far as Postgres can tell."""


PROGRESS = dict.fromkeys(("BTC-USD", "ETH-BTC", "ETH-USD"), 1000)
STEPS = [f"{what}-{when}-commit" for what in ("fact", "netting", "sealing") for when in ("before", "after")]


@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_at_any_step_changes_nothing(step: str, database: str) -> None:
    """A worker ends at the nth transaction, before or after its COMMIT; the next one leaves the same rows and seals."""
    right, found = await project(database, TWO_CYCLES), records(TWO_CYCLES)
    for nth in count(1):
        await asyncio.to_thread(record, database, TWO_CYCLES)
        has_ended = await _end_at(database, step, nth)
        async with Projected(database) as next_worker:
            closed, _ = await next_worker.settling.proposal()
            assert closed in (None, CycleClosed(1, PROGRESS), CycleClosed(2, PROGRESS))
            await next_worker.settling.take(found[next_worker.position :])
        assert dict(ask(database, "SELECT cycle, seal FROM cycles ORDER BY cycle")) == right
        assert ask(database, "SELECT next_offset FROM sink_progress") == [(len(found),)]
        assert ask(database, "SELECT count(*) FROM obligations") == [(8,)]
        if not has_ended:
            break
    assert nth > 2


async def _end_at(database: str, step: str, nth: int) -> bool:
    """A worker that ends when it comes to this step for the nth time; whether it came there."""
    left = nth

    def reach(name: str) -> None:
        nonlocal left
        left -= name == step
        if left == 0:
            raise _TheEnd

    projection = Projection(database, TOPIC, reach)
    settling = Settling(projection)
    try:
        await settling.start(LOG_ID)
        await settling.take(records(TWO_CYCLES))
    except _TheEnd:
        return True
    finally:
        await projection.close()
    return False


async def test_a_worker_that_was_taken_for_dead_changes_nothing(database: str) -> None:
    """It continues after another one has done its work: it is refused, and its process ends."""
    await asyncio.to_thread(record, database, TWO_CYCLES)
    async with Projected(database) as paused, Projected(database) as other:
        await other.settling.take(records(TWO_CYCLES))
        rows = ask(database, "SELECT * FROM obligations ORDER BY cycle, client_id, asset")
        with pytest.raises(PositionMoved, match="another clearing worker was here"):
            await paused.settling.take(records(TWO_CYCLES))
    assert ask(database, "SELECT * FROM obligations ORDER BY cycle, client_id, asset") == rows


async def test_two_workers_that_net_one_cycle_net_it_once(database: str) -> None:
    """Both have read the same facts before either was ended."""
    await asyncio.to_thread(record, database, TWO_CYCLES)
    async with Projected(database) as first:
        await first.settling.take(records(TWO_CYCLES)[:1])
        await first.projection.take(1, 0, *_closed(records(TWO_CYCLES)))
        async with Projected(database) as second:
            gathered = await asyncio.gather(first.projection.net(1), second.projection.net(1), return_exceptions=True)
    assert [type(found) for found in gathered if found is not None] in ([], [PositionMoved])
    assert ask(database, "SELECT count(*) FROM obligations") == [(4,)]
    assert ask(database, "SELECT state, seal IS NULL FROM cycles") == [("netted", False)]


def _closed(found: list[Record]) -> tuple:
    cycles = Cycles(["a"])
    fact = read_fact(found[1].value)
    assert isinstance(fact, CycleClosed)
    return fact, cycles.close(fact.cycle, fact.cutoffs)


async def test_closing_takes_no_lock_that_recording_waits_for(database: str) -> None:
    """C10: with each transaction of closing and netting open, a transaction like recording's goes through at once."""
    await asyncio.to_thread(record, database, TWO_CYCLES)
    reached = []

    def reach(name: str) -> None:
        if name.endswith("-before-commit"):
            reached.append(name)
            connection = psycopg2.connect(database, options="-c lock_timeout=1")  # ms: whatever waits at all fails
            try:
                with connection, connection.cursor() as cursor:
                    number = 100 + len(reached)
                    cursor.execute(
                        "UPDATE instruments SET seq = seq + 1; UPDATE instrument_progress SET last_seq = last_seq + 1;"
                        "INSERT INTO trades SELECT instrument, %s, %s, %s, price, quantity, buy_order_id,"
                        "sell_order_id, buy_client_id, sell_client_id, aggressor_side, executed_at FROM trades "
                        "WHERE seq = 1",
                        (number, f"late-{number}", number),
                    )
            finally:
                connection.close()

    projection = Projection(database, TOPIC, reach)
    settling = Settling(projection)
    await settling.start(LOG_ID)
    await settling.take(records(TWO_CYCLES))
    await projection.close()
    assert {name.partition("-")[0] for name in reached} == {"fact", "netting", "sealing"}


async def test_a_range_that_does_not_continue_the_last_one_is_refused(database: str) -> None:
    """C2 is a constraint: whatever program writes, no seq is in two cycles or in none."""
    await project(database, TWO_CYCLES)
    for after, to in ((6, 7), (4, 7), (0, 7), (5, 5), (2, 9)):
        with pytest.raises(psycopg2.errors.IntegrityError):
            ask(database, "INSERT INTO cycle_ranges VALUES (2, 'BTC-USD', %s, %s)", after, to)
    with pytest.raises(psycopg2.errors.IntegrityError):
        ask(database, "INSERT INTO obligations SELECT 2, client_id, 'X', 1, 0, 0, 0, 2, 0, 1 FROM obligations LIMIT 1")


async def test_an_emptied_database_is_netted_once_recording_has_come_there(database: str) -> None:
    """C9: the facts are read again before the trades are recorded again; the seals are the same."""
    right = await project(database, TWO_CYCLES)
    await asyncio.to_thread(record, database, TWO_CYCLES)
    ask(database, "UPDATE instrument_progress SET last_seq = 1")
    async with Projected(database) as projected:
        taking = asyncio.create_task(projected.settling.take(records(TWO_CYCLES)))
        while projected.settling.waits_for is None:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)
        assert projected.settling.waits_for == (
            "cycle 1 waits for recording: BTC-USD is recorded up to 1, the cutoff is 2"
        )
        assert ask(database, "SELECT state FROM cycles") == [("closed",)]
        ask(database, "UPDATE instrument_progress SET last_seq = 5")
        await taking
    assert dict(ask(database, "SELECT cycle, seal FROM cycles ORDER BY cycle")) == right


async def test_the_proposed_cutoffs_are_what_is_recorded_at_one_moment(database: str) -> None:
    """Markets only, and once: what was proposed comes back through the topic."""
    await asyncio.to_thread(record, database, TWO_CYCLES)
    async with Projected(database) as projected:
        assert await projected.settling.proposal() == NOTHING
        await projected.settling.take([Record(0, encode_fact(Settle("a")))])
        assert await projected.settling.proposal() == Proposal(CycleClosed(1, PROGRESS), [])
        assert await projected.settling.proposal() == NOTHING


async def test_a_cutoff_time_waits_until_every_market_has_passed_it(database: str) -> None:
    """The trades at seq 1 and 3 have the times 1 and 3 ms: the cutoff at 3 ms is 2, once all markets are beyond it."""
    await asyncio.to_thread(record, database, TWO_CYCLES)
    progress = "UPDATE instrument_progress SET last_time = 'epoch'::timestamptz + %s * interval '1 ms'"
    ask(database, progress, 2)
    async with Projected(database) as projected:
        await projected.settling.take([Record(0, encode_fact(Settle("a", cutoff_time=3)))])
        closed, quiet = await projected.settling.proposal()
        assert (closed, sorted(quiet)) == (None, ["BTC-USD", "ETH-BTC", "ETH-USD"])
        ask(database, progress + " WHERE instrument <> 'ETH-USD'", 3)
    async with Projected(database) as restarted:
        assert await restarted.settling.proposal() == Proposal(None, ["ETH-USD"])
        ask(database, progress, 3)
        at_3_ms = PROGRESS | {"BTC-USD": 2}
        assert await restarted.settling.proposal() == Proposal(CycleClosed(1, at_3_ms), [])


async def test_a_record_that_is_no_fact_is_passed_over(database: str) -> None:
    """It has no place among the facts; one that a newer release wrote stops the worker instead."""
    await asyncio.to_thread(record, database, TWO_CYCLES)
    foreign = [Record(n, value) for n, value in enumerate([b"", b"{}", b"no fact", encode_fact(Settle("a"))])]
    async with Projected(database) as projected:
        await projected.settling.take(foreign)
        with pytest.raises(Exception, match="Invalid value 'merge'"):
            await projected.settling.take([Record(4, b'{"fact":"merge","cycle":1}')])
    assert ask(database, "SELECT cycle, state FROM cycles") == [(1, "open")]
    assert ask(database, "SELECT next_offset FROM sink_progress") == [(4,)]
