"""Scenarios as text: a market's commands and what each of them gives, to be read by anyone and run on any engine.

A file has scenarios that begin with `## <claim>`; lines before the first are prose. A line is a command, then after
`=>` what it must report; without `=>` it must be accepted and trade nothing. `book => ` shows every level.
Orders are `buy NAME QUANTITY`, then `@ PRICE` and `stop PRICE` as they have them, then options; without `by CLIENT`
each order is its own client's. Fees are `set_fees MAKER TAKER CLIENT=MAKER/TAKER`, in hundredths of a basis point; a
trade that costs something tells it: `for MAKER/TAKER`. Prices mirror at 100: every scenario also runs with buyers and
sellers exchanged.
"""

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from app.matching import commands as core
from app.matching.commands import Command, Listing, Moment, Place
from app.matching.events import OrderState, Report, Trade
from app.matching.words import OrderType, Outcome, SelfTradePrevention, Side, Status, TimeInForce
from tests.matching.reader import fees_by_role

START_MS = 1_000
MIRROR = 200
# A tick and a lot are one whole unit of their asset, a fee is in hundredths of the quote asset.
LISTING = Listing("X", "A", "B", 10**8, 10**8, max_price=199, max_quantity=1_000, quote_scale=2)
FOLDER = Path(__file__).parent / "scenarios"


class Line(NamedTuple):
    """One line of a scenario: what is done and what must come of it (None: accepted, no trade)."""

    number: int
    command: str
    expected: str | None


class Scenario(NamedTuple):
    """A claim and the lines that show it."""

    file: str
    claim: str
    lines: tuple[Line, ...]

    @property
    def one_way(self) -> bool:
        """There is no mirror image: the rule tells buyers from sellers, or fees depend on the price."""
        return self.claim.endswith("(one way)") or any(line.command.startswith("set_fees") for line in self.lines)


def scenarios() -> Iterator[Scenario]:
    """Every scenario of the folder."""
    for path in sorted(FOLDER.glob("*.txt")):
        claim, lines = "", list[Line]()
        for number, text in enumerate(path.read_text().splitlines(), 1):
            if text.startswith("## "):
                if claim:
                    yield Scenario(path.stem, claim, tuple(lines))
                claim, lines = text[3:].strip(), []
            elif claim and text.strip():
                command, arrow, expected = text.partition("=>")
                lines.append(Line(number, command.strip(), " ".join(expected.split()) if arrow else None))
        if claim:
            yield Scenario(path.stem, claim, tuple(lines))


class Play:
    """One run of a scenario: reads lines into commands, keeps the clock, and tells reports in the scenario's words."""

    def __init__(self, mirrored: bool) -> None:
        self.mirrored = mirrored
        self.time_ms = START_MS
        self.offset = 0
        self.sent: list[Command] = []

    def listing(self) -> tuple[Command, Moment]:
        """The command that every scenario begins with."""
        return core.List(b"listing".ljust(16), 1, LISTING), self.moment()

    def moment(self) -> Moment:
        self.offset += 1
        return Moment(self.offset, self.time_ms)

    def read(self, text: str) -> tuple[Command, Moment]:
        """The command of a line, and its moment: `at=` sets the clock, else a millisecond passes."""
        words, options = _split(text)
        self.time_ms = int(options.pop("at", self.time_ms + 1))
        command = self.sent[-1] if words == ["again"] else self._command(text, words, options)
        self.sent.append(command)
        return command, self.moment()

    def _command(self, text: str, words: list[str], options: dict[str, Any]) -> Command:
        body = " ".join(word for word in text.split() if not word.startswith("at="))
        said = int.from_bytes(blake2b(body.encode(), digest_size=8).digest(), "big")
        key = _id(options.pop("key")) if "key" in options else f"command {self.offset}".encode().ljust(16)
        client_id = options.get("by")
        match words[0], words[1:]:
            case "buy" | "sell", _:
                return self._place(words, options, said)
            case "cancel", [name]:
                return core.Cancel(key, said, _id(name), client_id)
            case "amend", [name, *terms]:
                quantity, price, _ = self._numbers(terms)
                return core.Amend(key, said, _id(name), client_id, price, quantity)
            case "reduce", [name, quantity]:
                return core.Reduce(key, said, _id(name), int(quantity), client_id)
            case "replace", [name, "with", *order]:
                client_id = options.pop("asked_by", client_id)
                return core.Replace(key, said, _id(name), self._place(order, options, said), client_id)
            case "mass_cancel", sides:
                return core.MassCancel(key, said, client_id, self._side(sides[0]) if sides else None)
            case "list", _:
                return core.List(key, said, LISTING._replace(**self._limits(options)))
            case "engine_version", [version]:
                return core.EngineVersion(key, said, int(version))
            case "set_fees", [maker, taker]:
                own = [core.ClientRates(name, *map(int, both.split("/"))) for name, both in sorted(options.items())]
                return core.SetFees(key, said, core.FeeSchedule(int(maker), int(taker), tuple(own)))
            case "bust", [trade_seq, *reason]:
                return core.Bust(key, said, int(trade_seq), " ".join(reason))
            case "tick", []:
                return core.Tick()
            case "halt", []:
                return core.Halt(key, said)
            case "resume", []:
                return core.Resume(key, said)
            case "snapshot", []:
                return core.Snapshot(key, said)
        raise AssertionError(f"no command: {text}")

    def _place(self, words: list[str], options: dict[str, Any], said: int) -> Place:
        side, name, *terms = words
        quantity, price, stop_price = self._numbers(terms)
        type_ = OrderType(options.get("type", _TYPES[price is not None, stop_price is not None]))
        force = next((word for word in ("GTC", "IOC", "FOK", "GTD") if word in options), "GTC")
        expiry = options.get("GTD") or options.get("expires")
        prevention = options.get("prevent")
        return Place(
            _id(name),
            said,
            options.get("by", f"client of {name}"),
            name,
            self._side(side),
            type_,
            0 if quantity is None else quantity,
            price,
            TimeInForce(force),
            stop_price,
            int(options["shows"]) if "shows" in options else None,
            None if expiry in (None, "never") else int(expiry),
            "post_only" in options,
            None if prevention is None else SelfTradePrevention(prevention),
            int(options["deadline"]) if "deadline" in options else None,
        )

    def _limits(self, options: dict[str, Any]) -> dict[str, Any]:
        """What a list command says; in the mirror the lowest price is the highest."""
        limits = {name: _value(text) for name, text in options.items()}
        if self.mirrored:
            low, high = limits.pop("min_price", LISTING.min_price), limits.pop("max_price", LISTING.max_price)
            limits |= {"min_price": self._price(high), "max_price": self._price(low)}
        return limits

    def _numbers(self, terms: list[str]) -> tuple[int | None, int | None, int | None]:
        """(quantity, price, stop price) of `4 @ 101 stop 99`, each of which may be absent."""
        numbers: dict[str, int] = {}
        word = "quantity"
        for term in terms:
            if term in ("@", "stop"):
                word = term
            else:
                numbers[word] = int(term) if word == "quantity" else self._price(int(term))
        return numbers.get("quantity"), numbers.get("@"), numbers.get("stop")

    def _price(self, price: int) -> int:
        # Numbers that are no price at all are the same in the mirror.
        return MIRROR - price if self.mirrored and 0 < price < MIRROR else price

    def _side(self, word: str) -> Side:
        return Side(word) if not self.mirrored else Side.SELL if word == "buy" else Side.BUY

    def tell(self, report: Report) -> str:
        """What a report says, in the scenario's words."""
        parts = []
        if report.outcome is Outcome.REJECTED:
            parts.append(f"rejected {report.reason}")
        elif report.outcome is Outcome.DUPLICATE:
            parts.append(f"duplicate of {report.original_seq}")
        if report.bust is not None:
            parts.append(f"bust of {report.bust.trade_seq}")
        parts += [self._tell_trade(trade) for trade in report.trades]
        parts += [_tell_order(state) for state in report.orders]
        return "; ".join(parts) if parts else "accepted"

    def tell_depth(self, bids: Any, asks: Any) -> str:
        if self.mirrored:
            bids, asks = asks, bids
        bid_text, ask_text = (
            ", ".join(f"{level.quantity} @ {self._price(level.price)}" for level in side) or "none"
            for side in (bids, asks)
        )
        return f"bids {bid_text}; asks {ask_text}"

    def _tell_trade(self, trade: Trade) -> str:
        text = f"{_name(trade.maker_order_id)} {trade.quantity} @ {self._price(trade.price)}"
        taker_fee, maker_fee = fees_by_role(trade)
        return f"{text} for {maker_fee}/{taker_fee}" if taker_fee or maker_fee else text


# By whether there is a price and a stop price.
_TYPES = {(True, False): "limit", (False, False): "market", (False, True): "stop", (True, True): "stop_limit"}


def _tell_order(state: OrderState) -> str:
    paid = f"(paid {state.fees}) " if state.fees else ""
    text = f"{_name(state.order_id)} {paid}{'triggered ' if state.triggered else ''}"
    match state.status:
        case Status.NEW:
            return text + f"new {state.remaining}"
        case Status.PARTIALLY_FILLED:
            return text + f"has {state.filled}, open {state.remaining}"
        case Status.FILLED:
            return text + "filled"
        case Status.REJECTED:
            return text + "refused"
    left = f"has {state.filled}, {state.remaining} left" if state.filled else f"{state.remaining} left"
    return text + f"{state.status} {left}: {state.reason}"


def _split(text: str) -> tuple[list[str], dict[str, Any]]:
    """Words by place, and options: `name=value`, `by NAME`, and words that stand for themselves."""
    words, options, rest = [], dict[str, Any](), iter(text.split())
    for word in rest:
        name, equals, value = word.partition("=")
        if equals:
            options[name] = value
        elif word == "by":
            options["by"] = next(rest)
        elif word in ("IOC", "FOK", "GTC", "post_only"):
            options[word] = None
        else:
            words.append(word)
    return words, options


def _value(text: str) -> Any:
    return int(text) if text.lstrip("-").isdigit() else SelfTradePrevention(text) if "_" in text else text


def _id(name: str) -> bytes:
    return name.encode().ljust(16)


def _name(order_id: bytes) -> str:
    return order_id.decode().strip()
