"""Compares the answers that clients got (the ledger of requests) with the effective reports in the topics (O5)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qs, urlsplit

import msgspec

from app.matching.words import Reason
from app.models import identity
from app.models.decimals import units
from app.models.http import decimal_text, decode_place, milliseconds
from app.models.reports import ExecutionReport, OrderChange
from app.verification.ledger import Entry, Outcome, Request, body_of, order_name

_DECIMALS = ("quantity", "price", "stop_price", "display_quantity")
CANCELED = (200, 202)  # 200: canceled; 202: the cancel is durable, but the engine has not answered yet


class Promises:
    """Collects what the effective reports say about the ledger's orders, and then judges the answers."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = list(entries)
        self._asked = {entry.request.about for entry in self._entries if entry.request.places}
        self._made: dict[str, list[OrderChange]] = defaultdict(list)
        """Order name -> its first states in reports; not by id, because only the venue can compute ids."""
        self._refused_repeats: Counter[str] = Counter()
        """Order id -> how often the engine refused a different order under the same key."""
        self._for_nothing = 0
        self._canceled: set[str] = set()
        self._cancels: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._entries:
            if entry.request.order_id and not entry.request.places:
                self._cancels[entry.request.order_id].append(entry)
        self._carried_out: set[tuple[str, str | None]] = set()
        """Order id and idempotency key of the ledger's cancels that the engine has accepted."""

    def __len__(self) -> int:
        return len(self._entries)

    def hear(self, report: ExecutionReport) -> None:
        """Take in the next effective report."""
        for order in report.orders:
            if order.terms is not None:
                name = order_name(order.client_id, report.instrument, order.terms.client_order_id)
                if name in self._asked:
                    self._made[name].append(order)
        if report.command == "place" and report.reason is Reason.DUPLICATE_ORDER:
            self._refused_repeats[report.order_id or ""] += 1
        if report.command == "cancel" and report.outcome.value == "accepted" and report.order_id in self._cancels:
            self._canceled.add(report.order_id or "")
            for entry in self._cancels[report.order_id or ""]:
                if report.command_id == _command_id(entry, report.instrument):
                    self._carried_out.add((report.order_id or "", entry.request.key))

    def end(self) -> Iterator[str]:
        """Each broken promise: an order lost, refused but carried out, made twice or differently, or a wrong answer."""
        made = self._made
        for name, orders in made.items():
            if len(orders) > 1:
                yield f"the order {name} was made {len(orders)} times"
        asked: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._entries:
            yield from _answer(entry)
            about = entry.request.order_id
            if entry.request.places and entry.request.about:
                asked[entry.request.about].append(entry)
            elif about and entry.status == 200 and about not in self._canceled:
                yield f"200 for the cancel of {about}, but no report has canceled it"
            elif about and entry.outcome is Outcome.OK and entry.status not in CANCELED:
                yield f"{entry.status} for the cancel of {about}"
        yield from self._refused_cancels()
        for name, attempts in asked.items():
            yield from _order(name, attempts, made.get(name, []))
            yield from self._others(name, attempts, made.get(name, []))

    @property
    def note(self) -> str | None:
        """How many 201s a gateway gave for orders that only the engine could refuse; None if it gave none."""
        if not self._for_nothing:
            return None
        return f"{self._for_nothing} x 201 for an order that the engine then refused: another order had its key"

    def _others(self, name: str, attempts: list[Entry], made: list[OrderChange]) -> Iterator[str]:
        """Each 201 for a different order under a used key, unless a gateway left it to the engine, which refused it."""
        if not made or len(attempts) == 1:
            return
        accepted = [entry for entry in attempts if entry.outcome is Outcome.OK]
        others = [entry for entry in accepted if not _is_as_asked(entry, made[0])]
        if len(others) == len([entry for entry in attempts if entry.outcome is not Outcome.REFUSED]):
            return  # `_order` has already reported that the order itself is not as requested
        known = min(len(others), self._refused_repeats[made[0].order_id])
        self._for_nothing += known
        for entry in others[known:]:
            yield f"{entry.status} for another order under the key of {name}, but the engine never refused it"

    def _refused_cancels(self) -> Iterator[str]:
        """Each cancel whose every attempt was refused, but that the engine accepted."""
        for order_id, entries in self._cancels.items():
            by_key: dict[str | None, list[Entry]] = defaultdict(list)
            for entry in entries:
                by_key[entry.request.key].append(entry)
            for key, attempts in by_key.items():
                outcomes = {entry.outcome for entry in attempts}
                if outcomes == {Outcome.REFUSED} and (order_id, key) in self._carried_out:
                    yield f"{attempts[0].status} for the cancel of {order_id} under the key {key}, but a report has it"


def _command_id(entry: Entry, instrument: str) -> str | None:
    """The id of this cancel in reports; None if the ledger does not know its key."""
    if entry.request.key is None:
        return None
    return identity.id_text(identity.command_id(_client_of(entry.request), instrument, entry.request.key))


def _client_of(request: Request) -> str | None:
    """The client that a cancel names in its query or body; None for an operator's cancel."""
    named = parse_qs(urlsplit(request.path).query).get("client_id")
    if named or not request.body:
        return named[0] if named else None
    try:
        client_id = body_of(request).get("client_id")
    except (ValueError, AttributeError):
        return None
    return client_id if isinstance(client_id, str) else None


def _answer(entry: Entry) -> Iterator[str]:
    """What is wrong with an entry in itself, without looking at the topics."""
    if (entry.outcome is Outcome.OK) != (entry.status is not None and 200 <= entry.status < 300):
        yield f"the ledger has {entry.status} for {entry.request.key} as {entry.outcome}"
    if entry.request.must_refuse and entry.outcome is Outcome.OK:
        yield f"{entry.status} for a request that must be refused: {entry.request.body[:120]!r}"
    if entry.request.places and entry.outcome is Outcome.OK and entry.answered_id is None:
        yield f"{entry.status} for the order {entry.request.about}, but the answer has no order id"


def _order(name: str, attempts: list[Entry], made: list[OrderChange]) -> Iterator[str]:
    outcomes = {entry.outcome for entry in attempts}
    if Outcome.OK in outcomes and not made:
        status = next(entry.status for entry in attempts if entry.outcome is Outcome.OK)
        yield f"{status} for the order {name}, but no report has it"
    if outcomes == {Outcome.REFUSED} and made:
        yield f"{attempts[0].status} for the order {name}, but it was made"
    for entry in attempts:
        if made and entry.outcome is Outcome.OK and entry.answered_id not in (None, made[0].order_id):
            yield f"{entry.status} for the order {name} names {entry.answered_id}, but its id is {made[0].order_id}"
    possible = [entry for entry in attempts if entry.outcome is not Outcome.REFUSED]
    if made and possible and not any(_is_as_asked(entry, made[0]) for entry in possible):
        yield f"the order {name} is {_shown(made[0])}, but the request was {possible[0].request.body[:200]!r}"


def _is_as_asked(entry: Entry, order: OrderChange) -> bool:
    terms = order.terms
    try:
        requested = decode_place(entry.request.body)
        asked = {name: decimal_text(name, getattr(requested, name)) for name in _DECIMALS}
        return terms is not None and (
            requested.client_id == order.client_id
            and entry.request.key == terms.client_order_id
            and requested.side.lower() == terms.side.value
            and requested.type.lower() == terms.type.value
            and (requested.time_in_force or "GTC").upper() == terms.time_in_force.value
            and requested.post_only == terms.post_only
            and (requested.self_trade_prevention or "").lower() == (terms.self_trade_prevention or "")
            and milliseconds(requested.expire_time) == terms.expire_time
            and _units(asked["quantity"]) == _units(order.quantity)
            # A market order's price is ignored, and a refused price is not reported.
            and (asked["price"] is None or order.price is None or _units(asked["price"]) == _units(order.price))
            and (terms.stop_price is None or _units(asked["stop_price"]) == _units(terms.stop_price))
            and (terms.display_quantity is None or _units(asked["display_quantity"]) == _units(terms.display_quantity))
        )
    except (msgspec.MsgspecError, ValueError):
        return False


def _units(decimal: str | None) -> int | None:
    return None if decimal is None else units(decimal)


def _shown(order: OrderChange) -> str:
    assert order.terms is not None
    return f"{order.client_id} {order.terms.side.value} {order.terms.type.value} {order.quantity} at {order.price}"
