"""Analytics ten minutes of the log behind, and once more from its beginning: no part of a bar is told as closed.

Nobody needs to wait for ten minutes: the reports have times of their own. A real matching engine makes them, the test
writes them to `executions`.
"""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import chain, cycle
from typing import Any

import pytest

from app import app
from app.analytics.history import Block
from app.analytics.intervals import Interval
from app.candles import Candles
from app.engine import Partition, partition_of
from app.kafka.one_shot import ToSend, send
from app.local.venue import Venue
from app.models.candles import Candle, CandlesUpdate, decode_update, encode_update
from app.models.reports import ExecutionReport, encode
from app.postgres.plain_sums import differing_rows
from app.postgres.reading import Reader
from app.topics import CANDLES, EXECUTIONS
from load.figures import SQL_TIMEOUT_S
from tests.integration.conftest import cli, records
from tests.until import LONG_PAUSE_S, until
from tests.venues import running_venue

MARKETS = ("A-X", "B-X")
START_MS = 1_767_571_200_000 - 4 * 60_000  # before a midnight that begins a week: bars of all intervals close
STEPS_MS = (100, 100, 6_700)  # so that some trades wait for the end of a slice
LIVE, ALL = 30, 330
"""Commands: analytics sees the first as they come, and is away for the 11 minutes of the others."""

Updates = dict[str, list[bytes]]
"""Market -> its records in `candles`, in their order."""


@pytest.fixture
async def quoted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """A venue in which nothing is matched: its analytics and recording, which nobody starts again."""
    workers = {"analytics": 1, "recording": 1}
    async with running_venue(tmp_path_factory.mktemp("lagging"), workers, supervised=False) as running:
        yield running


async def test_ten_minutes_of_lag_and_a_replay_tell_no_part_of_a_bar(quoted: Venue) -> None:
    """Each record of `candles` has the bytes of an undisturbed run; each closed bar in it has all of its trades."""
    found, broker, url = reports(), quoted.servers.broker, quoted.servers.database_url
    expected = undisturbed(found)
    await send(broker, map(_to_send, found[:LIVE]))
    await until(lambda: told(quoted), lambda seen: seen == undisturbed(found[:LIVE]), pause_s=LONG_PAUSE_S)

    await quoted.stop_worker("analytics")
    await send(broker, map(_to_send, found[LIVE:]))
    assert found[-1].time - found[LIVE].time > 10 * 60_000
    await quoted.start_worker("analytics")
    await until(lambda: told(quoted), lambda seen: seen == expected, pause_s=LONG_PAUSE_S)

    await quoted.stop_worker("analytics")
    rebuilt = await cli(quoted, "rebuild", "--candles")
    assert rebuilt.code == 0, rebuilt.err
    await quoted.start_worker("analytics")
    twice = {name: values * 2 for name, values in expected.items()}
    await until(lambda: told(quoted), lambda seen: seen == twice, pause_s=LONG_PAUSE_S)

    updates = [decode_update(value) for values in expected.values() for value in values]
    closed = [(update, bar) for update in updates for bar in update.bars if bar.closed]
    assert {bar.interval for _, bar in closed} == set(Interval) and any(bar.revision for _, bar in closed)
    for update, bar in closed:
        assert (bar.trades, bar.volume) == all_trades(found, update, bar)
    reader = Reader(url, SQL_TIMEOUT_S)
    await until(lambda: differing_rows(reader), lambda rows: rows == [], pause_s=LONG_PAUSE_S)
    await reader.close()


def reports() -> list[ExecutionReport]:
    """What a matching worker reports: a trade with every second order of a market, and some busts of older trades."""
    partition, found, steps, time_ms = Partition(0, 1), list[ExecutionReport](), cycle(STEPS_MS), START_MS
    for offset in range(ALL):
        name = MARKETS[offset % 2]
        value = json.dumps({"instrument": name} | _command(name, offset)).encode()
        output = partition.apply(offset, time_ms := time_ms + next(steps), name.encode(), value)
        assert output is not None
        found += output.reports
    return found


def undisturbed(found: list[ExecutionReport]) -> Updates:
    """The records of `candles` if each report is folded as it comes."""
    candles, updates = Candles(_no_block), {name: list[bytes]() for name in MARKETS}
    for offset, report in enumerate(found):
        output = candles.apply(offset, encode(report))
        assert output is not None
        if output.update is not None:
            updates[output.instrument].append(encode_update(output.update))
    return updates


def all_trades(found: list[ExecutionReport], update: CandlesUpdate, bar: Candle) -> tuple[int, str]:
    """How many trades the whole log has in the time of a bar, without those busted up to the update; their volume."""
    of_market = [report for report in found if report.instrument == update.instrument]
    busted = {report.bust.trade_seq for report in of_market if report.bust and report.seq <= update.seq}
    inside = [report for report in of_market if bar.open_time <= report.time <= bar.close_time]
    trades = [trade for report in inside for trade in report.trades if trade.seq not in busted]
    return len(trades), f"{sum(Decimal(trade.quantity) for trade in trades):.1f}"


async def told(venue: Venue) -> Updates:
    """What the topic has."""
    everything = chain.from_iterable((await records(venue.servers.broker, CANDLES.name)).values())
    updates = {name: list[bytes]() for name in MARKETS}
    for record in everything:
        updates[(record.key or b"").decode()].append(record.value or b"")
    return updates


def _command(name: str, number: int) -> dict[str, Any]:
    key = {"command_id": f"k{number}"}
    if number < len(MARKETS):
        return key | {"command": "list", "base_asset": name[0], "quote_asset": "X", "tick_size": "1", "lot_size": "0.1"}
    if number % 50 == 49:
        return key | {"command": "bust", "trade_id": f"{name}-{number // 10}", "reason": "wrong price"}
    side = ("buy", "sell")[number // 2 % 2]
    order = {"command": "place", "client_id": side, "client_order_id": f"k{number}", "side": side, "type": "limit"}
    return order | {"price": str(100 + number // 4 % 7), "quantity": f"0.{1 + number // 4 % 5}"}


def _to_send(report: ExecutionReport) -> ToSend:
    name = report.instrument
    return ToSend(EXECUTIONS.name, partition_of(name, app.conf.topic_partitions), name.encode(), encode(report))


def _no_block(instrument: str, number: int) -> Block:
    raise AssertionError("a market has fewer trades than a block")
