"""HTTP requests to the venue as plain data: what to send, and which order it places or cancels."""

from collections.abc import Mapping
from typing import NamedTuple

from app.models import identity
from app.verification.ledger import ORDERS_PATH, Kind, Request, order_name

ORDER_ID = "{order_id}"


class Terms(NamedTuple):
    """A new order in a client's words; decimals are text, `price` is None for a market order."""

    client_id: str
    instrument: str
    side: str
    type: str
    quantity: str
    price: str | None = None
    time_in_force: str | None = None


def place(kind: Kind, terms: Terms, key: str, shouted: bool = False) -> Request:
    """Ask for a new order; `shouted` uses the reference's other spelling: words in capitals, JSON numbers."""
    body = _shouted(terms) if shouted else _plain(terms)
    return Request(kind, "POST", ORDERS_PATH, body.encode(), key, order_name(terms.client_id, terms.instrument, key))


def cancel(order_id: str, key: str) -> Request:
    """Ask to cancel an order."""
    return Request(Kind.CANCEL, "POST", f"{ORDERS_PATH}/{order_id}/cancel", b"", key)


def cancel_of(placed: Request, key: str) -> Request:
    """Ask to cancel an order whose id is not known yet: `resolved` fills it in."""
    return cancel(ORDER_ID, key)._replace(about=placed.about)


def resolved(asked: Request, ids: Mapping[str, str]) -> Request:
    """The request with its order id filled in; an order without an id yet gets an id that no order has."""
    if ORDER_ID not in asked.path or asked.about is None:
        return asked
    order_id = ids.get(asked.about) or unknown_id(*asked.about.split())
    return asked._replace(path=asked.path.replace(ORDER_ID, order_id))


def unknown_id(client_id: str, instrument: str, key: str) -> str:
    """A well-formed id of the instrument that no order has, because the venue's ids depend on its secret."""
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
