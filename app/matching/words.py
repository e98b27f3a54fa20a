"""The enumerations of the market: sides, order types, statuses, and every reason for a refusal, with its FIX code."""

from enum import Enum, StrEnum


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


class SelfTradePrevention(StrEnum):
    """What happens when an order meets one of the same client; the taker's mode decides (R7)."""

    NONE = "none"
    CANCEL_OLDEST = "cancel_oldest"
    CANCEL_NEWEST = "cancel_newest"
    CANCEL_BOTH = "cancel_both"
    DECREMENT_AND_CANCEL = "decrement_and_cancel"


class Status(StrEnum):
    """An order's status. `pending_new` (durable, not yet matched) is known to gateways only."""

    PENDING_NEW = "pending_new"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class Liquidity(StrEnum):
    MAKER = "maker"
    TAKER = "taker"


class MarketStatus(StrEnum):
    OPEN = "open"
    HALTED = "halted"


class Outcome(StrEnum):
    """What became of a command: carried out, refused without any effect, or seen before (R15)."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"


class Reason(StrEnum):
    """Why an order or command was refused, or why an order ended before it was filled."""

    # The record is not a command of a listed instrument; the engine reports it under `_partition-<p>`.
    MALFORMED_COMMAND = "malformed_command"
    KEY_MISMATCH = "key_mismatch"
    WRONG_PARTITION = "wrong_partition"
    UNKNOWN_INSTRUMENT = "unknown_instrument"

    # The command is refused, in the order of precedence of the checks (app/matching/rules.py).
    DUPLICATE_ORDER = "duplicate_order"
    MARKET_CLOSED = "market_closed"
    UNSUPPORTED_ORDER = "unsupported_order"
    INCORRECT_QUANTITY = "incorrect_quantity"
    INVALID_PRICE_INCREMENT = "invalid_price_increment"
    PRICE_BAND = "price_band"
    STALE_ORDER = "stale_order"
    TOO_MANY_ORDERS = "too_many_orders"
    POST_ONLY_WOULD_TAKE = "post_only_would_take"
    UNKNOWN_ORDER = "unknown_order"
    TOO_LATE_TO_CANCEL = "too_late_to_cancel"
    UNSUPPORTED_ENGINE_VERSION = "unsupported_engine_version"
    INVALID_FEES = "invalid_fees"
    UNKNOWN_TRADE = "unknown_trade"
    TRADE_BUSTED = "trade_busted"
    TOO_MANY_BUSTS = "too_many_busts"

    # The order ended before it was filled.
    INSUFFICIENT_LIQUIDITY = "insufficient_liquidity"
    IOC_REMAINDER = "ioc_remainder"
    FOK_NOT_FILLED = "fok_not_filled"
    MAX_FILLS = "max_fills"
    EXPIRE_TIME_REACHED = "expire_time_reached"
    SELF_TRADE_PREVENTED = "self_trade_prevented"
    CANCELED_BY_CLIENT = "canceled_by_client"
    MASS_CANCELED = "mass_canceled"
    REPLACED = "replaced"


class FixField(Enum):
    """The FIX field that a reason's code belongs to."""

    ORD_REJ_REASON = 103
    CXL_REJ_REASON = 102


FIX_CODES: dict[Reason, tuple[FixField, int]] = {
    Reason.UNKNOWN_INSTRUMENT: (FixField.ORD_REJ_REASON, 1),
    Reason.MARKET_CLOSED: (FixField.ORD_REJ_REASON, 2),
    Reason.TOO_MANY_ORDERS: (FixField.ORD_REJ_REASON, 3),
    Reason.DUPLICATE_ORDER: (FixField.ORD_REJ_REASON, 6),
    Reason.STALE_ORDER: (FixField.ORD_REJ_REASON, 8),
    Reason.UNSUPPORTED_ORDER: (FixField.ORD_REJ_REASON, 11),
    Reason.INCORRECT_QUANTITY: (FixField.ORD_REJ_REASON, 13),
    Reason.PRICE_BAND: (FixField.ORD_REJ_REASON, 16),
    Reason.INVALID_PRICE_INCREMENT: (FixField.ORD_REJ_REASON, 18),
    Reason.POST_ONLY_WOULD_TAKE: (FixField.ORD_REJ_REASON, 99),
    Reason.TOO_LATE_TO_CANCEL: (FixField.CXL_REJ_REASON, 0),
    Reason.UNKNOWN_ORDER: (FixField.CXL_REJ_REASON, 1),
}
