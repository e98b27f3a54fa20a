"""Finding old reports in `executions`, where another program may have written under a market's key."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiokafka.admin import NewTopic
from msgspec.structs import replace as replaced

from app.kafka.admin import connected_admin
from app.kafka.one_shot import ToSend, send
from app.local.servers import Servers
from app.models.reports import encode
from app.topics import EXECUTIONS
from tests.matching.streams import INSTRUMENT
from tests.web.test_earlier_reports import Log
from web.market import log
from web.market.log import LogReader, Unreadable

FOREIGN = (b"", b"{}", b"\xff", b'{"instrument":"' + INSTRUMENT.encode() + b'"}', b"[" * 10_000)
EVERY = 7  # so many reports lie between two of them


@pytest.fixture
async def reader(servers: Servers, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LogReader]:
    """A reader of `executions` under a name of the test's own."""
    spec = replace(EXECUTIONS, name=f"{topic_prefix}executions")
    monkeypatch.setattr(log, "EXECUTIONS", spec)
    async with connected_admin(servers.broker) as admin:
        await admin.create_topics([NewTopic(spec.name, 1, 1)])
    opened = LogReader(servers.broker, 1)
    yield opened
    await opened.close()


async def write(servers: Servers, *values: bytes) -> None:
    """Each as a record of the market."""
    await send(servers.broker, [ToSend(log.EXECUTIONS.name, 0, INSTRUMENT.encode(), value) for value in values])


async def test_records_of_another_program_hide_no_report(servers: Servers, reader: LogReader) -> None:
    """A search that meets them continues, and what it reads is the reports."""
    # Without listings: the random ones have windows that no record can have.
    reports, records = [replaced(report, listing=None) for report in Log(seed=3).reports], list[bytes]()
    for number, report in enumerate(reports):
        records += [*(FOREIGN if number % EVERY == 0 else ()), encode(report)]
    await write(servers, *records)
    for report in reports[::20]:
        if report.part == 1:
            assert (await reader.report(INSTRUMENT, report.seq))[0] == report
            found, _ = await reader.after(INSTRUMENT, report.seq - 1, None)
            assert found[:2] == reports[report.seq - 1 : report.seq + 1]


async def test_a_report_that_this_release_cannot_read_is_not_passed_over(servers: Servers, reader: LogReader) -> None:
    """It has an instrument and a seq, so it is a report: leaving it out would lose it."""
    first, *others = Log(seed=3).reports[:3]
    later = encode(others[0]).replace(b'"outcome":"', b'"outcome":"later ')
    await write(servers, encode(first), later, encode(others[1]))
    with pytest.raises(Unreadable, match="at offset 1 is unreadable"):
        await reader.after(INSTRUMENT, 0, None)
