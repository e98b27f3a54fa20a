"""The journal: the entries of a market in the order of their seq, page by page, and what the cycles add them up to."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from app.clearing.amounts import amount_of
from app.clearing.beancount import Beancount
from app.clearing.entries import Bust, Entry, Trade
from app.clearing.netting import Holding
from app.models.decimals import units
from app.postgres.netting import TIME
from app.postgres.reading import Reader

MOST = 2**62
AT_ONCE = 1_000
# Postgres reads a page by index if each kind of entry is ordered and limited where it is read.
_TRADES = """
SELECT 'trade' AS kind, trades.instrument, report_seq AS seq, trades.seq AS number, report_seq, trade_id, price,
    quantity, buy_client_id, sell_client_id, buyer_fee, seller_fee, executed_at AS time
FROM trades WHERE instrument = %(instrument)s AND (report_seq, trades.seq) > (%(seq)s, %(number)s)
    AND report_seq <= %(to)s {mine} ORDER BY report_seq, trades.seq LIMIT %(limit)s
"""
_BUSTS = """
SELECT 'bust', busts.instrument, busts.seq, trades.seq, report_seq, trade_id, price, quantity,
    buy_client_id, sell_client_id, buyer_fee, seller_fee, busted_at
FROM trade_busts AS busts JOIN trades ON trades.instrument = busts.instrument AND trades.seq = busts.trade_seq
WHERE busts.instrument = %(instrument)s AND busts.seq >= %(seq)s AND (busts.seq, trades.seq) > (%(seq)s, %(number)s)
    AND busts.seq <= %(to)s {mine} ORDER BY busts.seq LIMIT %(limit)s
"""
_PAGE = """
SELECT kind, entries.seq, number, report_seq, trade_id, base_asset, quote_asset, price::text, quantity::text,
    buy_client_id, sell_client_id, trim_scale(buyer_fee)::text, trim_scale(seller_fee)::text, {time}, owner.cycle
FROM ({entries}) AS entries JOIN instruments USING (instrument) LEFT JOIN LATERAL (
    SELECT cycle FROM cycle_ranges AS ranges WHERE ranges.instrument = entries.instrument AND to_seq >= entries.seq
    ORDER BY to_seq LIMIT 1
) AS owner ON true ORDER BY entries.seq, number LIMIT %(limit)s
"""
_OF_CLIENT = ("AND buy_client_id = %(client)s", "AND sell_client_id = %(client)s AND buy_client_id <> %(client)s")


def _page_of(*mine: str) -> str:
    parts = [f"({part.format(mine=condition)})" for part in (_TRADES, _BUSTS) for condition in mine]
    return _PAGE.format(entries=" UNION ALL ".join(parts), time=TIME)


OF_ALL, OF_CLIENT = _page_of(""), _page_of(*_OF_CLIENT)
READ_LAST_CYCLE = "SELECT max(cycle) FROM cycles WHERE seal IS NOT NULL AND cycle <= %s"
READ_CUTOFFS = (
    "SELECT instrument, max(to_seq) FROM cycle_ranges WHERE cycle <= %s GROUP BY instrument ORDER BY instrument"
)
READ_CLOSINGS = """
SELECT DISTINCT ON (client_id, asset) client_id, asset, closing::text FROM obligations WHERE cycle <= %s
ORDER BY client_id, asset, cycle DESC
"""
READ_FEES = "SELECT asset, sum(fees)::text FROM obligations WHERE cycle <= %s GROUP BY asset"


class JournalEntry(NamedTuple):
    """An entry with the id of its trade, its time as RFC 3339, and the cycle that owns it, if any does."""

    entry: Entry
    trade_id: str
    time: str
    cycle: int | None

    @property
    def place(self) -> tuple[int, int]:
        """Its seq and its trade's number: no other entry of the market has both."""
        trade = self.entry.trade if isinstance(self.entry, Bust) else self.entry
        return self.entry.seq, trade.number


class Closings(NamedTuple):
    """What the obligations of the cycles up to one add up to."""

    cycle: int
    cutoffs: dict[str, int]
    holdings: dict[Holding, int]
    fees: dict[str, int]


class Journal:
    """Reads the journal. Raises as `Reader.rows` does."""

    def __init__(self, reader: Reader) -> None:
        self._rows = reader.rows

    async def page(
        self, instrument: str, after: tuple[int, int], limit: int, client: str | None = None, to_seq: int = MOST
    ) -> list[JournalEntry]:
        """The next entries of a market after this place, of all clients or of one; up to a seq if one is given."""
        place = {"seq": after[0], "number": after[1], "to": to_seq}
        given = {"instrument": instrument, "client": client, "limit": limit} | place
        return [_entry(instrument, *row) for row in await self._rows(OF_ALL if client is None else OF_CLIENT, given)]

    async def closings(self, up_to: int | None = None) -> Closings | None:
        """Those of the last sealed cycle, or of the last one up to a number; None before any."""
        ((cycle,),) = await self._rows(READ_LAST_CYCLE, [MOST if up_to is None else up_to])
        if cycle is None:
            return None
        cutoffs = dict(await self._rows(READ_CUTOFFS, [cycle]))
        holdings = {
            (client, asset): amount_of(sum_) for client, asset, sum_ in await self._rows(READ_CLOSINGS, [cycle])
        }
        fees = {asset: amount_of(sum_) for asset, sum_ in await self._rows(READ_FEES, [cycle])}
        return Closings(cycle, cutoffs, holdings, fees)

    async def beancount(self, closings: Closings) -> AsyncIterator[str]:
        """A file for beancount, part by part: every entry of the cycles that add up to these closings, and these."""
        file = Beancount()
        yield file.begin()
        for instrument, to_seq in closings.cutoffs.items():
            after = (0, 0)
            while page := await self.page(instrument, after, AT_ONCE, to_seq=to_seq):
                yield "".join(file.entry(found.entry, found.trade_id, found.time) for found in page)
                after = page[-1].place
        yield file.end(closings.holdings, closings.fees)


def _entry(
    instrument: str, kind: str, seq: int, number: int, report_seq: int, trade_id: str, *fields: Any
) -> JournalEntry:
    base, quote, price, quantity, buyer, seller, buyer_fee, seller_fee, time, cycle = fields
    numbers, fees = (units(price), units(quantity)), (amount_of(buyer_fee), amount_of(seller_fee))
    trade = Trade(instrument, report_seq, number, base, quote, *numbers, buyer, seller, *fees)
    return JournalEntry(trade if kind == "trade" else Bust(seq, trade), trade_id, time, cycle)
