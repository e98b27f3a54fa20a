"""Positions: what a client holds in an instrument from its trades, and at what cost."""

from typing import NamedTuple

from app.clearing.amounts import UNITS_PER_ONE


class Position(NamedTuple):
    """Sums over the trades of one client in one instrument that are not busted; all are amounts."""

    bought: int
    sold: int
    paid: int
    received: int
    fees: int

    @property
    def quantity(self) -> int:
        """Positive: more bought than sold."""
        return self.bought - self.sold

    @property
    def average_cost(self) -> int | None:
        """The average price of the side that is larger, in 10^-8, rounded half up; None without a quantity."""
        if not self.quantity:
            return None
        cash, base = (self.paid, self.bought) if self.quantity > 0 else (self.received, self.sold)
        return (2 * cash * UNITS_PER_ONE + base) // (2 * base)

    @property
    def realised_cash(self) -> int:
        """What the client has received beyond what it has paid, fees included."""
        return self.received - self.paid - self.fees
