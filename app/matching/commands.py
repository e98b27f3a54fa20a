"""The commands of a book, in its own terms: ids are opaque, prices are int ticks, quantities int lots.

Every command but `Tick` has an identity, `command_id`: 16 bytes that are the same whenever the same client sends the
same key again, and a `fingerprint` of everything else it says (docs/EXACTNESS.md, I12). For `Place` the identity is the
order id itself.
"""

from typing import NamedTuple

from app.matching.words import OrderType, SelfTradePrevention, Side, TimeInForce

# A price or quantity that is no whole number of ticks or lots, or the number of a trade that cannot be: the converter
# passes it on, the book refuses it.
NOT_REPRESENTABLE = -1


class Moment(NamedTuple):
    """A command's offset and time in the log; the book's clock is the largest time it has seen."""

    offset: int
    time_ms: int


class Place(NamedTuple):
    """A new order. `price` is None for market and stop orders, `stop_price` for all but stop and stop-limit."""

    order_id: bytes
    fingerprint: int
    client_id: str
    client_order_id: str
    side: Side
    type: OrderType
    quantity: int
    price: int | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    stop_price: int | None = None
    display_quantity: int | None = None
    expire_time_ms: int | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePrevention | None = None  # None: the instrument's default (R14)
    deadline_ms: int | None = None

    @property
    def command_id(self) -> bytes:
        return self.order_id


class Cancel(NamedTuple):
    """Take an order out of the book. Without `client_id` (an operator's command), of any client."""

    command_id: bytes
    fingerprint: int
    order_id: bytes
    client_id: str | None = None


class Amend(NamedTuple):
    """Set price and total quantity (filled + open) of an open order; None leaves it as it is (R6)."""

    command_id: bytes
    fingerprint: int
    order_id: bytes
    client_id: str | None = None
    price: int | None = None
    quantity: int | None = None


class Reduce(NamedTuple):
    """Take `quantity` lots off an open order's remaining quantity; its place in the queue stays (R6)."""

    command_id: bytes
    fingerprint: int
    order_id: bytes
    quantity: int
    client_id: str | None = None


class Replace(NamedTuple):
    """Cancel `order_id` and place `new` in one step; `new.order_id` consumes its key too (R6)."""

    command_id: bytes
    fingerprint: int
    order_id: bytes
    new: Place
    client_id: str | None = None


class MassCancel(NamedTuple):
    """Cancel all open orders of a client, or of everyone (None), on one side or both (None)."""

    command_id: bytes
    fingerprint: int
    client_id: str | None = None
    side: Side | None = None


class Listing(NamedTuple):
    """The rules of a market. Sizes are in units of 10^-8 of the asset, limits in ticks and lots, both inclusive."""

    instrument: str
    base_asset: str
    quote_asset: str
    tick_size: int
    lot_size: int
    min_price: int = 1
    max_price: int = 10**12
    min_quantity: int = 1
    max_quantity: int = 10**12
    max_fills: int = 1_000
    max_open_orders: int = 100_000
    max_open_orders_per_client: int = 10_000
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST
    id_window_count: int = 100_000
    id_window_ms: int = 86_400_000
    max_slices: int = 100  # an iceberg's: its quantity divided by what it displays
    quote_scale: int = 8  # the decimals of a fee, in the quote asset (R16)


class ClientRates(NamedTuple):
    """One client's own fees, as in `FeeSchedule`."""

    client_id: str
    maker: int
    taker: int


class FeeSchedule(NamedTuple):
    """The fees of a market in hundredths of a basis point of the notional; a negative rate is a rebate (R16).

    `clients`, by client id, are those with rates of their own.
    """

    maker: int
    taker: int
    clients: tuple[ClientRates, ...] = ()


class List(NamedTuple):
    """Open a market, or change its rules from here on (tick and lot size stay)."""

    command_id: bytes
    fingerprint: int
    listing: Listing


class Halt(NamedTuple):
    command_id: bytes
    fingerprint: int


class Resume(NamedTuple):
    command_id: bytes
    fingerprint: int


class Snapshot(NamedTuple):
    """Ask for a report with every level of the book."""

    command_id: bytes
    fingerprint: int


class EngineVersion(NamedTuple):
    """Make the book behave like this version of the engine from here on."""

    command_id: bytes
    fingerprint: int
    version: int


class SetFees(NamedTuple):
    """Charge the fills of all later commands by this schedule (R16)."""

    command_id: bytes
    fingerprint: int
    schedule: FeeSchedule


class Bust(NamedTuple):
    """Cancel an erroneous trade (R17); `reason` is the operator's own."""

    command_id: bytes
    fingerprint: int
    trade_seq: int
    reason: str


class Tick(NamedTuple):
    """Let time pass: what has expired by the log's clock is removed (R10)."""


Command = (
    Place
    | Cancel
    | Amend
    | Reduce
    | Replace
    | MassCancel
    | List
    | Halt
    | Resume
    | Snapshot
    | EngineVersion
    | SetFees
    | Bust
    | Tick
)

# The word for each command on the wire and in reports.
COMMAND_WORDS: dict[type, str] = {
    Place: "place",
    Cancel: "cancel",
    Amend: "amend",
    Reduce: "reduce",
    Replace: "replace",
    MassCancel: "mass_cancel",
    List: "list",
    Halt: "halt",
    Resume: "resume",
    Snapshot: "snapshot",
    EngineVersion: "engine_version",
    SetFees: "set_fees",
    Bust: "bust",
    Tick: "tick",
}
