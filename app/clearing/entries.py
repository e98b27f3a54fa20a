"""Entries: trades and busts as clearing sees them, and the legs that each has on the accounts."""

from collections.abc import Iterator
from typing import NamedTuple

from app.clearing.amounts import of_units

CCP, FEES = "@ccp", "@fees"
"""House accounts; no client id begins with @."""


class Trade(NamedTuple):
    """A fill. `seq` is its report's, `number` its own among the instrument's trades.

    Price and quantity are in 10^-8, fees in amounts of the quote asset; a negative fee is a rebate.
    """

    instrument: str
    seq: int
    number: int
    base: str
    quote: str
    price: int
    quantity: int
    buyer: str
    seller: str
    buyer_fee: int = 0
    seller_fee: int = 0

    @property
    def notional(self) -> int:
        """What the quantity costs, in amounts of the quote asset."""
        return self.price * self.quantity


class Bust(NamedTuple):
    """The cancellation of a trade, with a seq of its own."""

    seq: int
    trade: Trade

    @property
    def instrument(self) -> str:
        """The trade's."""
        return self.trade.instrument


Entry = Trade | Bust


class Leg(NamedTuple):
    """A change of one account. `is_fee`: a fee or its counterpart, which gross amounts leave out."""

    account: str
    asset: str
    amount: int
    is_fee: bool = False


def legs(entry: Entry) -> Iterator[Leg]:
    """All legs of an entry; in each asset they add up to 0."""
    trade, sign = (entry.trade, -1) if isinstance(entry, Bust) else (entry, 1)
    quantity, notional = sign * of_units(trade.quantity), sign * trade.notional
    for account, side, fee in ((trade.buyer, 1, trade.buyer_fee), (trade.seller, -1, trade.seller_fee)):
        yield Leg(account, trade.base, side * quantity)
        yield Leg(account, trade.quote, -side * notional)
        yield Leg(CCP, trade.base, -side * quantity)
        yield Leg(CCP, trade.quote, side * notional)
        if fee:
            yield Leg(account, trade.quote, -sign * fee, is_fee=True)
            yield Leg(FEES, trade.quote, sign * fee, is_fee=True)
