"""Settlements over HTTP: who may close and decide, who sees what, and that a repeat gives the same cycle."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from app.local.venue import Venue
from app.postgres import History
from tests.until import until, until_done
from tests.web.conftest import Answer, Api, public
from tests.web.contract import complaint
from web.edge.callers import ANYBODY
from web.rest.clearing import waited
from web.rest.market_data import as_seen

PATIENT = {"Prefer": "wait=15"}


async def trade(api: Api, market: str, seller: str, buyer: str) -> None:
    """One trade of 2 at 100, recorded."""
    await api.place(instrument=market, client_id=seller, side="sell", quantity="2")
    await api.place(instrument=market, client_id=buyer, quantity="2")
    preview = "/settlements?dry_run=true"

    def is_recorded(found: Answer) -> bool:
        owned = {(row["client_id"], row["asset"]) for row in found.body["obligations"]}
        return any(client == buyer for client, _ in owned) and market in {
            row["instrument"] for row in found.body["ranges"]
        }

    await until(lambda: api("POST", preview), is_recorded)


async def settle(api: Api, key: str, body: Any = None) -> Answer:
    """The cycle of this key, netted."""
    headers = {"Idempotency-Key": key} | PATIENT
    return await until_done(lambda: api("POST", "/settlements", body, headers=headers))


async def test_a_cycle_is_closed_read_and_settled(api: Api, other_api: Api, market: str) -> None:
    """From the preview to the outcome of an instruction; the other gateway answers the same."""
    await trade(api, market, "alice", "bob")
    key = str(uuid4())
    closed = await settle(api, key)
    assert (closed.status, closed.body["state"]) == (201, "netted")
    assert {row["sum"] for row in closed.body["conservation"]} == {"0"}
    assert (await settle(other_api, key)).body == closed.body
    cycle = f"/settlements/{closed.body['cycle']}"
    assert closed.headers["Location"] == f"/api/v1{cycle}"
    assert (await other_api("GET", cycle)).body == closed.body
    listed = (await api("GET", "/settlements?limit=1")).body
    assert listed == [{name: closed.body[name] for name in listed[0]}]
    assert (await api("GET", f"/settlements?below={closed.body['cycle']}&limit=1")).body != listed

    rows, cursor = [], ""
    while cursor is not None:
        page = (await api("GET", f"{cycle}/obligations?client_id=alice&limit=1&cursor={cursor}")).body
        rows += page["obligations"]
        cursor = page["next_cursor"]
    assert rows == (await api("GET", f"{cycle}/obligations?client_id=alice")).body["obligations"]
    assert {"USD"} <= {row["asset"] for row in rows}

    due = (await api("GET", f"{cycle}/instructions?client_id=alice")).body["instructions"][-1]
    path = f"{cycle}/instructions/{due['instruction']}"
    decided = await until_done(lambda: api("POST", path, {"state": "settled"}, headers=PATIENT))
    assert (decided.status, decided.body["state"]) == (200, "settled")
    assert (await api("POST", path, {"state": "settled"})).body == decided.body
    assert (await api("POST", path, {"state": "failed"})).body["code"] == "outcome_is_final"


async def test_a_statement_is_json_or_csv(api: Api, market: str) -> None:
    """The same rows; the CSV is what the cycle's seal covers."""
    await trade(api, market, "alice", "bob")
    cycle = (await settle(api, str(uuid4()))).body["cycle"]
    held = (await api("GET", f"/clients/bob/positions?instrument={market}")).body
    assert held == [
        {
            "instrument": market,
            "quantity": "2",
            "bought": "2",
            "sold": "0",
            "fees": "0",
            "realised_cash": "-200",
            "average_cost": "100",
        }
    ]
    assert (await api("GET", f"/clients/bob/positions?instrument={market}&as_of_seq=1")).body == []
    path = f"/clients/bob/statements/{cycle}"
    rows = (await api("GET", path)).body["rows"]
    mine = [row for row in rows if row.get("instrument") == market]
    assert [(row["row"], row["side"], row["price"], row["fee"]) for row in mine] == [("trade", "buy", "100.00", "0")]
    async with aiohttp.ClientSession() as session:
        url = f"{api.url}/api/v1{path}"
        async with session.get(url, headers={"Accept": "application/json, text/csv;q=0"}) as answer:
            assert (answer.content_type, (await answer.json())["rows"]) == ("application/json", rows)
        for accepted in ("Text/CSV", "application/json;q=0.5, text/csv; q=1.0"):
            async with session.get(url, headers={"Accept": accepted}) as answer:
                lines = (await answer.text()).splitlines()
                assert complaint("GET", f"/api/v1{path}", 200, answer.content_type, "") is None
                assert answer.content_type == "text/csv"
    named = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    assert [{name: value for name, value in row.items() if value} for row in named] == rows


async def test_a_key_is_for_one_cutoff(api: Api, other_api: Api) -> None:
    """Whoever asks for another one under it would take the answer for it; the first request can be repeated."""
    key, cutoff = str(uuid4()), {"cutoff_time": "2026-01-01T00:00:00Z"}
    closed = await settle(api, key, cutoff)
    assert closed.body["cutoff_time"] == "2026-01-01T00:00:00.000Z"
    for body in (None, {}, {"cutoff_time": "2026-01-01T00:00:00.001Z"}):
        refused = await settle(other_api, key, body)
        assert (refused.status, refused.body["code"]) == (422, "duplicate_order")
        assert f"cycle {closed.body['cycle']}, up to 2026-01-01T00:00:00.000Z" in refused.body["detail"]
    for body in (cutoff, {"cutoff_time": "2026-01-01T01:00:00+01:00"}):
        assert (await settle(other_api, key, body)).body == closed.body
    now = await settle(api, f"{key}-now")
    assert (await settle(api, f"{key}-now", cutoff)).status == 422
    assert (await settle(api, f"{key}-now", {"cutoff_time": None})).body == now.body


async def test_whoever_will_not_wait_is_answered_at_once() -> None:
    """`Prefer: wait=0` is no time, not the default: what is not there is asked for twice at most."""
    asked = []

    async def ask() -> None:
        asked.append(None)

    request = make_mocked_request("POST", "/api/v1/settlements", headers={"Prefer": "wait=0"})
    await waited(request, ask, lambda _: False)
    assert len(asked) <= 2


@pytest.mark.parametrize("cursor", ["alice", "%00,", "alice,%00", ",", "alice,", "%F0%9F%98%80,USD", "alice,USD,BTC"])
async def test_a_cursor_that_no_answer_gave_is_malformed(api: Api, cursor: str) -> None:
    """Of obligations, also with NUL, which Postgres cannot take."""
    cycle = (await settle(api, str(uuid4()))).body["cycle"]
    refused = await api("GET", f"/settlements/{cycle}/obligations?cursor={cursor}")
    assert (refused.status, refused.body["code"]) == (400, "malformed_request")


async def fees(api: Api, market: str) -> list[dict[str, Any]]:
    """The market's trades, ann buying the second, with a maker's rebate and a taker's fee; the first is busted."""
    await api("PUT", f"/instruments/{market}/fees", {"maker": "-1", "taker": "10"})
    await trade(api, market, "ann", "carl")
    await trade(api, market, "carl", "ann")
    await api("POST", f"/trades/{market}-1/bust", {"reason": "an error"}, headers=PATIENT)
    path = f"/journal?instrument={market}"
    await until(lambda: api("GET", path), lambda found: len(found.body["entries"]) == 3)
    return (await api("GET", f"/trades?instrument={market}")).body


async def test_the_journal_has_the_legs_of_every_entry(api: Api, market: str) -> None:
    """A trade and its bust, page by page: in each asset the legs add up to nothing, and both cancel."""
    await fees(api, market)
    path = f"/journal?instrument={market}"
    whole = (await api("GET", path)).body["entries"]
    assert [(entry["kind"], entry["trade_id"], entry["cycle"]) for entry in whole] == [
        ("trade", f"{market}-1", None),
        ("trade", f"{market}-2", None),
        ("bust", f"{market}-1", None),
    ]
    assert {"account": "ann", "asset": "USD", "amount": "0.02", "is_fee": True} in whole[0]["legs"]
    assert {"account": "@fees", "asset": "USD", "amount": "0.2", "is_fee": True} in whole[0]["legs"]
    for entry in whole:
        for asset in ("T", "USD"):
            assert sum(Decimal(leg["amount"]) for leg in entry["legs"] if leg["asset"] == asset) == 0
    negated = [leg | {"amount": f"{-Decimal(leg['amount'])}"} for leg in whole[0]["legs"]]
    assert [leg | {"amount": str(Decimal(leg["amount"]))} for leg in whole[2]["legs"]] == negated

    rows, cursor = [], ""
    while cursor is not None:
        page = (await api("GET", f"{path}&limit=1&cursor={cursor}")).body
        rows += page["entries"]
        cursor = page["next_cursor"]
    assert rows == whole
    assert (await api("GET", f"{path}&from_seq={whole[1]['seq']}")).body["entries"] == whole[1:]
    cycle = (await settle(api, str(uuid4()))).body["cycle"]
    assert {entry["cycle"] for entry in (await api("GET", path)).body["entries"]} == {cycle}


async def test_balances_add_up_to_what_was_traded(api: Api, market: str) -> None:
    """Before a cycle, after it, when its instruction was settled, and when a bust of it follows; positions likewise."""
    buyer, seller = f"buyer-{market}", f"seller-{market}"
    await trade(api, market, seller, buyer)
    path, held = f"/clients/{buyer}/balances", f"/clients/{buyer}/positions"
    before = [
        {"asset": "T", "balance": "2", "closing": "0", "cycle": None, "due": "0"},
        {"asset": "USD", "balance": "-200", "closing": "0", "cycle": None, "due": "0"},
    ]
    assert (await api("GET", path)).body == before
    cycle = (await settle(api, str(uuid4()))).body["cycle"]
    owed = [row | {"closing": row["balance"], "cycle": cycle, "due": row["balance"]} for row in before]
    assert (await api("GET", path)).body == owed
    due = (await api("GET", f"/settlements/{cycle}/instructions?client_id={buyer}")).body["instructions"]
    decide = f"/settlements/{cycle}/instructions/{due[0]['instruction']}"
    assert (await api("POST", decide, {"state": "failed"}, headers=PATIENT)).body["state"] == "failed"
    assert (await api("GET", path)).body == owed
    await api("POST", f"/trades/{market}-1/bust", {"reason": "an error"}, headers=PATIENT)
    busted = [row | {"balance": "0"} for row in owed]
    await until(lambda: api("GET", path), lambda found: found.body == busted)

    assert (await api("GET", held)).body == []
    (position,) = (await api("GET", f"{held}?cycle={cycle}")).body
    assert (position["instrument"], position["quantity"]) == (market, "2")
    assert (await api("GET", f"{held}?cycle={cycle}&instrument=NO-SUCH")).body == []
    if cycle > 1:
        assert (await api("GET", f"{held}?cycle={cycle - 1}")).body == []


async def test_a_client_sees_its_own_fees_and_legs_only(
    api: Api, ann: Api, bob: Api, admin: Api, market: str, venue: Venue
) -> None:
    """On trades, in the journal and in balances; memory and Postgres say the same of a trade."""
    shown = await fees(api, market)
    assert [(row.get("buyer_fee"), row.get("seller_fee")) for row in shown] == [
        ("0.20000000", "-0.02000000"),
        ("0.20000000", "-0.02000000"),
    ]
    assert [("busted_at" in row) for row in shown] == [False, True]
    history = History(venue.servers.database_url)
    recorded = (await history.trades(instrument=market)).rows
    await history.close()
    assert [as_seen(ANYBODY, row) for row in recorded] == shown

    path = f"/trades?instrument={market}"
    assert (await admin("GET", path)).body == shown
    own = [
        {name: value for name, value in row.items() if name != hidden}
        for row, hidden in zip(shown, ("seller_fee", "buyer_fee"), strict=True)
    ]
    assert (await ann("GET", path)).body == own
    assert (await bob("GET", path)).body == [public(row) for row in shown]

    journal = f"/journal?instrument={market}"
    entries = (await ann("GET", journal)).body["entries"]
    assert len(entries) == 3 and {leg["account"] for entry in entries for leg in entry["legs"]} == {"ann"}
    assert entries == (await admin("GET", f"{journal}&client_id=ann")).body["entries"]
    assert (await bob("GET", journal)).body == {"entries": [], "next_cursor": None}
    assert (await bob("GET", f"{journal}&client_id=ann")).status == 403
    for what in ("balances", "positions"):
        assert (await ann("GET", f"/clients/ann/{what}")).status == 200
        assert (await bob("GET", f"/clients/ann/{what}")).body["code"] == "unknown_client"


async def test_a_client_sees_its_own_only(api: Api, ann: Api, bob: Api, admin: Api, market: str) -> None:
    """Closing and deciding is the admin's; another client's statement is not found, its rows are refused."""
    await trade(api, market, "ann", "carl")
    assert (await ann("POST", "/settlements")).status == 403
    cycle = (await settle(admin, str(uuid4()))).body["cycle"]
    everybody = (await admin("GET", f"/settlements/{cycle}/obligations")).body["obligations"]
    assert {"ann", "carl"} <= {row["client_id"] for row in everybody}
    for what in ("obligations", "instructions"):
        rows = (await ann("GET", f"/settlements/{cycle}/{what}")).body[what]
        assert rows and {row["client_id"] for row in rows} == {"ann"}
        assert (await bob("GET", f"/settlements/{cycle}/{what}?client_id=ann")).status == 403
    assert (await bob("GET", f"/settlements/{cycle}")).status == 200
    assert (await bob("POST", f"/settlements/{cycle}/instructions/1", {"state": "failed"})).status == 403
    assert (await ann("GET", f"/clients/ann/statements/{cycle}")).status == 200
    assert (await admin("GET", f"/clients/ann/statements/{cycle}")).status == 200
    assert (await bob("GET", f"/clients/ann/statements/{cycle}")).body["code"] == "unknown_statement"
    assert (await ann("GET", "/clients/ann/positions")).status == 200
    assert (await bob("GET", "/clients/ann/positions")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/settlements", {"cutoff_time": "2999-01-01T00:00:00Z"}, "invalid_value"),
        ("POST", "/settlements", {"cutoff": "now"}, "malformed_request"),
        ("POST", "/settlements?dry_run=yes", None, "malformed_request"),
        ("POST", "/settlements?dry_run=true", {"cutoff_time": "2020-01-01T00:00:00Z"}, "invalid_value"),
        ("GET", "/settlements/999999", None, "unknown_cycle"),
        ("GET", "/settlements/one", None, "malformed_request"),
        ("GET", "/settlements/999999/obligations", None, "unknown_cycle"),
        ("GET", "/clients/nobody/statements/1", None, "unknown_statement"),
        ("GET", "/clients/nobody/positions?as_of_seq=3", None, "malformed_request"),
        ("GET", "/clients/nobody/positions?instrument=A&as_of_seq=3&cycle=1", None, "malformed_request"),
        ("GET", "/clients/nobody/positions?cycle=999999", None, "unknown_cycle"),
        ("GET", "/clients/nobody/balances?instrument=A", None, "malformed_request"),
        ("GET", "/journal", None, "malformed_request"),
        ("GET", "/journal?instrument=NO-SUCH", None, "unknown_instrument"),
        ("GET", "/journal?instrument=BTC-USD&from_seq=0", None, "malformed_request"),
        ("GET", "/journal?instrument=BTC-USD&cursor=1", None, "malformed_request"),
        ("GET", "/journal?instrument=BTC-USD&cursor=1,-1", None, "malformed_request"),
    ],
)
async def test_what_cannot_be_done_is_a_problem(
    method: str, path: str, body: dict[str, str] | None, code: str, api: Api
) -> None:
    """With the word to decide by."""
    assert (await api(method, path, body)).body["code"] == code
