"""Clearing in a whole venue: from the command line, through deaths at each step, a pause and an emptied database."""

import asyncio
import json
import re
import signal
from typing import Any

import beancount.loader
import pytest

from app.local.venue import Venue
from app.postgres import CannotRemove, remove_history
from app.setup import prepare
from app.streaming import failpoints
from app.verification.running import Addresses, verify
from load.client import Client
from load.ledger import Ledger
from load.request import Terms
from tests.databases import drop_database
from tests.integration.conftest import cli, judge, list_market
from tests.integration.recording import copied
from tests.long import LONG
from tests.postgres.recorded import ask
from tests.until import until

DEATH_TIMEOUT_S = 240.0
# tests/clearing/test_projection.py stops at every one of Postgres' steps; here are real processes.
DEATHS = list(failpoints.CLEARING) if LONG else ["acked-clearing", "netting-after-commit"]


async def trade(venue: Venue, market: str, ledger: Ledger, number: int, quantity: str = "2.00") -> None:
    """One trade at 100: seller-n sells to buyer."""
    async with Client(venue.url, ledger) as client:
        for who, side in ((f"seller-{number}", "sell"), ("buyer", "buy")):
            answer = await client.place(Terms(who, market, side, "limit", quantity, "100.00"))
            assert answer.status == 201, answer


async def settle(venue: Venue, *arguments: str) -> dict[str, Any]:
    """A cycle, netted; asked for with the command line."""
    told = await cli(venue, "settle", "--json", *arguments)
    assert told.code == 0, told
    return json.loads(told.out)


def rows(venue: Venue, query: str) -> list[tuple[Any, ...]]:
    """What the venue's Postgres answers."""
    return ask(venue.servers.database_url, query)


async def traded(venue: Venue, market: str, count: int) -> None:
    """Return once so many trades of the market are recorded."""
    query = f"SELECT count(*) FROM trades WHERE instrument = '{market}'"
    await until(lambda: rows(venue, query) == [(count,)], timeout_s=60.0)


SEALS = "SELECT cycle, key, state, seal FROM cycles ORDER BY cycle"


async def test_a_day_is_settled_from_the_command_line(venue: Venue) -> None:
    """Preview, cycle, statement, outcome; a failed instruction is due again; a repeat of a key gives its cycle."""
    market = await list_market(venue)
    await settle(venue)  # the other tests of this venue have traded too
    await trade(venue, market, Ledger(), 1)
    await traded(venue, market, 1)

    told = await cli(venue, "settle", "--dry-run", "--json")
    previewed = {(row["client_id"], row["asset"]): row["net"] for row in json.loads(told.out)["obligations"]}
    assert (previewed["buyer", "T"], previewed["seller-1", "USD"]) == ("2", "200"), told

    cycle = await settle(venue, "--key", f"day-{market}")
    assert cycle["state"] == "netted" and {row["sum"] for row in cycle["conservation"]} == {"0"}
    assert (await settle(venue, "--key", f"day-{market}"))["cycle"] == cycle["cycle"]
    number = str(cycle["cycle"])
    told = await cli(venue, "settle", "--key", f"day-{market}", "--at", "2026-01-01")
    assert told.code == 1 and f"was used for cycle {number}, up to what was recorded" in told.err, told

    told = await cli(venue, "statement", "buyer", number)
    assert told.code == 0 and "buy,100.00,2.00,0," in told.out, told
    assert told.out.startswith("row,seq,trade_id,") and told.err.startswith("digest "), told
    assert (await cli(venue, "statement", "nobody", number)).code == 1

    told = await cli(venue, "ledger", "--beancount")
    assert told.code == 0 and f'"trade {market}-1"' in told.out, told.err
    assert beancount.loader.load_string(told.out)[1] == []

    failed = json.loads((await cli(venue, "outcome", number, "failed", "--instruction", "1", "--json")).out)
    told = await cli(venue, "outcome", number, "settled", "--json")
    assert {row["state"] for row in json.loads(told.out)} == {"settled", "failed"}, told
    assert (await cli(venue, "outcome", number, "settled", "--instruction", "1")).code == 1

    after = await settle(venue)
    assert (after["cycle"], after["state"]) == (cycle["cycle"] + 1, "netted")
    due = rows(venue, f"SELECT client_id, asset, amount::text FROM instructions WHERE cycle = {after['cycle']}")
    assert due == [(failed[0]["client_id"], failed[0]["asset"], failed[0]["amount"])]
    for _ in range(2):  # a repeat changes nothing
        assert (await cli(venue, "outcome", str(after["cycle"]), "settled")).code == 0
    told = await cli(venue, "outcome", str(after["cycle"]), "failed")
    assert told.code == 1 and "an outcome is final" in told.err, told
    told = await cli(venue, "outcome", "1000000", "settled")
    assert told.code == 1 and "there is no cycle 1000000" in told.err, told

    empty = await settle(venue)
    assert (empty["state"], empty["conservation"]) == ("settled", [])


async def test_a_cycle_ends_at_a_time_of_the_log(venue: Venue) -> None:
    """A quiet market gets a tick, so that the time is known to be over there; the later trade is the next cycle's."""
    market = await list_market(venue)
    await trade(venue, market, Ledger(), 1)
    await traded(venue, market, 1)
    ((at, after),) = rows(
        venue,
        "SELECT to_char((executed_at + interval '1 ms') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
        f"report_seq FROM trades WHERE instrument = '{market}'",
    )
    await trade(venue, market, Ledger(), 2)
    await traded(venue, market, 2)
    cycle = await settle(venue, "--at", at)
    ranges = {row["instrument"]: row["to_seq"] for row in cycle["ranges"]}
    ((later,),) = rows(venue, f"SELECT max(report_seq) FROM trades WHERE instrument = '{market}'")
    assert after <= ranges[market] < later
    assert (await cli(venue, "settle", "--at", "2999-01-01T00:00:00Z")).code == 1


async def test_no_cycle_is_asked_for_while_postgres_cannot_show_it(venue: Venue) -> None:
    """The command failed and did not say that it had asked for a cycle; each new try closed one more."""
    nowhere = venue.servers.database_url.rpartition("/")[0] + "/nothing"
    told = await cli(venue, "settle", "--key", "blind", DATABASE_URL=nowhere)
    assert told.code == 1 and "does not exist; run `python -m app setup`" in told.err, told
    await settle(venue)  # by then, whatever was asked for earlier has a cycle
    assert rows(venue, "SELECT cycle FROM cycles WHERE key = 'blind'") == []


CHANGES = {
    "UPDATE trades SET seller_fee = seller_fee {} 0.01 WHERE trade_id = %s": "trades {}: seller_fee is '-0.03000000'",
    "UPDATE trade_busts SET seq = seq {} 1 WHERE instrument || '-' || trade_seq = %s": "trade_busts {}: seq is ",
}


async def test_fees_and_busts_are_settled(venue: Venue) -> None:
    """A bust in the open cycle cancels its trade; one after the settlement goes back in the next, fees included."""
    market, ledger = await list_market(venue), Ledger()
    ann, bob = f"ann-{market}", f"bob-{market}"
    assert (await cli(venue, "set-fees", market, "--maker", "-1", "--taker", "10")).code == 0
    async with Client(venue.url, ledger) as client:
        for quantity in ("2.00", "0.50"):
            for who, side in ((bob, "sell"), (ann, "buy")):
                assert (await client.place(Terms(who, market, side, "limit", quantity, "100.00"))).status == 201
    await busted(venue, market, 2)

    cycle = await settled(venue)
    assert cycle["obligations"] == {
        (ann, "T"): ("2", "0", "0", "2", "0", "2"),
        (ann, "USD"): ("0", "200", "0.2", "-200.2", "0", "-200.2"),
        (bob, "T"): ("0", "2", "0", "-2", "0", "-2"),
        (bob, "USD"): ("200", "0", "-0.02", "200.02", "0", "200.02"),
    }
    told = await cli(venue, "statement", bob, str(cycle["cycle"]))
    entries = [line.split(",") for line in told.out.splitlines() if line.startswith(("trade,", "bust,"))]
    found = [(row, trade_id, quantity, fee) for row, _, trade_id, _, _, _, quantity, fee, *_ in entries]
    assert found == [
        ("trade", f"{market}-1", "2.00", "-0.02"),
        ("trade", f"{market}-2", "0.50", "-0.005"),
        ("bust", f"{market}-2", "0.50", "0.005"),
    ]

    await busted(venue, market, 1)
    cycle = await settled(venue)
    assert cycle["obligations"] == {
        (ann, "T"): ("0", "2", "0", "-2", "2", "0"),
        (ann, "USD"): ("200", "0", "-0.2", "200.2", "-200.2", "0"),
        (bob, "T"): ("2", "0", "0", "2", "-2", "0"),
        (bob, "USD"): ("0", "200", "0.02", "-200.02", "200.02", "0"),
    }
    await judge(venue, ledger)
    await assert_that_changes_are_seen(venue, market)
    await assert_that_history_can_go(venue, market, cycle["cycle"])


async def busted(venue: Venue, market: str, number: int) -> None:
    """Bust the market's trade with this number; return once that is recorded."""
    told = await cli(venue, "bust", f"{market}-{number}", "wrong price")
    assert told.code == 0, told
    query = f"SELECT count(*) FROM trade_busts WHERE instrument = '{market}' AND trade_seq = {number}"
    await until(lambda: rows(venue, query) == [(1,)], timeout_s=60.0)


async def settled(venue: Venue) -> dict[str, Any]:
    """A cycle whose instructions were carried out, with the obligations of the clients that are called after a market.

    As gross_in, gross_out, fees, net, opening, closing.
    """
    cycle = await settle(venue)
    assert {row["sum"] for row in cycle["conservation"]} == {"0"}
    assert (await cli(venue, "outcome", str(cycle["cycle"]), "settled")).code == 0
    found = rows(
        venue,
        "SELECT client_id, asset, gross_in::text, gross_out::text, fees::text, net::text, opening::text, closing::text "
        f"FROM obligations WHERE cycle = {cycle['cycle']} AND client_id LIKE '%-USD'",
    )
    return cycle | {"obligations": {(client, asset): tuple(sums) for client, asset, *sums in found}}


async def assert_that_changes_are_seen(venue: Venue, market: str) -> None:
    """In the row itself, and in what was netted with it."""
    copy = await asyncio.to_thread(copied, venue)
    where = Addresses(venue.servers.broker, copy)
    for change, sentence in CHANGES.items():
        ask(copy, change.format("-"), f"{market}-1")
        verdict = await verify(where)
        assert (verdict.first or "").startswith(f"O4: Postgres {sentence.format(f'{market} 1')}"), verdict.as_text()
        (clearing,) = [finding for finding in verdict.findings if finding.check == "O7"]
        assert clearing.differences, verdict.as_text()
        ask(copy, change.format("+"), f"{market}-1")
    verdict = await verify(where)
    assert verdict.is_right, verdict.as_text()
    drop_database(copy)


async def assert_that_history_can_go(venue: Venue, market: str, cycle: int) -> None:
    """Its orders removed, the venue is still right; what stayed is still compared, and so is how much may be absent."""
    copy = await asyncio.to_thread(copied, venue)
    where = Addresses(venue.servers.broker, copy)
    with pytest.raises(CannotRemove, match="in the last 48 hours"):
        await remove_history(copy, cycle)
    counted = await remove_history(copy, cycle, is_dry_run=True, kept_h=-1)  # also of this very minute
    assert counted == await remove_history(copy, cycle, kept_h=-1)
    assert counted["orders"] > 3 and counted["order_events"] > 5
    assert ask(copy, "SELECT count(*) FROM orders WHERE instrument = %s AND status <> 'new'", market) == [(0,)]
    assert ask(copy, "SELECT count(*) FROM trades WHERE instrument = %s", market) == [(2,)]
    verdict = await verify(where)
    assert verdict.is_right, verdict.as_text()
    for change, undo, sentence in (
        (
            "UPDATE trades SET price = price + 1 WHERE trade_id = %s",
            "UPDATE trades SET price = price - 1 WHERE trade_id = %s",
            f"O4: Postgres trades {market} 1: price is",
        ),
        (
            f"INSERT INTO removed_history SELECT 'NONE', {cycle} WHERE %s <> ''",
            "DELETE FROM removed_history WHERE instrument = 'NONE' AND %s <> ''",
            f"O7: Postgres removed_history NONE: cycle {cycle} has settled nothing of it",
        ),
    ):
        ask(copy, change, f"{market}-1")
        assert ((await verify(where)).first or "").startswith(sentence)
        ask(copy, undo, f"{market}-1")
    drop_database(copy)


async def test_deaths_pauses_and_an_empty_database_change_nothing(unsupervised: Venue) -> None:
    """Each step of clearing as the last one; a worker paused while another settles; everything projected again."""
    venue, ledger = unsupervised, Ledger()
    market = await list_market(venue)
    await venue.kill("clearing")
    for number, name in enumerate(DEATHS, 1):
        await trade(venue, market, ledger, number)
        await traded(venue, market, number)
        dying = await venue.start_worker("clearing", env={"FAILPOINT": f"{name}:1"})
        asking = asyncio.create_task(settle(venue, "--key", f"key-{number}"))
        assert await asyncio.wait_for(dying.wait(), DEATH_TIMEOUT_S) == -signal.SIGKILL
        await venue.start_worker("clearing")
        assert (await asking)["cycle"] == number
        await venue.kill("clearing")

    paused = await venue.start_worker("clearing")
    await venue.wait_ready("clearing")
    paused.send(signal.SIGSTOP)
    other = await venue.start_worker("clearing", 1)
    await trade(venue, market, ledger, 100)
    await traded(venue, market, len(DEATHS) + 1)
    last = await settle(venue, "--key", "paused")
    paused.send(signal.SIGCONT)
    again = await settle(venue, "--key", "resumed")
    assert (again["cycle"], again["state"]) == (last["cycle"] + 1, "settled")

    right = rows(venue, SEALS)
    own = f"SELECT sum(to_seq - after_seq)::int FROM cycle_ranges WHERE cycle <= {len(right)}"
    owned = rows(venue, own)
    assert len({seal for *_, seal in right}) == len(DEATHS) + 2
    for process in (paused, other, venue.process("recording")):
        await process.kill()
    await asyncio.to_thread(drop_database, venue.servers.database_url)
    await prepare(venue.servers.broker, venue.servers.database_url)
    emptied = await verify(Addresses(venue.servers.broker, venue.servers.database_url))
    assert emptied.is_right, emptied.as_text()
    assert re.fullmatch(r"Postgres has 0 of \d+ reports .*, and no recording worker runs", emptied.in_flight[0])
    await venue.start_worker("clearing", env={"SETTLE_AT": "00:00"})
    await venue.start_worker("recording")
    daily = "SELECT count(*) > 0 FROM cycles WHERE key LIKE 'daily-%' AND seal IS NOT NULL"
    await until(lambda: rows(venue, daily) == [(True,)], timeout_s=120.0)  # once it has read what there was before
    assert rows(venue, SEALS)[: len(right)] == right
    assert rows(venue, own) == owned
    verdict = await judge(venue, ledger)
    compared = {finding.about: finding.compared for finding in verdict.findings}
    assert compared["clearing"] > len(right)
