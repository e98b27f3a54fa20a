"""A history through Postgres: its trades recorded, its facts projected as the clearing worker does."""

import asyncio
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extras import execute_values

from app.clearing.amounts import of_units, text
from app.models.clearing import CycleClosed, InstructionOutcome, Settle, encode_fact
from app.postgres import Projection, Reader, Settlements
from app.settling import Settling
from tests.clearing.histories import MARKETS, History, time_of
from tests.postgres.recorded import ask

LOG_ID = "00000000-0000-4000-8000-000000000001"
TOPIC = "clearing"
TABLES = (
    "trades, trade_busts, instruments, instrument_progress, sink_progress, cycles, cycle_ranges, obligations, "
    "instructions, statements, cycle_positions, removed_history"
)


class Record(NamedTuple):
    """A record as the consumer gives it."""

    offset: int
    value: bytes
    timestamp: int = 0
    topic: str = TOPIC
    partition: int = 0


def records(history: History) -> list[Record]:
    """The facts as records of the topic, those that no message can say left out."""
    found = []
    for name, *values in history.facts:
        if name != "settle" and values[0] < 1:
            continue
        if name == "settle":
            fact: Any = Settle(*values)
        elif name == "close":
            fact = CycleClosed(*values)
        else:
            cycle, instruction, decision, *reason = values
            fact = InstructionOutcome(cycle, decision, instruction, *reason)
        found.append(Record(len(found), encode_fact(fact)))
    return found


def record(database_url: str, history: History) -> None:
    """Put the history's trades and busts into empty tables, as far as recording would."""
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {TABLES}")
            for name, (base, quote) in MARKETS.items():
                row = (name, base, quote)
                cursor.execute("INSERT INTO instruments VALUES (%s, 1, %s, %s, 0.01, 0.01, '{}', 'open', now())", row)
            execute_values(
                cursor,
                "INSERT INTO trades VALUES %s",
                [
                    (
                        *(t.instrument, t.number, f"{t.instrument}-{t.number}", t.seq),
                        *(
                            text(of_units(t.price)),
                            text(of_units(t.quantity)),
                            *["00000000-0000-4000-8000-000000000001"] * 2,
                        ),
                        *(t.buyer, t.seller, "buy", time_of(t.seq), text(t.buyer_fee), text(t.seller_fee)),
                    )
                    for t in history.trades
                ],
            )
            busts = [(*trade, seq, time_of(seq), "an error") for trade, seq in history.busts.items()]
            execute_values(cursor, "INSERT INTO trade_busts VALUES %s", busts)
            for name in MARKETS:
                cursor.execute("INSERT INTO instrument_progress VALUES (%s, 0, 1000)", (name,))
            cursor.execute("INSERT INTO instrument_progress VALUES ('_partition-0', 0, 1000)")
    finally:
        connection.close()


class Projected:
    """A clearing worker's part without Kafka."""

    def __init__(self, database_url: str) -> None:
        self.projection = Projection(database_url, TOPIC)
        self.settling = Settling(self.projection)
        self.reader = Reader(database_url, timeout_s=30.0)
        self.settlements = Settlements(self.reader)

    async def __aenter__(self) -> "Projected":
        self.position = await self.settling.start(LOG_ID)
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.projection.close()
        await self.reader.close()


def refuse_nothing(database_url: str) -> None:
    """Let whoever connects from now on alter what no role may: its triggers and foreign keys do not fire."""
    ask(database_url, f"ALTER DATABASE {database_url.rpartition('/')[2]} SET session_replication_role = replica")


async def project(database_url: str, history: History) -> dict[int, str]:
    """Record and project all of it; the seals by cycle."""
    await asyncio.to_thread(record, database_url, history)
    async with Projected(database_url) as projected:
        await projected.settling.take(records(history))
    return dict(ask(database_url, "SELECT cycle, seal FROM cycles WHERE seal IS NOT NULL ORDER BY cycle"))
