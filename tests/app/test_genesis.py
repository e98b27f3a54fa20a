"""The genesis records of a venue: a log id for each partition, and one secret of the order ids for all of them."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.kafka import genesis as records
from app.local.servers import Servers
from app.models.commands import Genesis, encode_command
from app.topics import ORDERS

PARTITIONS = 3
OLD = Genesis("00000000-0000-4000-8000-000000000001")
Begin = Callable[..., Awaitable[dict[int, Genesis]]]


@pytest.fixture
async def begin(servers: Servers, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Begins an `orders` topic of the test's own, in which some partitions may have a record already."""
    name = f"{topic_prefix}orders"
    monkeypatch.setattr(records, "ORDERS", replace(ORDERS, name=name))
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.broker)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    await admin.close()

    async def begun(**there: Genesis) -> dict[int, Genesis]:
        producer = AIOKafkaProducer(bootstrap_servers=servers.broker)
        await producer.start()
        for partition, genesis in there.items():
            await producer.send_and_wait(name, encode_command(genesis), partition=int(partition[1:]))
        await producer.stop()
        await records.write_genesis(servers.broker, PARTITIONS)
        return await records.all_genesis(servers.broker, PARTITIONS)

    return begun


async def test_all_partitions_of_a_new_venue_share_one_secret(begin: Begin) -> None:
    """So that an id depends on client, instrument and key only; a second setup changes nothing."""
    found = await begin()
    assert len(found) == len({genesis.log_id for genesis in found.values()}) == PARTITIONS
    (secret,) = {genesis.secret for genesis in found.values()}
    assert len(secret) == 32
    assert await begin() == found


async def test_a_setup_that_was_interrupted_goes_on_with_its_secret(begin: Begin) -> None:
    """Whoever began first has chosen it."""
    found = await begin(p1=Genesis(OLD.log_id, id_secret="ab" * 32))
    assert {genesis.id_secret for genesis in found.values()} == {"ab" * 32}


async def test_a_log_from_before_there_were_secrets_keeps_its_ids(begin: Begin) -> None:
    """Partitions that begin later get none either."""
    found = await begin(p0=OLD)
    assert found[0] == OLD
    assert {genesis.secret for genesis in found.values()} == {b""}


async def test_partitions_with_different_secrets_are_of_two_venues(begin: Begin) -> None:
    """Their ids could not be told from the request alone."""
    with pytest.raises(records.WrongTopic, match="different secrets"):
        await begin(p0=Genesis(OLD.log_id, id_secret="ab" * 32), p1=Genesis(OLD.log_id, id_secret="cd" * 32))


def test_a_genesis_without_a_secret_is_the_record_that_it_was() -> None:
    """Byte for byte; and the secret is not in what errors and logs show."""
    assert encode_command(OLD) == b'{"command":"genesis","log_id":"00000000-0000-4000-8000-000000000001"}'
    assert "ab" not in repr(Genesis(OLD.log_id, id_secret="ab" * 32))
