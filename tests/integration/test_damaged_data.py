"""Damaged or foreign data: a worker says so in one sentence and ends, it never goes on with something else (T2)."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import PolicyViolationError

from app.local.venue import Venue
from app.setup import prepare
from app.topics import BOOKS_CHANGELOG, ORDERS
from load.client import Client
from load.ledger import Ledger
from load.profiles import TEN_INSTRUMENTS
from load.request import Terms
from load.run import check
from tests.integration.conftest import addresses, end_of, judge, records
from tests.long import LONG
from tests.until import until
from tests.venues import running_venue

pytestmark = pytest.mark.skipif(not LONG, reason="takes a minute: in `make faults`")

END_TIMEOUT_S = 120.0
ORDERS_EACH = 5
DELETING = {**BOOKS_CHANGELOG.config, "cleanup.policy": "compact,delete"}


@pytest.fixture(scope="module")
async def broken(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """A venue that is broken more and more by these tests, in their order; nobody starts again what ends."""
    async with running_venue(tmp_path_factory.mktemp("broken"), supervised=False) as running:
        ledger = Ledger()
        async with Client(running.url, ledger) as client:
            for number in range(ORDERS_EACH * len(TEN_INSTRUMENTS)):
                instrument = TEN_INSTRUMENTS[number % len(TEN_INSTRUMENTS)]
                await client.place(Terms("ann", instrument, "buy", "limit", "0.01", "1.00"))
        await judge(running, ledger)
        yield running


async def test_a_changelog_that_is_gone_costs_time_only(broken: Venue) -> None:
    """Without any checkpoint the books come from the log's beginning, exactly."""
    await broken.stop_worker("matching")
    await _truncate(broken, keep_manifests=False)
    await broken.start_worker("matching")
    ledger = Ledger()
    async with Client(broken.url, ledger) as client:
        for instrument in TEN_INSTRUMENTS:
            answer = await client.place(Terms("ann", instrument, "buy", "limit", "0.01", "1.00"))
            await client.matched(answer.json()["order_id"], END_TIMEOUT_S)
    verdict = await check(addresses(broken), ledger, naive=True)
    assert verdict.is_right and not verdict.in_flight, verdict.as_text()


async def test_a_truncated_changelog_is_refused(broken: Venue) -> None:
    """The manifest is there, and the snapshots that it names are not."""
    await broken.stop_worker("matching")
    await _truncate(broken, keep_manifests=True)
    said = await end_of(broken, "matching")
    assert "state damaged, run `faust -A app rebuild`: the manifest at" in said
    assert "which is not in the changelog" in said


async def test_an_orders_topic_made_anew_is_refused(broken: Venue) -> None:
    """The changelog and the database belong to a log that is no more."""
    await broken.stop_worker("recording")
    await _make_anew(broken, ORDERS.name)
    assert "the changelog is that of another orders log" in await end_of(broken, "matching")
    assert "it belongs to another installation" in await end_of(broken, "recording")


async def _truncate(venue: Venue, keep_manifests: bool) -> None:
    """Delete the changelog, or what lies before the newest manifest of each partition."""
    changelog = await records(venue.servers.broker, BOOKS_CHANGELOG.name)
    ends: dict[TopicPartition, RecordsToDelete] = {}
    for number, some in changelog.items():
        manifests = [record.offset for record in some if record.value and (record.key or b"").startswith(b"_manifest@")]
        if manifests:
            end = manifests[-1] if keep_manifests else some[-1].offset + 1
            ends[TopicPartition(BOOKS_CHANGELOG.name, number)] = RecordsToDelete(end)
    assert ends
    admin = AIOKafkaAdminClient(bootstrap_servers=venue.servers.broker)
    await admin.start()
    try:
        # Kafka deletes no records of a compacted topic: somebody must have meant it.
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, BOOKS_CHANGELOG.name, DELETING)])
        await until(lambda: _deleted(admin, ends))
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, BOOKS_CHANGELOG.name, BOOKS_CHANGELOG.config)]
        )
    finally:
        await admin.close()


async def _deleted(admin: AIOKafkaAdminClient, ends: dict[TopicPartition, RecordsToDelete]) -> bool:
    """Whether the broker has deleted the records; it refuses until it has taken over the topic's new settings."""
    try:
        await admin.delete_records(ends)
    except PolicyViolationError:
        return False
    return True


async def _make_anew(venue: Venue, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=venue.servers.broker)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        await until(admin.list_topics, lambda names: topic not in names)
    finally:
        await admin.close()
    await prepare(venue.servers.broker, venue.servers.database_url)
