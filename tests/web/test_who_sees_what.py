"""Who may see what: role, call and the state of an order in one table; `-s` prints what was answered.

What belongs to another client is answered word for word as what never was.
"""

import re
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
import pytest

from app.models.api_keys import KeyRole
from tests.until import until
from tests.web.conftest import PATIENT, Answer, Api, Keys, list_market

OWNER = "owner"
STATES = ("new", "partially_filled", "filled", "canceled", "rejected", "unknown")
ALL_SEE = "200 200 200 200 200 404"
NOBODY = "404 404 404 404 404 404"
CHANGED = "200 200 409 409 409 404"
REFUSED = "403 403 403 403 403 403"
LISTED = "200+ 200+ 200+ 200+ 200+ 200-"
HIDDEN = "200- 200- 200- 200- 200- 200-"
EVERYTIME = "200 200 200 200 200 200"
ANONYMOUS = "401 401 401 401 401 401"
# What each role is answered, by the state of the order: 200+ shows the order, 200- does not.
TABLE = {
    "no key": dict.fromkeys(
        (
            *(
                "get",
                "get by key",
                "events",
                "cancel",
                "delete",
                "amend",
                "cancel twice",
                "amend twice",
                "cancel named",
            ),
            *("list", "list of owner", "mass cancel", "mass cancel of owner", "snapshots", "trades", "batch for owner"),
            *("journal", "journal of owner", "balances", "positions"),
        ),
        ANONYMOUS,
    ),
    "viewer, own": {
        **dict.fromkeys(("get", "get by key", "events"), ALL_SEE),
        **dict.fromkeys(("list", "list of owner"), LISTED),
        **dict.fromkeys(("snapshots", "trades"), HIDDEN),
        **dict.fromkeys(("cancel", "delete", "amend", "cancel twice", "amend twice", "cancel named"), REFUSED),
        **dict.fromkeys(("mass cancel", "mass cancel of owner", "batch for owner"), REFUSED),
        **dict.fromkeys(("journal", "journal of owner"), EVERYTIME),
        **dict.fromkeys(("balances", "positions"), HIDDEN),
    },
    "viewer, other": {
        **dict.fromkeys(("get", "get by key", "events"), NOBODY),
        **dict.fromkeys(("list", "snapshots", "trades"), HIDDEN),
        **dict.fromkeys(("cancel", "delete", "amend", "cancel twice", "amend twice", "cancel named"), REFUSED),
        **dict.fromkeys(("list of owner", "mass cancel", "mass cancel of owner", "batch for owner"), REFUSED),
        **dict.fromkeys(("balances", "positions"), NOBODY),
        "journal": EVERYTIME,
        "journal of owner": REFUSED,
    },
    "trader, other": {
        **dict.fromkeys(("get", "get by key", "events"), NOBODY),
        **dict.fromkeys(("cancel", "delete", "amend", "cancel twice", "amend twice"), NOBODY),
        **dict.fromkeys(("list", "mass cancel", "snapshots", "trades"), HIDDEN),
        **dict.fromkeys(("list of owner", "mass cancel of owner", "cancel named"), REFUSED),
        "used key": "422 422 422 422 422 422",
        **dict.fromkeys(("balances", "positions"), NOBODY),
        "journal": EVERYTIME,
        "journal of owner": REFUSED,
        "batch for owner": HIDDEN,
    },
    "trader, own": {
        **dict.fromkeys(("get", "get by key", "events"), ALL_SEE),
        **dict.fromkeys(("cancel", "delete", "amend", "cancel twice", "cancel named"), CHANGED),
        **dict.fromkeys(("list", "list of owner"), LISTED),
        **dict.fromkeys(("mass cancel", "mass cancel of owner"), "200+ 200+ 200- 200- 200- 200-"),
        **dict.fromkeys(("snapshots", "trades"), HIDDEN),
    },
    "admin": {
        **dict.fromkeys(("get", "get by key", "events"), ALL_SEE),
        **dict.fromkeys(("cancel", "delete", "amend", "cancel twice", "cancel named"), CHANGED),
        **dict.fromkeys(("list", "list of owner"), LISTED),
        "mass cancel": "400 400 400 400 400 400",
        "mass cancel of owner": "200+ 200+ 200- 200- 200- 200-",
        **dict.fromkeys(("snapshots", "trades"), HIDDEN),
        "cancel for other": NOBODY,
        **dict.fromkeys(("journal", "journal of owner"), EVERYTIME),
        **dict.fromkeys(("balances", "positions"), HIDDEN),
    },
}
CHANGING = {"cancel", "delete", "amend", "cancel twice", "cancel named", "mass cancel", "mass cancel of owner"}
CELLS = [(role, call) for role, calls in TABLE.items() for call in calls]


class Target(NamedTuple):
    """An order of the owner, or an id and a key that no order has."""

    order_id: str
    key: str


class Market:
    """A market, its owner with orders in every state, and everybody who asks for them."""

    def __init__(self, name: str, roles: dict[str, Api], carl: Api) -> None:
        self.name, self.roles, self.carl = name, roles, carl
        self.owner = roles["trader, own"]
        self._prices = count(1_000_000, -1)  # each sell is the cheapest, so that the next buy meets it

    async def make(self, state: str) -> Target:
        """An iceberg of the owner in this state, known to Postgres too."""
        key, price = str(uuid4()), f"{next(self._prices) / 100:.2f}"
        terms = {"instrument": self.name, "client_id": None, "side": "sell", "price": price}
        if state == "rejected":
            placed = await self.owner.place(key, **terms | {"price": "0.01"}, quantity="2", post_only=True)
        else:
            placed = await self.owner.place(key, **terms, quantity="2", display_quantity="0.5")
        order_id = placed.body["order_id"]
        if state == "unknown":
            return Target(order_id[:-12] + uuid4().hex[:12], str(uuid4()))
        for quantity in {"partially_filled": ["1"], "filled": ["2"]}.get(state, []):
            await self.carl.place(instrument=self.name, client_id=None, price=price, quantity=quantity)
        if state == "canceled":
            await self.owner("DELETE", f"/orders/{order_id}")
        path = f"/orders/{order_id}"
        await until(
            lambda: self.owner("GET", path), lambda found: found.status == 200 and found.body["status"] == state
        )
        await until(lambda: self.owner("GET", f"{path}/events"), lambda found: bool(found.body))
        return Target(order_id, key)

    async def ask(self, api: Api, call: str, target: Target) -> Answer:
        """Make this call about the order."""
        path, fresh = f"/orders/{target.order_id}", {"Idempotency-Key": str(uuid4())}
        of_market = f"instrument={self.name}"
        if call.endswith("twice"):
            change: tuple[Any, ...] = ("PATCH", path, {"quantity": "1.5"})
            if call.startswith("cancel"):
                change = ("POST", f"{path}/cancel", None)
            first, again = [await api(*change, headers=fresh) for _ in range(2)]
            assert (first.status, first.body) == (again.status, again.body)
            return again
        if call == "used key":
            await api("DELETE", f"/orders/{target.order_id[:-12]}000000000000", headers=fresh)
            return await api("DELETE", path, headers=fresh)
        method, where, body = {
            "get": ("GET", path, None),
            "get by key": ("GET", f"/orders/by-client-id/{OWNER}/{self.name}/{target.key}", None),
            "events": ("GET", f"{path}/events", None),
            "cancel": ("POST", f"{path}/cancel", None),
            "cancel named": ("POST", f"{path}/cancel?client_id={OWNER}", {"client_id": OWNER}),
            "cancel for other": ("POST", f"{path}/cancel?client_id=bob", None),
            "delete": ("DELETE", path, None),
            "amend": ("PATCH", path, {"quantity": "1.5"}),
            "list": ("GET", f"/orders?{of_market}&limit=1000", None),
            "list of owner": ("GET", f"/orders?{of_market}&limit=1000&client_id={OWNER}", None),
            "mass cancel": ("DELETE", f"/orders?{of_market}", None),
            "mass cancel of owner": ("DELETE", f"/orders?{of_market}&client_id={OWNER}", None),
            "snapshots": ("GET", f"/snapshots?{of_market}&limit=100", None),
            "trades": ("GET", f"/trades?{of_market}&limit=1000", None),
            "journal": ("GET", f"/journal?{of_market}&limit=1000", None),
            "journal of owner": ("GET", f"/journal?{of_market}&client_id={OWNER}", None),
            "balances": ("GET", f"/clients/{OWNER}/balances", None),
            "positions": ("GET", f"/clients/{OWNER}/positions", None),
            "batch for owner": ("POST", "/orders/batch", {"orders": [self._copy(target)]}),
        }[call]
        return await api(method, where, body, headers=fresh if method != "GET" and call != "batch for owner" else {})

    def _copy(self, target: Target) -> dict[str, Any]:
        terms = {"instrument": self.name, "side": "sell", "type": "limit", "price": "9", "quantity": "1"}
        return terms | {"client_id": OWNER, "client_order_id": target.key}


@pytest.fixture(scope="module")
async def roles(keys: Keys, gate: Api, admin: Api) -> dict[str, Api]:
    """The gateway as each role sees it."""
    return {
        "no key": gate,
        "viewer, own": (await keys.make(OWNER, KeyRole.VIEWER))[0],
        "viewer, other": (await keys.make("bob", KeyRole.VIEWER))[0],
        "trader, other": (await keys.make("bob", KeyRole.TRADER))[0],
        "trader, own": (await keys.make(OWNER, KeyRole.TRADER))[0],
        "admin": admin,
    }


async def new_market(roles: dict[str, Api], carl: Api) -> Market:
    """One with a resting bid, which post-only sells would take."""
    market = Market(await list_market(roles["admin"]), roles, carl)
    await carl.place(instrument=market.name, client_id=None, price="0.01", quantity="1")
    return market


@pytest.fixture(scope="module")
async def carl(keys: Keys) -> Api:
    """The one who trades with the owner."""
    return (await keys.make("carl", KeyRole.TRADER))[0]


@pytest.fixture(scope="module")
async def market(roles: dict[str, Api], carl: Api) -> Market:
    """The market whose orders nobody may change."""
    return await new_market(roles, carl)


@pytest.fixture(scope="module")
async def sandbox(roles: dict[str, Api], carl: Api) -> Market:
    """The market for changes that are allowed."""
    return await new_market(roles, carl)


@pytest.fixture(scope="module")
async def targets(market: Market, admin: Api) -> dict[str, Target]:
    """An order in each state, which nobody's refused call may change, and a snapshot of the book with them."""
    made = {state: await market.make(state) for state in STATES}
    await until(
        lambda: admin("POST", f"/snapshots?instrument={market.name}", headers=PATIENT),
        lambda found: found.status == 200,
    )
    return made


@pytest.fixture(scope="module")
def printed() -> Iterator[dict[tuple[str, str], list[str]]]:
    """The table as it was answered, printed at the end."""
    rows: dict[tuple[str, str], list[str]] = {}
    yield rows
    print(f"\n{'':36}" + "".join(f"{state:18}" for state in STATES))
    for (role, call), answers in rows.items():
        print(f"{role:14}{call:22}" + "".join(f"{answer:18}" for answer in answers))


def seen(answer: Answer, target: Target) -> str:
    """Status, and for lists whether the order is shown; nobody else ever sees what is the owner's."""
    text = orjson.dumps(answer.body).decode()
    if answer.status == 200 and isinstance(answer.body, list):
        return "200+" if any(row.get("order_id") == target.order_id for row in answer.body) else "200-"
    if answer.status == 200 and "results" in answer.body:
        return "200+" if target.order_id in text else "200-"
    return str(answer.status)


@pytest.mark.parametrize(("role", "call"), CELLS, ids=lambda said: said.replace(" ", "-"))
async def test_what_a_role_is_answered(
    market: Market,
    sandbox: Market,
    targets: dict[str, Target],
    printed: dict[tuple[str, str], list[str]],
    role: str,
    call: str,
) -> None:
    """By the state of the order, as the table says; for another client's orders always the words for unknown ones."""
    api, wanted = market.roles[role], TABLE[role][call].split()
    changes = call in CHANGING and wanted[0].startswith("200") and role in ("trader, own", "admin")
    answers, bodies = [], []
    for state in STATES:
        target = await sandbox.make(state) if changes else targets[state]
        answer = await (sandbox if changes else market).ask(api, call, target)
        is_event = call == "events" and answer.status == 200
        answers.append(str(answer.status) if is_event else seen(answer, target))
        text = orjson.dumps(answer.body).decode()
        # Each mass cancel is a report of its own, with the next seq.
        bodies.append(re.sub(r'"seq":\d+', '"seq":N', text).replace(target.order_id, "ID").replace(target.key, "KEY"))
        if role not in ("viewer, own", "trader, own", "admin"):
            for asked in (f"by-client-id/{OWNER}/", f" of {OWNER} ", f"/clients/{OWNER}/", f' of {OWNER}"'):
                text = text.replace(asked, "")
            assert OWNER not in text, text
    printed[role, call] = answers

    assert answers == wanted
    if (role.endswith("other") and call != "trades") or role == "no key" or call == "cancel for other":
        assert set(bodies) == {bodies[-1]}


async def test_nobodys_refused_call_has_changed_anything(market: Market, targets: dict[str, Target]) -> None:
    """After the whole table the shared orders are as they were made."""
    owner = market.owner
    states = [(await owner("GET", f"/orders/{targets[state].order_id}")).body["status"] for state in STATES]
    assert states == [*STATES[:-1], 404]
