"""`python -m benchmarks.clearing`: seconds to close, net and settle a cycle of a million trades in Postgres.

We write the trades straight into Postgres, with fees and some busts, and let the clearing worker's code project the
facts. Another process inserts trades as recording does, before and meanwhile: the medians show what clearing costs it,
the slowest insert whether a lock was in its way (docs/CLEARING.md, C10).
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil
import psycopg2
from aiokafka import ConsumerRecord

from app.local import postgres
from app.local.ports import Ports
from app.local.servers import Servers
from app.models.clearing import CycleClosed, InstructionOutcome, Settle, encode_fact
from app.postgres import Projection
from app.postgres.schema import migrate
from app.settling import Settling
from load.report import conditions

LOG_ID = "00000000-0000-4000-8000-000000000001"
TOPIC = "clearing"
MARKETS = 10
BUSTED = 500  # every so many trades one is busted
FILL = """
INSERT INTO instruments SELECT 'M' || n || '-USD', 1, 'M' || n, 'USD', 0.01, 0.0001, '{{}}', 'open', now()
FROM generate_series(0, {markets} - 1) AS n;
INSERT INTO trades (instrument, seq, trade_id, report_seq, price, quantity, buy_order_id, sell_order_id, buy_client_id,
    sell_client_id, aggressor_side, executed_at, buyer_fee, seller_fee)
SELECT 'M' || n % {markets} || '-USD', n / {markets} + 1, 'M' || n % {markets} || '-USD-' || n / {markets} + 1,
    2 * (n / {markets}) + 2, (70000 + n % 977 / 100.0)::numeric(20, 2), ((1 + n % 17) / 10000.0)::numeric(20, 4),
    gen_random_uuid(), gen_random_uuid(), 'client-' || n % 211, 'client-' || n % 199, 'buy',
    '2026-01-01'::timestamptz + n * interval '1 ms', 0.00123456, -0.00012345
FROM generate_series(0, {trades} - 1) AS n;
INSERT INTO trade_busts SELECT instrument, seq, report_seq + 1, executed_at, 'an error' FROM trades
WHERE seq % {busted} = 0;
INSERT INTO instrument_progress SELECT 'M' || n || '-USD', 0, {last_seq}, '2027-01-01'
FROM generate_series(0, {markets} - 1) AS n;
ANALYZE;
"""
INSERT_LATE = """
INSERT INTO trades SELECT instrument, seq + 100000000, 'late-' || %(n)s, report_seq + 100000000 + %(n)s, price,
    quantity, buy_order_id, sell_order_id, buy_client_id, sell_client_id, aggressor_side, executed_at, buyer_fee,
    seller_fee
FROM trades WHERE instrument = 'M0-USD' AND seq = %(n)s;
UPDATE instrument_progress SET last_seq = last_seq + 1 WHERE instrument = 'M0-USD'
"""
PAUSE_S = 0.01
BEFORE_S = 5.0


def last_seq(trades: int) -> int:
    """The seq up to which each market of `fill` is recorded."""
    return 2 * (trades // MARKETS) + 3


def fill(database_url: str, trades: int) -> None:
    """So many trades in an empty database with our schema."""
    statements = FILL.format(markets=MARKETS, trades=trades, busted=BUSTED, last_seq=last_seq(trades))
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statements)


def facts(trades: int) -> list[Any]:
    """A cycle of all of them is asked for, closed and settled."""
    cutoffs = {f"M{number}-USD": last_seq(trades) for number in range(MARKETS)}
    return [Settle("benchmark"), CycleClosed(1, cutoffs), InstructionOutcome(1, "settled")]


async def settle(database_url: str, trades: int) -> dict[str, float]:
    """Seconds until the cycle is closed, netted and sealed, and until all of its instructions are settled."""
    began, reached = time.perf_counter(), dict[str, float]()

    def reach(name: str) -> None:
        reached.setdefault(name, round(time.perf_counter() - began, 2))

    projection = Projection(database_url, TOPIC, reach)
    settling = Settling(projection)
    try:
        await settling.start(LOG_ID)
        began = time.perf_counter()
        await settling.take(
            ConsumerRecord(TOPIC, 0, offset, 0, 0, b"", encode_fact(fact), None, 0, 0, ())
            for offset, fact in enumerate(facts(trades))
        )
    finally:
        await projection.close()
    ends = {"netted_s": reached["netting-after-commit"], "sealed_s": reached["sealing-after-commit"]}
    return ends | {"settled_s": round(time.perf_counter() - began, 2)}


class Took(NamedTuple):
    """One insert: when it began, on the clock that all processes share, and how long it took."""

    began: float
    ms: float


def insert(database_url: str, is_done: Event, results: Connection) -> None:
    """Insert late trades one by one until it is done, in a process of its own, as recording is."""
    took: list[Took] = []
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while not is_done.is_set():
            began = time.monotonic()
            cursor.execute(INSERT_LATE, {"n": len(took) + 1})
            took.append(Took(began, (time.monotonic() - began) * 1000))
            time.sleep(PAUSE_S)
    results.send(took)


@contextmanager
def inserting(database_url: str) -> Iterator[Callable[[], list[Took]]]:
    """Insert beside what the caller does; the function stops it and gives what each insert took."""
    spawn = multiprocessing.get_context("spawn")
    is_done, (mine, its) = spawn.Event(), spawn.Pipe(duplex=False)
    process = spawn.Process(target=insert, args=(database_url, is_done, its), daemon=True)
    process.start()

    def stop() -> list[Took]:
        is_done.set()
        return list(mine.recv())

    try:
        yield stop
    finally:
        is_done.set()
        process.join()


def cpu_s(postgres_pid: int) -> float:
    """CPU seconds so far, user and system, of this process and of the processes of Postgres that live."""
    processes = [psutil.Process(), *psutil.Process(postgres_pid).children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


async def measure(trades: int) -> dict[str, Any]:
    """Fill a Postgres of our own, then settle."""
    with tempfile.TemporaryDirectory(prefix="matchstream-clearing-") as folder:
        servers = Servers(Path(folder), Ports(Path(folder), usual=False))
        try:
            await servers.start_one(next(server for server in servers.each() if server.name == "postgres"))
            await asyncio.to_thread(postgres.create_database, servers.postgres_port)
            await asyncio.to_thread(migrate, servers.database_url)
            await asyncio.to_thread(fill, servers.database_url, trades)
            with inserting(servers.database_url) as stop:
                await asyncio.sleep(BEFORE_S)
                identity = servers.processes["postgres"].identity
                assert identity is not None
                began, cpu_before = time.monotonic(), cpu_s(identity.pid)
                found = await settle(servers.database_url, trades)
                found["cpu_s"] = round(cpu_s(identity.pid) - cpu_before, 2)
                took = await asyncio.to_thread(stop)
            found["insert_before_ms"] = round(median(ms for at, ms in took if at < began), 2)
            found["insert_meanwhile_ms"] = round(median(ms for at, ms in took if at >= began), 2)
            found["slowest_insert_ms"] = round(max(ms for _, ms in took), 1)
            return {"trades": trades, **found, **conditions()}
        finally:
            await servers.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clearing", description=__doc__.splitlines()[0])
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    found = asyncio.run(measure(options.trades))
    names = (
        "netted_s",
        "sealed_s",
        "settled_s",
        "cpu_s",
        "insert_before_ms",
        "insert_meanwhile_ms",
        "slowest_insert_ms",
    )
    for name in ("trades", *names):
        print(f"{name:<20}{found[name]:>12,}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
