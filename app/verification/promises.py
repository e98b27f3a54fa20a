"""What clients were told against what the topics say (O5): the ledger of requests and the effective reports."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from app.models.decimals import InvalidDecimal, units
from app.models.reports import ExecutionReport, OrderChange
from app.verification.ledger import Entry, Outcome, said_by


class Promises:
    """What the effective reports have to say about the ledger's orders, and then the judgement."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = list(entries)
        self._asked = {entry.request.order_id for entry in self._entries}
        self._made: dict[str, list[OrderChange]] = defaultdict(list)
        self._canceled: set[str] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def hear(self, report: ExecutionReport) -> None:
        """The next effective report."""
        for order in report.orders:
            if order.terms is not None and order.order_id in self._asked:
                self._made[order.order_id].append(order)
        if report.command == "cancel" and report.outcome.value == "accepted" and report.order_id in self._asked:
            self._canceled.add(report.order_id or "")

    def end(self) -> Iterator[str]:
        """Each broken one: lost, refused and carried out, made twice, made differently, answered wrongly."""
        made = self._made
        for order_id, orders in made.items():
            if len(orders) > 1:
                yield f"order {order_id} was made {len(orders)} times"
        asked: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._entries:
            yield from _answer(entry)
            about = entry.request.order_id
            if about and entry.request.places:
                asked[about].append(entry)
            elif about and entry.status == 200 and about not in self._canceled:
                yield f"200 for the cancel of {about}, and no report has canceled it"
        for order_id, attempts in asked.items():
            yield from _order(order_id, attempts, made.get(order_id, []))


def _answer(entry: Entry) -> Iterator[str]:
    """What is wrong whatever the topics say."""
    if entry.request.must_refuse and entry.outcome is Outcome.OK:
        yield f"{entry.status} for a request that must be refused: {entry.request.body[:120]!r}"
    if entry.request.places and entry.outcome is Outcome.OK and entry.answered_id != entry.request.order_id:
        yield f"{entry.status} for order {entry.request.order_id} names {entry.answered_id}"


def _order(order_id: str, attempts: list[Entry], made: list[OrderChange]) -> Iterator[str]:
    outcomes = {entry.outcome for entry in attempts}
    if Outcome.OK in outcomes and not made:
        status = next(entry.status for entry in attempts if entry.outcome is Outcome.OK)
        yield f"{status} for order {order_id}, and no report has it"
    if outcomes == {Outcome.REFUSED} and made:
        yield f"{attempts[0].status} for order {order_id}, and it was made"
    possible = [entry for entry in attempts if entry.outcome is not Outcome.REFUSED]
    if made and possible and not any(_is_as_asked(entry, made[0]) for entry in possible):
        yield f"order {order_id} is {_shown(made[0])}, asked for {possible[0].request.body[:200]!r}"


def _is_as_asked(entry: Entry, order: OrderChange) -> bool:
    try:
        said = said_by(entry.request)
        price = said.get("price")
        return order.terms is not None and (
            said["client_id"] == order.client_id
            and entry.request.key == order.terms.client_order_id
            and said["side"].lower() == order.terms.side.value
            and said["type"].lower() == order.terms.type.value
            and units(said["quantity"]) == units(order.quantity)
            and (price is None or order.price is None or units(price) == units(order.price))
        )
    except (ValueError, KeyError, InvalidDecimal):
        return False


def _shown(order: OrderChange) -> str:
    assert order.terms is not None
    return f"{order.client_id} {order.terms.side.value} {order.terms.type.value} {order.quantity} at {order.price}"
