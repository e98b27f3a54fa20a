"""Settlements as they are projected: cycles, their numbers, statements, and what closing now would give."""

from typing import Any, NamedTuple

from app.clearing.amounts import amount_of
from app.clearing.netting import Holding, Obligation
from app.clearing.positions import Position
from app.clearing.statements import EntryLine, Statement
from app.postgres.clearing import READ_CUTOFFS, READ_PROGRESS
from app.postgres.holdings import BALANCES, LARGEST_SEQ, POSITIONS, UP_TO_CYCLE, UP_TO_SEQ
from app.postgres.netting import CLIENT_ENTRIES, PREVIEW, TIME
from app.postgres.reading import Reader
from app.postgres.shapes import Fields, answer, rfc3339_text, select

CYCLE: Fields = {
    "cycle": "cycle",
    "key": "key",
    "state": "state",
    "cutoff_time": rfc3339_text("cutoff_time"),
    "requested_at": rfc3339_text("requested_at"),
    "closed_at": rfc3339_text("closed_at"),
    "seal": "seal",
}
SUMS = ("gross_in", "gross_out", "fees", "carried", "net", "opening", "closing")
OBLIGATION: Fields = {"client_id": "client_id", "asset": "asset", **{name: f"{name}::text" for name in SUMS}}
INSTRUCTION: Fields = {
    "instruction": "instruction",
    "client_id": "client_id",
    "asset": "asset",
    "amount": "amount::text",
    "state": "state",
    "reason": "reason",
    "decided_at": rfc3339_text("decided_at"),
    "carried_into": "CASE state WHEN 'failed' THEN sealed_in END",
}
CONSERVATION = """
SELECT asset, trim_scale(sum(gross_in))::text, trim_scale(sum(gross_out))::text, trim_scale(sum(fees))::text,
    trim_scale(sum(net - carried) + sum(fees))::text
FROM obligations WHERE cycle = %s GROUP BY asset ORDER BY asset
"""
STATEMENT_ENTRIES = f"""
SELECT kind, seq, trade_id, instrument, side, price::text, quantity::text, trim_scale(fee)::text, {TIME}
FROM ({CLIENT_ENTRIES}) AS lines ORDER BY instrument, seq, number, side
"""
Row = dict[str, Any]


class Preview(NamedTuple):
    """What a cycle closed now would own, and its obligations."""

    ranges: dict[str, tuple[int, int]]
    obligations: dict[Holding, Obligation]


class Settlements:
    """What Postgres has of clearing. Answers as those of `History`."""

    def __init__(self, reader: Reader) -> None:
        self._rows = reader.rows

    async def cycles(self, *, below: int | None = None, limit: int = 50) -> list[Row]:
        """The newest cycles, below a number if one is given."""
        query = f"SELECT {select(CYCLE)} FROM cycles WHERE cycle < %s ORDER BY cycle DESC LIMIT %s"
        rows = await self._rows(query, [LARGEST_SEQ if below is None else below, limit])
        return [answer(CYCLE, row) for row in rows]

    async def cycle(self, number: int) -> Row | None:
        """A cycle with its ranges and, per asset, that what flowed in has flowed out."""
        return await self._cycle("cycle", number)

    async def cycle_of_key(self, key: str) -> Row | None:
        """The cycle that was asked for with this key."""
        return await self._cycle("key", key)

    async def obligations(
        self, cycle: int, client: str | None = None, after: tuple[str, str] = ("", ""), limit: int | None = None
    ) -> list[Row]:
        """By client and asset, of all or one client; at most so many after a client and an asset."""
        return await self._of_cycle(OBLIGATION, "obligations", ("client_id", "asset"), cycle, client, after, limit)

    async def instructions(
        self, cycle: int, client: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[Row]:
        """By number, of all or one client; at most so many after a number."""
        return await self._of_cycle(INSTRUCTION, "instructions", ("instruction",), cycle, client, (after,), limit)

    async def statement(self, client: str, cycle: int) -> Statement | None:
        """What a netted cycle did to a client; None if it did nothing."""
        obligations = await self.obligations(cycle, client)
        if not obligations:
            return None
        entries = await self._rows(STATEMENT_ENTRIES, {"cycle": cycle, "client": client})
        mine = {row["asset"]: _obligation(*(row[name] for name in SUMS[:4]), row["opening"]) for row in obligations}
        return Statement(client, cycle, mine, [EntryLine(*row) for row in entries])

    async def digest(self, client: str, cycle: int) -> str | None:
        """The digest that the cycle sealed for this client."""
        query = "SELECT digest FROM statements WHERE cycle = %s AND client_id = %s"
        rows = await self._rows(query, [cycle, client])
        return rows[0][0] if rows else None

    async def positions(
        self, client: str, instrument: str | None = None, to_seq: int = LARGEST_SEQ, cycle: int | None = None
    ) -> dict[str, Position]:
        """The client's, by instrument: now, or up to a seq or the end of a cycle, if one is given."""
        query = POSITIONS.format(UP_TO_SEQ if cycle is None else UP_TO_CYCLE)
        given = {"client": client, "instrument": instrument, "to": to_seq, "cycle": cycle}
        rows = await self._rows(query, given)
        return {name: Position(*map(amount_of, sums)) for name, *sums in rows}

    async def balances(self, client: str) -> list[Row]:
        """What the client has in each asset, by asset (docs/CLEARING.md, Balances)."""
        names = ("asset", "balance", "closing", "cycle", "due")
        return [dict(zip(names, row, strict=True)) for row in await self._rows(BALANCES, {"client": client})]

    async def preview(self) -> Preview:
        """A cycle closed now, computed and not written."""
        recorded = dict(await self._rows(READ_PROGRESS, None))
        cutoffs = dict(await self._rows(READ_CUTOFFS, None))
        ranges = {
            name: (cutoffs.get(name, 0), to) for name, to in sorted(recorded.items()) if to > cutoffs.get(name, 0)
        }
        after, to = ([bounds[side] for bounds in ranges.values()] for side in (0, 1))
        rows = await self._rows(PREVIEW, {"instruments": list(ranges), "after": after, "to": to})
        obligations = {
            (client, asset): _obligation(*(f"{sum_:f}" for sum_ in (gross_in, gross_out, fees, carried, opening)))
            for client, asset, gross_in, gross_out, fees, carried, _, opening, _ in rows
        }
        return Preview(ranges, obligations)

    async def _cycle(self, column: str, value: Any) -> Row | None:
        rows = await self._rows(f"SELECT {select(CYCLE)} FROM cycles WHERE {column} = %s", [value])
        if not rows:
            return None
        found = answer(CYCLE, rows[0])
        query = "SELECT instrument, after_seq, to_seq FROM cycle_ranges WHERE cycle = %s ORDER BY instrument"
        ranges = await self._rows(query, [found["cycle"]])
        sums = await self._rows(CONSERVATION, [found["cycle"]])
        found["ranges"] = [{"instrument": name, "after_seq": after, "to_seq": to} for name, after, to in ranges]
        names = ("asset", "gross_in", "gross_out", "fees", "sum")
        found["conservation"] = [dict(zip(names, row, strict=True)) for row in sums]
        return found

    async def _of_cycle(
        self,
        fields: Fields,
        table: str,
        key: tuple[str, ...],
        cycle: int,
        client: str | None,
        after: tuple[Any, ...],
        limit: int | None,
    ) -> list[Row]:
        of_client = "" if client is None else "AND client_id = %(client)s"
        names, order = ", ".join(f"%({name})s" for name in key), ", ".join(key)
        query = f"""SELECT {select(fields)} FROM {table}
            WHERE cycle = %(cycle)s {of_client} AND ({order}) > ({names}) ORDER BY {order} LIMIT %(limit)s"""
        parameters = dict(zip(key, after, strict=True)) | {"cycle": cycle, "client": client, "limit": limit}
        return [answer(fields, row) for row in await self._rows(query, parameters)]


def _obligation(*amounts: str) -> Obligation:
    return Obligation(*map(amount_of, amounts))
