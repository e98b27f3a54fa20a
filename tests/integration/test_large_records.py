"""A snapshot and a report of more than a megabyte, and a worker killed between the pieces of each (T2)."""

import asyncio
import re
import shutil
import signal
from collections.abc import Iterable

import pytest
from aiokafka import AIOKafkaProducer

from app.kafka.reading import LogRecord
from app.local.venue import Venue
from app.matching.words import OrderType, Side
from app.models.commands import CommandMessage, ListInstrument, PlaceOrder, encode_command
from app.models.reports import decode_report
from app.topics import BOOKS_CHANGELOG, EXECUTIONS, ORDERS
from app.verification.running import Addresses, until_quiet
from load.ledger import Ledger
from tests.integration.conftest import judge, records
from tests.integration.often import OFTEN
from tests.long import LONG

pytestmark = pytest.mark.skipif(not LONG, reason="takes a minute: in `make faults`")

INSTRUMENT = "BIG-USD"
ORDERS_RESTING, ORDERS_TAKEN = 6_400, 3_500
DEATHS, AGAIN = 4, 300  # too few to complete an id block each time: chunks are the first to be acknowledged then
MEGABYTE = 1024 * 1024
DEATH_TIMEOUT_S = 180.0
CHUNK = re.compile(rb"BIG-USD@(\d+)/\d+")


async def test_large_snapshots_and_reports_survive_a_death_between_their_pieces(unsupervised: Venue) -> None:
    """Chunks without their head count for nothing; a report's missing parts come again, with the same bytes."""
    venue = unsupervised
    await venue.kill("matching")
    await _send(venue, [_listing(), *(_sell(number) for number in range(ORDERS_RESTING))])
    await _live(venue)
    for number in range(DEATHS):
        await _send(venue, [_sell(ORDERS_RESTING + number * AGAIN + more) for more in range(AGAIN)])
        await _die(venue, f"acked-matchstream-books-changelog:{1 + number % 2}", is_wiped=number % 2 == 0)
    await _live(venue)
    await _send(venue, [_buy()])
    for failpoint in ("sent-executions:1:2", "acked-executions:1", "acked-executions:2"):
        await _die(venue, failpoint, is_wiped=False)
    await venue.start_worker("matching")
    await venue.wait_ready("matching")
    await judge(venue, Ledger())

    largest, headless = _snapshots((await records(venue.servers.broker, BOOKS_CHANGELOG.name)).values())
    assert largest > MEGABYTE
    assert headless, "no death came between the chunks of a snapshot"
    assert _report_bytes((await records(venue.servers.broker, EXECUTIONS.name)).values()) > MEGABYTE


def _snapshots(changelog: Iterable[list[LogRecord]]) -> tuple[int, set[int]]:
    """The bytes of the largest snapshot, and the offsets of those whose head was never written."""
    sizes: dict[int, int] = {}
    keys: set[bytes] = set()
    for record in (record for some in changelog for record in some if record.value is not None):
        keys.add(record.key or b"")
        if match := CHUNK.fullmatch(record.key or b""):
            sizes[int(match[1])] = sizes.get(int(match[1]), 0) + len(record.value or b"")
    return max(sizes.values(), default=0), {offset for offset in sizes if f"{INSTRUMENT}@{offset}".encode() not in keys}


def _report_bytes(executions: Iterable[list[LogRecord]]) -> int:
    """The size of the largest report, all its parts together, each counted once."""
    sizes: dict[int, dict[int, int]] = {}
    for record in (record for some in executions for record in some):
        report = decode_report(record.value or b"")
        if report.instrument == INSTRUMENT:
            sizes.setdefault(report.offset, {})[report.part] = len(record.value or b"")
    return max(sum(parts.values()) for parts in sizes.values())


async def _live(venue: Venue) -> None:
    """A life that ends well, with a last checkpoint."""
    await venue.start_worker("matching")
    await venue.wait_ready("matching")
    await until_quiet(Addresses(venue.servers.broker, venue.servers.database_url), timeout_s=180.0)
    await venue.stop_worker("matching")


async def _die(venue: Venue, failpoint: str, is_wiped: bool) -> None:
    process = await venue.start_worker("matching", env={"FAILPOINT": failpoint}, program=OFTEN)
    code = await asyncio.wait_for(process.wait(), DEATH_TIMEOUT_S)
    assert code == -signal.SIGKILL, f"{failpoint} was never reached: exit code {code}"
    if is_wiped:
        shutil.rmtree(venue.folder / "workers" / "matching-0")


async def _send(venue: Venue, commands: Iterable[CommandMessage]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=venue.servers.broker, enable_idempotence=True) as producer:
        key = INSTRUMENT.encode()
        sending = [await producer.send(ORDERS.name, encode_command(command), key=key) for command in commands]
        await asyncio.gather(*sending)


def _listing() -> ListInstrument:
    return ListInstrument(INSTRUMENT, "big", "BIG", "USD", tick_size="0.01", lot_size="0.01", max_fills=ORDERS_RESTING)


def _sell(number: int) -> PlaceOrder:
    """An order whose names are as long as they may be."""
    client, key = f"client-{number % 7}-".ljust(64, "x"), f"order-{number}-".ljust(64, "x")
    return PlaceOrder(INSTRUMENT, client, key, Side.SELL, OrderType.LIMIT, "1.00", f"{100 + number % 900}.00")


def _buy() -> PlaceOrder:
    return PlaceOrder(INSTRUMENT, "whale", "all", Side.BUY, OrderType.MARKET, f"{ORDERS_TAKEN}.00")
