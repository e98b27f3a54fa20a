"""A repeat gets the first answer: every call that changes something, by what it did the first time.

`pytest -s` prints the table.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from app.local.venue import Venue
from tests.until import until_done
from tests.web.conftest import PATIENT, Answer, Api, list_market
from web.market import log

PARTITIONS = 8

Repeat = Callable[[], Awaitable[Answer]]


class Stage(NamedTuple):
    """A market with an open and a finished order in it, and an instrument name that nobody has listed."""

    api: Api
    market: str
    open: str
    done: str

    async def ask(self, method: str, path: str, body: Any = None) -> Repeat:
        """The same request under one key, as often as it is called."""
        key = {"Idempotency-Key": str(uuid4())} | (PATIENT if "wait" in path else {})
        path = path.format(**self._asdict(), unknown=f"{self.open[:8]}-0000-8000-8000-000000000000")
        return lambda: self.api(method, path, body, headers=key)

    async def disturb(self) -> None:
        """Change all that a repeat might look at: the open order, the market's status, its rules and its seq."""
        await self.api("POST", f"/instruments/{self.market}/resume")
        await self.api.place(instrument=self.market, side="sell", price="100.00", quantity="0.1", client_id="taker")
        await self.api("POST", f"/instruments/{self.market}/halt")
        await self.api("DELETE", f"/orders?client_id=ann&instrument={self.market}")
        await self.api("POST", f"/instruments/{self.market}/resume")


def order(**terms: Any) -> dict[str, Any]:
    """An order for the market of the stage, which fills it in."""
    return {"client_id": "ann", "side": "buy", "type": "limit", "price": "100.00", "quantity": "1"} | terms


def listing(**rules: Any) -> dict[str, Any]:
    return {"base_asset": "T", "quote_asset": "USD", "tick_size": "0.01", "lot_size": "0.0001"} | rules


# Call, what became of it the first time -> method, path, body, status.
CASES: dict[tuple[str, str], tuple[str, str, dict[str, Any] | None, int]] = {
    ("place", "accepted"): ("POST", "/orders", order(), 201),
    ("place, wait", "rests"): ("POST", "/orders?wait=matched", order(price="90"), 201),
    ("place, wait", "rests, filled since"): ("POST", "/orders?wait=matched", order(), 201),
    ("place, wait", "filled"): ("POST", "/orders?wait=matched", order(price="150"), 201),
    ("place, wait", "refused"): ("POST", "/orders?wait=matched", order(price="150", post_only=True), 422),
    ("place", "malformed"): ("POST", "/orders", order(quantity="0.00001"), 422),
    ("cancel", "done"): ("POST", "/orders/{open}/cancel", None, 200),
    ("cancel", "finished order"): ("POST", "/orders/{done}/cancel", None, 409),
    ("cancel", "unknown order"): ("POST", "/orders/{unknown}/cancel", None, 404),
    ("cancel", "another client's"): ("POST", "/orders/{open}/cancel", {"client_id": "bob"}, 404),
    ("DELETE", "done"): ("DELETE", "/orders/{open}", None, 200),
    ("DELETE", "finished order"): ("DELETE", "/orders/{done}", None, 409),
    ("DELETE", "unknown order"): ("DELETE", "/orders/{unknown}", None, 404),
    ("amend", "done"): ("PATCH", "/orders/{open}", {"price": "99.00"}, 200),
    ("amend", "refused"): ("PATCH", "/orders/{open}", {"price": "99.001"}, 422),
    ("amend", "finished order"): ("PATCH", "/orders/{done}", {"price": "99.00"}, 409),
    ("amend", "unknown order"): ("PATCH", "/orders/{unknown}", {"price": "99.00"}, 404),
    ("mass cancel", "some"): ("DELETE", "/orders?client_id=ann&instrument={market}", None, 200),
    ("mass cancel", "none"): ("DELETE", "/orders?client_id=nobody&instrument={market}", None, 200),
    ("list", "done"): ("POST", "/instruments", listing(max_fills=7), 201),
    ("list", "refused"): ("POST", "/instruments", listing(tick_size="0.05"), 422),
    ("halt", "done"): ("POST", "/instruments/{market}/halt", None, 200),
    ("resume", "done"): ("POST", "/instruments/{market}/resume", None, 200),
    ("snapshot", "done"): ("POST", "/snapshots?instrument={market}", None, 200),
}


@pytest.fixture
async def stage(api: Api) -> Stage:
    market = await list_market(api)
    done = await api.place(instrument=market)
    await api("DELETE", f"/orders/{done.body['order_id']}")
    await api.place(instrument=market, side="sell", price="150.00", client_id="maker", quantity="5")
    rests = await api.place(instrument=market)
    return Stage(api, market, rests.body["order_id"], done.body["order_id"])


@pytest.fixture(scope="module")
def table() -> AsyncIterator[list[str]]:
    rows: list[str] = []
    yield rows
    print("\n" + "\n".join([f"{'call':14} {'first outcome':22} first  repeat  body", *rows]))


@pytest.mark.parametrize(("call", "outcome"), CASES)
async def test_a_repeat_gets_the_first_answer(stage: Stage, table: list[str], call: str, outcome: str) -> None:
    """At once, and after everything else about the market has changed."""
    method, path, body, status = CASES[call, outcome]
    if body is not None and ("side" in body or "tick_size" in body):
        body = body | {"instrument": stage.market}
    repeat = await stage.ask(method, path, body)
    first = await until_done(repeat)
    again = await repeat()
    await stage.disturb()
    late = await repeat()

    same = all((found.status, found.body) == (first.status, first.body) for found in (again, late))
    statuses = f"{again.status}" if again.status == late.status else f"{again.status}/{late.status}"
    table.append(f"{call:14} {outcome:22} {first.status:5}  {statuses:6}  {'same' if same else 'differs'}")
    assert first.status == status, first
    for found in (again, late):
        assert (found.status, found.body) == (first.status, first.body)


@pytest.mark.parametrize("call", ["batch"])
async def test_a_batch_repeated_gets_the_first_answer(stage: Stage, call: str) -> None:
    """Each order its own: accepted, refused by the gateway, its key used for another order."""
    one = order(instrument=stage.market, client_order_id=str(uuid4()))
    batch = {"orders": [one, one | {"quantity": "-1"}, one | {"quantity": "3"}, one]}
    answers = [await stage.api("POST", "/orders/batch", batch)]
    await stage.disturb()
    answers.append(await stage.api("POST", "/orders/batch", batch))

    assert [result["status"] for result in answers[0].body["results"]] == [201, 422, 422, 201]
    assert answers[0].body == answers[1].body


async def test_a_key_used_for_another_command_is_refused(stage: Stage) -> None:
    """Of every call, and nothing is done."""
    key = {"Idempotency-Key": str(uuid4())}
    halted = await until_done(lambda: stage.api("POST", f"/instruments/{stage.market}/halt", headers=key))
    others = [
        await stage.api("POST", f"/instruments/{stage.market}/resume", headers=key),
        await stage.api("POST", f"/snapshots?instrument={stage.market}", headers=key),
        await stage.api("POST", "/instruments", listing(instrument=stage.market, max_fills=9), headers=key),
    ]
    swept = {"Idempotency-Key": str(uuid4())}
    sweep = f"/orders?client_id=ann&instrument={stage.market}"
    assert (await stage.api("DELETE", f"{sweep}&side=sell", headers=swept)).status == 200
    others.append(await stage.api("DELETE", sweep, headers=swept))

    assert halted.status == 200
    assert [(found.status, found.body["code"]) for found in others] == [(422, "duplicate_order")] * 4
    assert (await stage.api("GET", f"/orders/{stage.open}")).body["status"] == "new"


async def test_any_report_is_found_in_the_log(
    venue: Venue, api: Api, market: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By halves, among the reports of other markets; what is not there is not found."""
    monkeypatch.setattr(log, "STEP", 2)
    placed = [await api.place(instrument=name) for _ in range(10) for name in (market, "BTC-USD", "ETH-USD", "LTC-USD")]
    last = max(answer.body["seq"] for answer in placed if answer.body["instrument"] == market)
    reader = log.LogReader(venue.servers.broker, PARTITIONS)
    try:
        for seq in range(1, last + 1):
            (report,) = await reader.report(market, seq)
            assert (report.instrument, report.seq) == (market, seq)
        with pytest.raises(log.Unreadable, match="has no report"):
            await reader.report(market, last + 1)
        with pytest.raises(log.Unreadable, match="has no report"):
            await reader.report("NO-SUCH", 1)
    finally:
        await reader.close()
