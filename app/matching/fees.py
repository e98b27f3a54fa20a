"""What a fill costs: the rates in force, and a rounding by which an order pays the same however it is filled (R16)."""

from typing import Protocol

from app.matching.commands import FeeSchedule, Listing
from app.matching.orders import Order

# 100 %, in hundredths of a basis point.
MAX_RATE = 1_000_000
MAX_CLIENTS_WITH_RATES = 1_000
# Ticks and lots are in units of 10^-8, rates in units of 10^-6.
DECIMALS_OF_A_SUM = 8 + 8 + 6


def is_valid_schedule(schedule: FeeSchedule) -> bool:
    """Whether every rate is within bounds, and few enough clients have their own."""
    rates = [schedule.maker, schedule.taker, *(rate for _, *both in schedule.clients for rate in both)]
    return all(-MAX_RATE <= rate <= MAX_RATE for rate in rates) and len(schedule.clients) <= MAX_CLIENTS_WITH_RATES


class Sizes(Protocol):
    """What the numbers of a market mean: of a `Listing`, or of whatever else knows."""

    @property
    def tick_size(self) -> int: ...

    @property
    def lot_size(self) -> int: ...

    @property
    def quote_scale(self) -> int: ...


def fees_of(fee_sum: int, sizes: Sizes) -> int:
    """The sum of rate x price x quantity over an order's fills, rounded up to the market's `quote_scale`."""
    unit: int = 10 ** (DECIMALS_OF_A_SUM - sizes.quote_scale)
    return -(-fee_sum * sizes.tick_size * sizes.lot_size // unit)


class Tariff:
    """A schedule, ready to charge the fills of the market with this listing."""

    __slots__ = ("_clients", "_listing", "_schedule")

    def __init__(self, schedule: FeeSchedule, listing: Listing) -> None:
        self._schedule, self._listing = schedule, listing
        self._clients = {rates.client_id: rates for rates in schedule.clients}

    def charge_maker(self, order: Order, notional: int) -> int:
        """Charge the order for a fill in which it rested; the fee of this fill."""
        return self._charge(order, notional * self._clients.get(order.client_id, self._schedule).maker)

    def charge_taker(self, order: Order, notional: int) -> int:
        """Charge the order for a fill in which it came; the fee of this fill."""
        return self._charge(order, notional * self._clients.get(order.client_id, self._schedule).taker)

    def _charge(self, order: Order, amount: int) -> int:
        before = order.fees
        order.fee_sum += amount
        order.fees = fees_of(order.fee_sum, self._listing)
        return order.fees - before
