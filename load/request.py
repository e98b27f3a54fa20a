"""One HTTP request to the venue as plain data: what is sent, and which order an acceptance would be about."""

from collections.abc import Mapping
from typing import NamedTuple

from app.models import identity
from app.verification.ledger import ORDERS_PATH, Kind, Request, order_name

ORDER_ID = "{order_id}"


class Terms(NamedTuple):
    """A new order as a client says it; decimals are text, `price` is None for a market order."""

    client_id: str
    instrument: str
    side: str
    type: str
    quantity: str
    price: str | None = None
    time_in_force: str | None = None


def place(kind: Kind, terms: Terms, key: str, shouted: bool = False) -> Request:
    """Ask for a new order; `shouted` is the reference's other spelling: words in capitals, numbers as numbers."""
    body = _shouted(terms) if shouted else _plain(terms)
    return Request(kind, "POST", ORDERS_PATH, body.encode(), key, order_name(terms.client_id, terms.instrument, key))


def cancel(order_id: str, key: str) -> Request:
    """Ask to take an order out of the book."""
    return Request(Kind.CANCEL, "POST", f"{ORDERS_PATH}/{order_id}/cancel", b"", key)


def cancel_of(placed: Request, key: str) -> Request:
    """Ask to take an order out whose id is not known yet: `resolved` fills it in."""
    return cancel(ORDER_ID, key)._replace(about=placed.about)


def resolved(asked: Request, ids: Mapping[str, str]) -> Request:
    """The request as it is sent, by the ids that orders have got; one that has none is canceled in vain."""
    if ORDER_ID not in asked.path or asked.about is None:
        return asked
    order_id = ids.get(asked.about) or unknown_id(*asked.about.split())
    return asked._replace(path=asked.path.replace(ORDER_ID, order_id))


def unknown_id(client_id: str, instrument: str, key: str) -> str:
    """An id that belongs to the instrument, but to no order of a venue with a secret."""
    return identity.id_text(identity.order_id(client_id, instrument, key))


def _plain(t: Terms) -> str:
    price = "" if t.price is None else f',"price":"{t.price}"'
    return (
        f'{{"client_id":"{t.client_id}","instrument":"{t.instrument}","side":"{t.side}","type":"{t.type}"'
        f',"quantity":"{t.quantity}"{price}{_time_in_force(t)}}}'
    )


def _shouted(t: Terms) -> str:
    price = "" if t.price is None else f', "price": {t.price}'
    return (
        f'{{"client_id": "{t.client_id}", "instrument": "{t.instrument}", "side": "{t.side.upper()}"'
        f', "type": "{t.type.upper()}", "quantity": {t.quantity}{price}{_time_in_force(t)}}}'
    )


def _time_in_force(t: Terms) -> str:
    return "" if t.time_in_force is None else f',"time_in_force":"{t.time_in_force}"'
