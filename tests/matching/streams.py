"""Seeded streams of commands in which everything meets everything: one seed, one stream, to compare engines with."""

from random import Random
from typing import Any

from app.matching.commands import (
    NOT_REPRESENTABLE,
    Amend,
    Bust,
    Cancel,
    ClientRates,
    Command,
    EngineVersion,
    FeeSchedule,
    Halt,
    List,
    Listing,
    MassCancel,
    Moment,
    Place,
    Reduce,
    Replace,
    Resume,
    SetFees,
    Snapshot,
    Tick,
)
from app.matching.fees import MAX_RATE
from app.matching.words import OrderType, SelfTradePrevention, Side, TimeInForce

INSTRUMENT = "BTC-USD"
START_MS = 1_000_000
LOWEST, HIGHEST = 96, 105
HOSTILE_NUMBERS = (NOT_REPRESENTABLE, 0, -7, 1, LOWEST - 5, HIGHEST + 5, 10**12 + 1, 10**30)

SIDES = tuple(Side)
MODES = tuple(SelfTradePrevention)
TYPES = (OrderType.LIMIT,) * 14 + (OrderType.MARKET,) + (OrderType.STOP, OrderType.STOP_LIMIT) * 2
TIMES_IN_FORCE = (TimeInForce.GTC,) * 9 + (TimeInForce.GTD,) * 3 + (TimeInForce.IOC, TimeInForce.FOK)


def commands(seed: int, count: int) -> list[tuple[Command, Moment]]:
    """A valid `List` and `count - 1` commands after it, each with its moment; the same for the same seed."""
    return _Stream(seed).draw(count)


class _Stream:
    """What a seed stands for; it knows what it has sent and nothing about what became of it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.is_deep = seed % 10 == 9  # many levels and large reports, seldom a trade
        self.hostility = self.random.choice((0.0, 0.02, 0.1))
        self.clients = ("ann", "bob", "cid", "dee")[: self.random.choice((2, 3, 4))]
        self.largest = self.random.choice((3, 10, 40))
        self.offset = 0
        self.time_ms = START_MS
        self.keys = 0
        self.quote_scale = self.random.choice((8, 4, 2, 0))
        self.placed: list[Place] = []
        self.likely_open: list[Place] = []
        self.sent: list[Command] = []
        self.halted = False

    def draw(self, count: int) -> list[tuple[Command, Moment]]:
        stream: list[tuple[Command, Moment]] = []
        for index in range(count):
            command = self._list() if index == 0 else self._next()
            self.sent.append(command)
            stream.append((command, self._moment()))
        return stream

    def _moment(self) -> Moment:
        """Mostly a little later; sometimes a jump, sometimes back, as a log's timestamps may go."""
        self.offset += 1 if self.random.random() < 0.95 else self.random.randint(2, 5)
        if self.random.random() < 0.01:
            self.time_ms += self.random.choice((30, 200))
        else:
            self.time_ms += self.random.choice((0, 0, 1, 1, 2))
        back = self.random.choice((3, 50)) if self.random.random() < 0.03 else 0
        return Moment(self.offset, self.time_ms - back)

    def _next(self) -> Command:
        """Rare commands rarely; a halted market is soon resumed."""
        if self.halted and self.random.random() < 0.25:
            self.halted = False
            return Resume(*self._identity())
        draw = self.random.choices(
            (
                self._place,
                self._cancel,
                self._amend,
                self._reduce,
                self._replace,
                self._mass_cancel,
                self._repeat,
                self._collide,
                self._rare,
            ),
            weights=(400 if self.is_deep else 54, 7, 11, 4, 8, 0.5, 7, 3, 5.5),
        )[0]
        return draw()

    # Commands

    def _place(self) -> Place:
        order_id, fingerprint = self._identity()
        type_, force = self.random.choice(TYPES), self.random.choice(TIMES_IN_FORCE)
        if type_ == OrderType.MARKET and force == TimeInForce.GTD:
            force = TimeInForce.IOC
        lasting = type_ == OrderType.LIMIT and force in (TimeInForce.GTC, TimeInForce.GTD)
        quantity = self._quantity()
        side = self.random.choice(SIDES)
        shown = lasting and self.random.random() < 0.2
        place = Place(
            order_id=order_id,
            fingerprint=fingerprint,
            client_id=self.random.choice(self.clients),
            client_order_id=f"o{self.keys}",
            side=side,
            type=type_,
            quantity=quantity,
            price=self._price(side) if type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
            time_in_force=force,
            stop_price=self._price(Side.SELL if side == Side.BUY else Side.BUY)
            if type_ in (OrderType.STOP, OrderType.STOP_LIMIT)
            else None,
            display_quantity=self.random.randint(1, max(1, min(quantity, 4))) if shown else None,
            expire_time_ms=self.time_ms + self.random.randint(1, 40) if force == TimeInForce.GTD else None,
            post_only=lasting and self.random.random() < 0.15,
            self_trade_prevention=self.random.choice((None, None, *MODES)),
            deadline_ms=self.time_ms + self.random.randint(-1, 9) if self.random.random() < 0.05 else None,
        )
        if self.random.random() < self.hostility:
            place = self._spoil(place)
        self.placed.append(place)
        if lasting or type_ in (OrderType.STOP, OrderType.STOP_LIMIT):
            self.likely_open.append(place)
        return place

    def _spoil(self, place: Place) -> Place:
        """Make one or two fields something that a venue should not be sent."""
        for _ in range(self.random.randint(1, 2)):
            number = self.random.choice(HOSTILE_NUMBERS)
            changes: tuple[dict[str, Any], ...] = (
                {"quantity": number},
                {"price": number},
                {"price": None},
                {"stop_price": number},
                {"stop_price": None},
                {"display_quantity": number},
                {"display_quantity": place.quantity + 1},
                {"display_quantity": place.quantity},
                {"post_only": True},
                {"expire_time_ms": self.time_ms + self.random.randint(-2, 2)},
                {"expire_time_ms": None},
                {"deadline_ms": self.time_ms + self.random.randint(-3, 3)},
                {"time_in_force": self.random.choice(tuple(TimeInForce))},
                {"type": self.random.choice(tuple(OrderType))},
            )
            place = place._replace(**self.random.choice(changes))
        return place

    def _cancel(self) -> Cancel:
        target = self._target()
        return Cancel(*self._identity(), order_id=target.order_id, client_id=self._asker(target))

    def _amend(self) -> Amend:
        target = self._target()
        quantity: int | None = self.random.choice((target.quantity, target.quantity - 1, self._quantity()))
        price: int | None = target.price if self.random.random() < 0.2 else self._price(target.side)
        if self.random.random() < 0.4 or (target.price is None and self.random.random() < 0.8):
            price = None
        elif self.random.random() < 0.4:
            quantity = None
        return Amend(
            *self._identity(),
            order_id=target.order_id,
            client_id=self._asker(target),
            price=price,
            quantity=quantity,
        )

    def _reduce(self) -> Reduce:
        target = self._target()
        quantity = self.random.choice((1, 1, 2, target.quantity, self._quantity()))
        return Reduce(*self._identity(), order_id=target.order_id, quantity=quantity, client_id=self._asker(target))

    def _replace(self) -> Replace:
        target = self._target()
        identity = self._identity()
        new = self._place()
        if self.random.random() < 0.9:
            new = new._replace(client_id=target.client_id)
        draw = self.random.random()
        if draw < 0.04:
            new = new._replace(order_id=self.random.choice(self.placed).order_id)
        elif draw < 0.06:
            new = new._replace(order_id=identity[0])
        self.placed[-1] = new
        self.likely_open.append(new)
        return Replace(*identity, order_id=target.order_id, new=new, client_id=self._asker(target))

    def _mass_cancel(self) -> MassCancel:
        return MassCancel(
            *self._identity(),
            client_id=self.random.choice((*self.clients, None)),
            side=self.random.choice((None, *SIDES)),
        )

    def _repeat(self) -> Command:
        """The same command again: a recent one, or any."""
        sent = self.sent[-8:] if self.random.random() < 0.5 else self.sent
        return self.random.choice(sent)

    def _collide(self) -> Command:
        """A command with a key that another has used, or the same one saying something else."""
        earlier = self.random.choice([command for command in self.sent if not isinstance(command, Tick)])
        if self.random.random() < 0.3:
            return earlier._replace(fingerprint=earlier.fingerprint + 1)
        draw = self.random.random()
        if draw < 0.4:
            return self._place()._replace(order_id=earlier.command_id)
        if draw < 0.7:
            return self._cancel()._replace(command_id=earlier.command_id)
        if draw < 0.8:
            cancel = self._cancel()
            return cancel._replace(order_id=cancel.command_id)
        return self._amend()._replace(order_id=earlier.command_id)

    def _rare(self) -> Command:
        draw = self.random.random()
        if draw < 0.25:
            return Tick()
        if draw < 0.4:
            return Snapshot(*self._identity())
        if draw < 0.6:
            return self._list()
        if draw < 0.75:
            return SetFees(*self._identity(), self._schedule())
        if draw < 0.9:
            return Bust(*self._identity(), self.random.choice((0, 1, 2, *range(1, 40))), "an error")
        if draw < 0.96:
            self.halted = True
            return Halt(*self._identity())
        return EngineVersion(*self._identity(), version=self.random.choice((1, 2, 3, 3, 3, 0, 4, -1)))

    def _schedule(self) -> FeeSchedule:
        """Odd rates, so that sums round; rebates; some out of bounds."""
        usual = (0, 1, 7, -3, MAX_RATE - 1, -MAX_RATE, self.random.randint(-999, 999))
        rates = [self.random.choice(usual) for _ in range(6)]
        if self.random.random() < 0.05:
            rates[self.random.randrange(6)] = self.random.choice((MAX_RATE + 1, -MAX_RATE - 1))
        ann, bob = ClientRates("ann", *rates[2:4]), ClientRates("bob", *rates[4:])
        return FeeSchedule(*rates[:2], self.random.choice(((), (ann,), (ann, bob))))

    def _list(self) -> List:
        """Small limits and short windows as often as generous ones; later ones are sometimes refused."""
        choice = self.random.choice
        narrow = self.random.random() < 0.2 and not self.is_deep
        listing = Listing(
            instrument=INSTRUMENT,
            base_asset="BTC",
            quote_asset="USD",
            tick_size=1_000_000,
            lot_size=1_000,
            min_price=LOWEST + 1 if narrow else 1,
            max_price=HIGHEST - 1 if narrow else 10**12,
            min_quantity=choice((1, 1, 1, 2)),
            max_quantity=choice((10**12, 10**12, self.largest)),
            max_fills=choice((1, 2, 3, 5, 1_000, 1_000)),
            max_open_orders=1_000 if self.is_deep else choice((5, 12, *(1_000,) * 8)),
            max_open_orders_per_client=1_000 if self.is_deep else choice((2, 6, *(1_000,) * 8)),
            self_trade_prevention=choice(MODES),
            id_window_count=choice((0, 1, 4, 25, 100_000, 100_000)),
            id_window_ms=choice((0, 3, 30, 86_400_000, 86_400_000)),
            max_slices=choice((100, 100, 10, 3)),
            quote_scale=self.quote_scale,
        )
        if self.sent and self.random.random() < 0.15:
            changes: tuple[dict[str, Any], ...] = (
                {"instrument": "ETH-USD"},
                {"base_asset": "ETH"},
                {"tick_size": 1},
                {"lot_size": 0},
                {"quote_scale": 9},
                {"quote_scale": 1},
                {"max_fills": 0},
                {"min_price": 10**13},
                {"min_quantity": 0},
                {"max_open_orders": -1},
                {"max_open_orders": 0},
                {"id_window_count": -1},
            )
            listing = listing._replace(**choice(changes))
        return List(*self._identity(), listing=listing)

    # Parts of commands

    def _identity(self) -> tuple[bytes, int]:
        self.keys += 1
        return self.keys.to_bytes(16, "big"), self.random.getrandbits(64)

    def _target(self) -> Place:
        """Mostly a recent order, which is likely to be open; sometimes none that was ever sent."""
        draw = self.random.random()
        if not self.likely_open or draw < 0.02:
            return Place(b"\xff" * 16, 0, self.clients[0], "none", Side.BUY, OrderType.LIMIT, 1, 100)
        if draw < 0.1:
            return self.random.choice(self.placed)
        return self.random.choice(self.likely_open[-10:] if draw < 0.85 else self.likely_open)

    def _asker(self, target: Place) -> str | None:
        draw = self.random.random()
        if draw < 0.05:
            return self.random.choice(self.clients)
        return None if draw < 0.2 else target.client_id

    def _price(self, side: Side) -> int:
        if self.random.random() < self.hostility / 4:
            return self.random.choice(HOSTILE_NUMBERS)
        if self.is_deep:
            return self.random.randint(LOWEST, LOWEST + 420) + (0 if side == Side.BUY else 400)
        if self.random.random() < 0.3:
            return self.random.randint(LOWEST, HIGHEST)
        return self.random.randint(LOWEST, HIGHEST - 4) + (0 if side == Side.BUY else 4)

    def _quantity(self) -> int:
        if self.random.random() < self.hostility / 4:
            return self.random.choice(HOSTILE_NUMBERS)
        return self.random.randint(1, self.largest)
