"""Statements: what a cycle did to one client, as lines of CSV, as JSON, and as a digest."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from app.clearing.amounts import text
from app.clearing.chain import Chain, chained
from app.clearing.netting import Holding, Obligation

COLUMNS = ("row", "seq", "trade_id", "instrument", "side", "price", "quantity", "fee", "time", "asset", "amount")
HEADER = ",".join(COLUMNS)
MOVEMENTS = ("gross_in", "gross_out", "fees", "carried", "net", "closing")


class EntryLine(NamedTuple):
    """A trade or bust as a client sees it; `row` is which of both. Everything but `seq` is text, ready to be shown."""

    row: str
    seq: int
    trade_id: str
    instrument: str
    side: str
    price: str
    quantity: str
    fee: str
    time: str


class Statement(NamedTuple):
    """One client's cycle: its obligations by asset, and its entries in the order of docs/CLEARING.md."""

    client: str
    cycle: int
    obligations: Mapping[str, Obligation]
    entries: Iterable[EntryLine]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A field for each column."""
        yield from openings(self.obligations)
        for line in self.entries:
            yield (line.row, str(line.seq), *line[2:], "", "")
        yield from movements(self.obligations)

    def lines(self) -> Iterator[str]:
        """The lines of the CSV, the columns first, without newlines."""
        yield HEADER
        for row in self.rows():
            yield ",".join(row)

    def csv(self) -> str:
        """The whole CSV."""
        return "".join(f"{line}\n" for line in self.lines())

    def json(self) -> str:
        """The same rows as JSON."""
        named = [{name: value for name, value in zip(COLUMNS, row, strict=True) if value} for row in self.rows()]
        return json.dumps({"client_id": self.client, "cycle": self.cycle, "rows": named}, separators=(",", ":")) + "\n"

    def digest(self) -> str:
        """The chain over its lines."""
        return Chain(self.lines()).hex


class Digests:
    """The digests of all statements of a cycle, grown side by side while its entries come in the order of statements.

    Clients without an obligation have no statement: their lines are passed over.
    """

    def __init__(self, obligations: Mapping[Holding, Obligation]) -> None:
        self._mine: dict[str, dict[str, Obligation]] = {}
        for (client, asset), found in obligations.items():
            self._mine.setdefault(client, {})[asset] = found
        self._digests = {
            client: Chain([HEADER, *map(",".join, openings(mine))]).digest for client, mine in self._mine.items()
        }

    def add(self, lines: Iterable[tuple[str, str]]) -> None:
        """The next lines of entries, each with its client."""
        digests = self._digests
        for client, line in lines:
            if (digest := digests.get(client)) is not None:
                digests[client] = chained(digest, line)

    def end(self) -> dict[str, str]:
        """The digest of each client's statement, once all entries have come."""
        return {
            client: Chain(map(",".join, movements(mine)), self._digests[client]).hex
            for client, mine in self._mine.items()
        }


def openings(obligations: Mapping[str, Obligation]) -> Iterator[tuple[str, ...]]:
    """The rows before the entries."""
    for asset, obligation in sorted(obligations.items()):
        yield _sum("opening", asset, obligation.opening)


def movements(obligations: Mapping[str, Obligation]) -> Iterator[tuple[str, ...]]:
    """The rows after the entries."""
    for asset, obligation in sorted(obligations.items()):
        for name in MOVEMENTS:
            yield _sum(name, asset, getattr(obligation, name))


def _sum(name: str, asset: str, amount: int) -> tuple[str, ...]:
    return (name, *[""] * 8, asset, text(amount))
