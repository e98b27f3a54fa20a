"""The projection of the topic `clearing`: each fact in one transaction with its position, and closed cycles netted.

One transaction nets a cycle and another one seals it. The cycle's row says which have happened, so the next process
continues after a kill in between. Nothing here locks what recording writes (docs/CLEARING.md, C10).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import aiopg

from app.clearing.amounts import amount_of
from app.clearing.cycles import Closed, Cycles, Decided, Opened
from app.clearing.netting import Obligation
from app.clearing.statements import Digests
from app.models.clearing import ClearingFact, InstructionOutcome, Settle
from app.postgres.agreement import Recorded, require_log_ids
from app.postgres.connection import execute
from app.postgres.entries import entry_lines
from app.postgres.errors import Refused
from app.postgres.netting import INSERT_STATEMENTS, INSTRUCT, NET, READ_OBLIGATIONS, SEAL, SEAL_OUTCOMES, SETTLE
from app.postgres.patience import PatientConnection
from app.postgres.rows import storable, time_text
from app.postgres.sink import BEGIN_PARTITION, MOVED_CODE, READ_POSITIONS, PositionMoved

PARTITION = 0
STATEMENT_TIMEOUT_S = 3_600.0  # netting takes some seconds for each million entries
SESSION = {
    "TimeZone": "UTC",
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "20s",
    "work_mem": "128MB",
}
READ_CYCLES = """
SELECT cycle, key, state, (extract(epoch FROM cutoff_time) * 1000)::bigint, seal FROM cycles ORDER BY cycle
"""
READ_CUTOFFS = "SELECT instrument, max(to_seq) FROM cycle_ranges GROUP BY instrument"
READ_STATE = "SELECT state, seal FROM cycles WHERE cycle = %(cycle)s"
# The names of records that belong to no market begin with _, and no trade has them.
READ_PROGRESS = r"SELECT instrument, last_seq FROM instrument_progress WHERE instrument NOT LIKE '\_%%'"
# A time is over for a market once a report at or after it is recorded: no later report has an earlier time.
READ_CUTOFFS_AT = r"""
SELECT progress.instrument, coalesce(progress.last_time >= %(time)s, false), coalesce(
    (SELECT seq - 1 FROM ledger_entries AS entries
     WHERE entries.instrument = progress.instrument AND entries.time >= %(time)s
        AND seq > coalesce((SELECT max(to_seq) FROM cycle_ranges WHERE instrument = progress.instrument), 0)
     ORDER BY seq LIMIT 1), progress.last_seq)
FROM instrument_progress AS progress WHERE progress.instrument NOT LIKE '\_%%'
"""
READ_BEHIND = """
SELECT instrument, to_seq, coalesce(last_seq, 0) FROM cycle_ranges LEFT JOIN instrument_progress USING (instrument)
WHERE cycle = %(cycle)s AND coalesce(last_seq, 0) < to_seq ORDER BY instrument LIMIT 1
"""
MOVE = """
WITH moved AS (
    UPDATE sink_progress SET next_offset = %(to_offset)s
    WHERE topic = %(topic)s AND partition = %(partition)s AND next_offset = %(from_offset)s RETURNING 1
)
SELECT require_moved(count(*), 1) FROM moved
"""
OPEN = """
INSERT INTO cycles (cycle, key, state, cutoff_time, requested_at)
VALUES (%(cycle)s, %(key)s, 'open', %(cutoff_time)s, %(time)s)
"""
CLOSE = "UPDATE cycles SET state = 'closed', closed_at = %(time)s WHERE cycle = %(cycle)s"
INSERT_RANGES = """
INSERT INTO cycle_ranges (cycle, instrument, after_seq, to_seq)
SELECT %(cycle)s, * FROM unnest(%(instruments)s::text[], %(after)s::bigint[], %(to)s::bigint[])
"""
DECIDE = """
UPDATE instructions SET state = %(state)s, reason = %(reason)s, decided_at = %(time)s
WHERE cycle = %(cycle)s AND state = 'pending' AND (%(instruction)s::bigint IS NULL OR instruction = %(instruction)s)
"""
BEGIN_NETTING = """
WITH moved AS (
    UPDATE cycles SET state = 'netted', has_positions = true WHERE cycle = %(cycle)s AND state = 'closed' RETURNING 1
)
SELECT require_moved(count(*), 1) FROM moved
"""
BEGIN_SEALING = """
WITH held AS (SELECT FROM cycles WHERE cycle = %(cycle)s AND state = 'netted' AND seal IS NULL FOR NO KEY UPDATE)
SELECT require_moved(count(*), 1) FROM held
"""
NETTING = (BEGIN_NETTING, SEAL_OUTCOMES, NET, INSTRUCT)
SEALING = (INSERT_STATEMENTS, SEAL, SETTLE)


class Begun(NamedTuple):
    """Where the projection continues: the next offset, the cycles so far, and those that are closed and not sealed.

    `cutoff_times`: open cycle -> the cutoff time that its `settle` gave, in ms.
    """

    next_offset: int
    cycles: Cycles
    unsealed: list[int]
    cutoff_times: dict[int, int]


class CutoffsAt(NamedTuple):
    """The cutoff of each market at a time, and the markets for which that time may not be over yet."""

    cutoffs: dict[str, int]
    quiet: list[str]


class Projection:
    """One connection, one transaction at a time."""

    def __init__(self, database_url: str, topic: str, reach: Callable[[str], None] = lambda failpoint: None) -> None:
        self._topic, self._reach = topic, reach
        self._connection = PatientConnection(database_url, SESSION, "clearing")
        self.next_offset = 0
        """Everything below it is projected."""

    @property
    def waits_for(self) -> str | None:
        """What is wrong with Postgres, while clearing waits for it."""
        return self._connection.waits_for

    async def close(self) -> None:
        """Break off what is running."""
        await self._connection.close()

    async def start(self, log_id: str) -> Begun:
        """Where to continue. Raises AnotherInstallation, Refused."""
        begun = await self._connection.do(lambda connection: self._start(connection, log_id))
        self.next_offset = begun.next_offset
        return begun

    async def take(
        self, offset: int, time_ms: int, fact: ClearingFact | None, effect: Opened | Closed | Decided | None
    ) -> None:
        """Project the record at this offset: what it changes, or nothing, and the position. Raises PositionMoved."""
        move = {"from_offset": self.next_offset, "to_offset": offset + 1}
        parameters = {"topic": self._topic, "partition": PARTITION, "time": time_text(time_ms)} | move
        statements = [MOVE]
        for statement, values in _statements(fact, effect):
            statements.append(statement)
            parameters |= values
        tries = 0

        async def attempt(connection: aiopg.Connection) -> None:
            nonlocal tries
            tries += 1
            # After a lost COMMIT only the position says whether it happened.
            if tries == 1 or await self._position(connection) != offset + 1:
                await self._transaction(connection, statements, parameters, "fact")

        await self._connection.do(attempt)
        self.next_offset = offset + 1

    async def behind(self, cycle: int) -> str | None:
        """A sentence about the first market that is not recorded up to its cutoff; None if all are."""

        async def ask(connection: aiopg.Connection) -> str | None:
            rows = await (await execute(connection, READ_BEHIND, {"cycle": cycle})).fetchall()
            return f"{rows[0][0]} is recorded up to {rows[0][2]}, the cutoff is {rows[0][1]}" if rows else None

        return await self._connection.do(ask)

    async def net(self, cycle: int) -> None:
        """Net a closed cycle and seal it, or only seal it if it is netted. Raises PositionMoved."""

        async def attempt(connection: aiopg.Connection) -> None:
            rows = await (await execute(connection, READ_STATE, {"cycle": cycle})).fetchall()
            if rows == [("closed", None)]:
                await self._transaction(connection, NETTING, {"cycle": cycle}, "netting")
                rows = [("netted", None)]
            if rows == [("netted", None)]:
                await self._seal(connection, cycle)

        await self._connection.do(attempt)

    async def recorded(self) -> dict[str, int]:
        """The seq up to which each market is recorded, all at one moment."""

        async def ask(connection: aiopg.Connection) -> dict[str, int]:
            return dict(await (await execute(connection, READ_PROGRESS)).fetchall())

        return await self._connection.do(ask)

    async def recorded_at(self, time_ms: int) -> CutoffsAt:
        """The last seq of each market before its first entry at or after this time, all at one moment."""

        async def ask(connection: aiopg.Connection) -> CutoffsAt:
            rows = await (await execute(connection, READ_CUTOFFS_AT, {"time": time_text(time_ms)})).fetchall()
            return CutoffsAt({name: to for name, _, to in rows}, [name for name, is_over, _ in rows if not is_over])

        return await self._connection.do(ask)

    async def _start(self, connection: aiopg.Connection, log_id: str) -> Begun:
        question = [self._topic, [PARTITION]]
        rows = await (await execute(connection, READ_POSITIONS, question)).fetchall()
        if not rows:  # a restart must not need a writable Postgres
            await execute(connection, BEGIN_PARTITION, [self._topic, PARTITION, log_id])
            rows = await (await execute(connection, READ_POSITIONS, question)).fetchall()
        ((_, next_offset, found),) = rows
        require_log_ids({PARTITION: Recorded(next_offset, found)}, {PARTITION: log_id})
        cycles = await (await execute(connection, READ_CYCLES)).fetchall()
        cutoffs = dict(await (await execute(connection, READ_CUTOFFS)).fetchall())
        closed = sum(state != "open" for _, _, state, _, _ in cycles)
        unsealed = [cycle for cycle, _, state, _, seal in cycles if state != "open" and seal is None]
        times = {cycle: time for cycle, _, state, time, _ in cycles if state == "open" and time is not None}
        return Begun(next_offset, Cycles((key for _, key, *_ in cycles), closed, cutoffs), unsealed, times)

    async def _position(self, connection: aiopg.Connection) -> int:
        rows = await (await execute(connection, READ_POSITIONS, [self._topic, [PARTITION]])).fetchall()
        return int(rows[0][1]) if rows else 0

    async def _seal(self, connection: aiopg.Connection, cycle: int) -> None:
        await self._run(connection, ("BEGIN", BEGIN_SEALING), {"cycle": cycle})
        rows = await (await execute(connection, READ_OBLIGATIONS, {"cycle": cycle})).fetchall()
        digests = Digests({(client, asset): Obligation(*map(amount_of, sums)) for client, asset, *sums in rows})
        async for lines in entry_lines(connection, cycle, STATEMENT_TIMEOUT_S):
            digests.add(lines)
        found = digests.end()
        parameters = {"cycle": cycle, "clients": list(found), "digests": list(found.values())}
        await self._run(connection, SEALING, parameters)
        await self._commit(connection, "sealing")

    async def _transaction(
        self, connection: aiopg.Connection, statements: Sequence[str], parameters: Mapping[str, Any], what: str
    ) -> None:
        await self._run(connection, ("BEGIN", *statements), parameters)
        await self._commit(connection, what)

    async def _run(
        self, connection: aiopg.Connection, statements: Sequence[str], parameters: Mapping[str, Any]
    ) -> None:
        try:
            await execute(connection, "; ".join(statements), parameters, STATEMENT_TIMEOUT_S)
        except Refused as error:
            if error.code == MOVED_CODE:
                raise PositionMoved(
                    f"another clearing worker was here, or Postgres was restored or failed over: {error}; "
                    "a fresh process continues from what is there"
                ) from error
            raise

    async def _commit(self, connection: aiopg.Connection, what: str) -> None:
        self._reach(f"{what}-before-commit")
        await execute(connection, "COMMIT")
        self._reach(f"{what}-after-commit")


def _statements(
    fact: ClearingFact | None, effect: Opened | Closed | Decided | None
) -> list[tuple[str, dict[str, Any]]]:
    """What a fact's effect changes in the tables."""
    if isinstance(effect, Opened) and isinstance(fact, Settle):
        cutoff_time = None if fact.cutoff_time is None else time_text(fact.cutoff_time)
        return [(OPEN, {"cycle": effect.cycle, "key": fact.key, "cutoff_time": cutoff_time})]
    if isinstance(effect, Closed):
        after, to = ([bounds[side] for bounds in effect.ranges.values()] for side in (0, 1))
        ranges = {"instruments": list(effect.ranges), "after": after, "to": to}
        return [(CLOSE, {"cycle": effect.cycle}), (INSERT_RANGES, ranges)]
    if isinstance(effect, Decided) and isinstance(fact, InstructionOutcome):
        decided = {"cycle": effect.cycle, "instruction": effect.instruction}
        reason = None if fact.reason is None else storable(fact.reason)
        return [(DECIDE, decided | {"state": fact.state, "reason": reason}), (SETTLE, {})]
    return []
