"""What Postgres must hold of clearing (O7): the facts of the topic `clearing` and the log's trades, through the ledger.

Sums of each cycle are taken while the log is replayed (entries.py). The tables are then compared cycle by cycle; only
the lines of statements come from Postgres' trades and busts, which O4 has compared with the log.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from app.clearing.amounts import text
from app.clearing.cycles import Closed, Cycles, Decided, Opened, Ranges
from app.clearing.ledger import Ledger, Netted
from app.clearing.statements import Digests
from app.kafka.reading import LogRecord
from app.models.clearing import ClearingFact, InstructionOutcome, Settle, read_fact, take
from app.models.reports import ExecutionReport
from app.postgres import Recorded, Removed
from app.postgres.rows import storable
from app.topics import CLEARING
from app.verification.entries import CycleEntries, Trades
from app.verification.findings import Finding

PARTITION = 0
KEYS: dict[str, tuple[str, ...]] = {
    "cycle_ranges": ("instrument",),
    "cycle_positions": ("client_id", "instrument"),
    "obligations": ("client_id", "asset"),
    "statements": ("client_id",),
    "instructions": ("instruction",),
}
"""The tables of one cycle, and the rest of their keys."""
_SUMS = ("gross_in", "gross_out", "fees", "carried", "net", "opening", "closing")

Row = dict[str, Any]
Rows = dict[tuple[Any, ...], Row]


class ClearingTables(Trades, Protocol):
    """The projected tables, all as of one moment."""

    @property
    def projections(self) -> Mapping[int, Recorded]:
        """Partition of the topic `clearing` -> how far it is projected, and of which log."""

    @property
    def removed(self) -> Mapping[str, Removed]:
        """Instrument -> what of its orders' history was removed."""

    async def cycles(self) -> list[Row]:
        """All cycles."""

    async def of_cycle(self, table: str, cycle: int) -> list[Row]:
        """The rows of one cycle."""

    def entry_lines(self, cycle: int) -> AsyncIterator[Iterator[tuple[str, str]]]:
        """The lines of a cycle's entries, each with its client, in the order of statements; some at a time."""


class _Step(NamedTuple):
    """A fact that counts, its record, and what it changes."""

    record: LogRecord
    fact: ClearingFact
    effect: Opened | Closed | Decided


class ClearingJudge:
    """Feed it every report of the log with `give`; then `compare`."""

    def __init__(self, facts: Sequence[LogRecord]) -> None:
        cycles = Cycles()
        self._end = facts[-1].offset + 1 if facts else 0
        self._steps = [step for record in facts if (step := _step(cycles, record))]
        self._entries = CycleEntries(step.effect for step in self._steps if isinstance(step.effect, Closed))

    def strange_positions(self, tables: ClearingTables, log_id: str | None) -> Iterator[str]:
        """Each position that is none in this log."""
        for partition_id, (position, found, _) in tables.projections.items():
            name = f"Postgres sink_progress: {CLEARING.name}[{partition_id}]"
            if partition_id != PARTITION:
                yield f"{name} does not exist"
            elif found != log_id:
                yield f"{name} is of the log {found}, orders[0] of {log_id}: these are two installations"
            elif not 0 <= position <= self._end:
                yield f"{name} is projected up to {position}, but the topic ends at {self._end}"

    def give(self, report: ExecutionReport) -> None:
        """The next report that the log gives."""
        self._entries.give(report)

    async def compare(self, tables: ClearingTables, finding: Finding) -> None:
        """Hold the tables against what the facts below their position give."""
        position = tables.projections[PARTITION].next_offset if PARTITION in tables.projections else 0
        projected = _Projected(tables, finding, self._entries, {row["cycle"]: row for row in await tables.cycles()})
        for step in self._steps:
            if step.record.offset >= position or not await projected.take(step):
                break
        await projected.end()
        last_settled = projected.last_settled()
        for instrument, (cycle, to_seq) in sorted(tables.removed.items()):
            finding.compared += 1
            # A later cycle owns nothing of a market in which nothing has happened since.
            right = projected.cutoff(cycle, instrument) if cycle <= last_settled else None
            if right is None:
                finding.complain(f"Postgres removed_history {instrument}: cycle {cycle} has settled nothing of it")
            elif to_seq != right:
                finding.complain(f"Postgres removed_history {instrument}: is up to {to_seq}, by the log {right}")


def removed_to(tables: ClearingTables) -> dict[str, int]:
    """Instrument -> the seq up to which the history of its orders may be absent."""
    return {instrument: to_seq for instrument, (_, to_seq) in tables.removed.items() if to_seq is not None}


class _Projected:
    """The tables as far as the facts have come."""

    def __init__(self, tables: ClearingTables, finding: Finding, entries: CycleEntries, found: dict[int, Row]) -> None:
        self._tables, self._finding, self._entries, self._found = tables, finding, entries, found
        self._ledger = Ledger()
        self._cycles: dict[int, Row] = {}
        self._instructions: dict[int, Rows] = {}
        self._ranges: dict[int, Ranges] = {}

    async def take(self, step: _Step) -> bool:
        """Follow a fact; False if it is the last one, because its cycle is still being netted."""
        record, fact, effect = step
        if isinstance(effect, Opened) and isinstance(fact, Settle):
            self._cycles[effect.cycle] = _cycle(effect, fact, record)
        elif isinstance(effect, Closed):
            if _is_unsealed(self._found, effect.cycle):
                self._finding.note = f"cycle {effect.cycle} is not sealed yet and is not compared"
                del self._found[effect.cycle], self._cycles[effect.cycle]
                return False
            await self._close(effect, record)
        elif isinstance(effect, Decided) and isinstance(fact, InstructionOutcome):
            reason = None if fact.reason is None else storable(fact.reason)
            for cycle, number, decision in self._ledger.decide(effect):
                decided = {"state": decision, "reason": reason, "decided_at": record.timestamp_ms}
                self._instructions[cycle][number,] |= decided
            self._show_state(effect.cycle)
        return True

    def cutoff(self, cycle: int, instrument: str) -> int | None:
        """The market's cutoff in this cycle; None if the cycle owns nothing of it."""
        bounds = self._ranges.get(cycle, {}).get(instrument)
        return bounds[1] if bounds else None

    def last_settled(self) -> int:
        """The last cycle that is settled; 0 if none is."""
        return max((cycle for cycle in self._ranges if self._ledger.is_settled(cycle)), default=0)

    async def end(self) -> None:
        """Compare what could change until the last fact."""
        for cycle, rows in self._instructions.items():
            await _compare_cycle(self._tables, self._finding, "instructions", cycle, rows)
        found, expected = ({(n,): row for n, row in rows.items()} for rows in (self._found, self._cycles))
        _compare(self._finding, "cycles", found, expected)

    async def _close(self, closed: Closed, record: LogRecord) -> None:
        cycle = closed.cycle
        self._ranges[cycle] = closed.ranges
        netted = self._ledger.net(await self._entries.netting(cycle, self._tables, self._finding))
        digests = await _digests(self._tables, cycle, netted)
        seal = self._ledger.seal(closed, netted, digests)
        self._cycles[cycle] |= {"closed_at": record.timestamp_ms, "seal": seal}
        self._show_state(cycle)
        for earlier, number, _ in netted.outcomes:
            self._instructions[earlier][number,]["sealed_in"] = cycle
        self._instructions[cycle] = _instructions(cycle, netted)
        expected = {
            "cycle_ranges": _ranges(closed),
            "obligations": _obligations(cycle, netted),
            "statements": {(c,): {"cycle": cycle, "client_id": c, "digest": digest} for c, digest in digests.items()},
            "cycle_positions": _positions(cycle, netted),
        }
        for table, rows in expected.items():
            await _compare_cycle(self._tables, self._finding, table, cycle, rows)

    def _show_state(self, cycle: int) -> None:
        state = "settled" if self._ledger.is_settled(cycle) else "netted"
        self._cycles[cycle] |= {"state": state, "has_positions": True}


def _is_unsealed(found: Mapping[int, Row], cycle: int) -> bool:
    """Whether the last closed cycle is still being netted."""
    row = found.get(cycle)
    later = any(other["seal"] is not None for number, other in found.items() if number > cycle)
    return row is not None and row["seal"] is None and row["state"] in ("closed", "netted") and not later


def _step(cycles: Cycles, record: LogRecord) -> _Step | None:
    fact = read_fact(record.value)
    effect = None if fact is None else take(cycles, fact, record.timestamp_ms)
    return None if fact is None or effect is None else _Step(record, fact, effect)


def _cycle(opened: Opened, fact: Settle, record: LogRecord) -> Row:
    return {
        "cycle": opened.cycle,
        "key": fact.key,
        "state": "open",
        "cutoff_time": fact.cutoff_time,
        "requested_at": record.timestamp_ms,
        "closed_at": None,
        "seal": None,
        "has_positions": False,
    }


def _ranges(closed: Closed) -> Rows:
    return {
        (name,): {
            "cycle": closed.cycle,
            "instrument": name,
            "after_seq": after,
            "to_seq": to,
            "previous_seq": after or None,
        }
        for name, (after, to) in closed.ranges.items()
    }


def _positions(cycle: int, netted: Netted) -> Rows:
    return {
        (client, instrument): {"cycle": cycle, "client_id": client, "instrument": instrument}
        | {name: text(amount) for name, amount in found._asdict().items()}
        for (client, instrument), found in netted.positions.items()
    }


def _obligations(cycle: int, netted: Netted) -> Rows:
    return {
        (client, asset): {"cycle": cycle, "client_id": client, "asset": asset}
        | {name: text(getattr(found, name)) for name in _SUMS}
        for (client, asset), found in netted.obligations.items()
    }


def _instructions(cycle: int, netted: Netted) -> Rows:
    undecided = {"state": "pending", "reason": None, "decided_at": None, "sealed_in": None}
    return {
        (number,): {"cycle": cycle, "instruction": number, "client_id": client, "asset": asset, "amount": text(amount)}
        | undecided
        for number, (client, asset, amount) in netted.instructions.items()
    }


async def _digests(tables: ClearingTables, cycle: int, netted: Netted) -> dict[str, str]:
    """The digest of each client's statement: its sums from the ledger, its lines from Postgres' trades."""
    digests = Digests(netted.obligations)
    async for lines in tables.entry_lines(cycle):
        digests.add(lines)
    return digests.end()


async def _compare_cycle(tables: ClearingTables, finding: Finding, table: str, cycle: int, expected: Rows) -> None:
    found = {tuple(row[name] for name in KEYS[table]): row for row in await tables.of_cycle(table, cycle)}
    _compare(finding, f"{table} of cycle {cycle}", found, expected)


def _compare(finding: Finding, table: str, found: Mapping[Any, Row], expected: Mapping[Any, Row]) -> None:
    finding.compared += len(expected)
    for sentence in _differences(table, found, expected):
        finding.complain(sentence)


def _differences(table: str, found: Mapping[Any, Row], expected: Mapping[Any, Row]) -> Iterator[str]:
    for key in sorted(found.keys() | expected.keys()):
        shown = " ".join(map(str, key))
        if key not in found:
            yield f"Postgres {table}: no row for {shown}"
        elif key not in expected:
            yield f"Postgres {table}: a row for {shown}, but the log gives none"
        else:
            for name in sorted(found[key].keys() | expected[key].keys()):
                mine, right = found[key].get(name, "missing"), expected[key].get(name, "missing")
                if mine != right:
                    yield f"Postgres {table} {shown}: {name} is {mine}, by the log {right}"
