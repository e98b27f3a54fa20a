"""The three servers: they answer, keep their data and leave nothing behind."""

import asyncio
import subprocess
from pathlib import Path

import psycopg2
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from app.local import class_cache, kafka
from app.local.ports import Ports
from app.local.servers import Servers, running_servers
from tests.long import LONG


async def test_each_server_of_the_session_answers_its_client(servers: Servers, database_url: str) -> None:
    """A client of each kind connects to the address that the servers give."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.broker)
    await admin.start()
    assert len((await admin.describe_cluster())["brokers"]) == 1
    await admin.close()
    connection = psycopg2.connect(database_url)
    assert connection.server_version // 10_000 == 18
    connection.close()
    async with Redis.from_url(servers.redis_url) as redis:
        assert (await redis.info("server"))["valkey_version"].startswith("9.")


async def test_a_stop_leaves_no_process_and_the_data(tmp_path: Path) -> None:
    """Processes are gone and ports are free; the next start has the same addresses, and what was written before."""
    async with running_servers(tmp_path) as before:
        await _write_everywhere(before)
        identities = [process.identity for process in before.processes.values()]
        assert all(identity and identity.find() for identity in identities)
    assert not any(identity and identity.find() for identity in identities)
    again = Ports(tmp_path)  # raises BusyPort if one is taken
    assert (again.get("kafka"), again.get("postgres")) == (before.kafka_port, before.postgres_port)
    async with running_servers(tmp_path) as after:
        assert after.env == before.env
        consumer = AIOKafkaConsumer("kept", bootstrap_servers=after.broker, auto_offset_reset="earliest")
        await consumer.start()
        assert (await consumer.getone()).value == b"record"
        await consumer.stop()
        connection = psycopg2.connect(after.database_url)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT word FROM kept")
            assert cursor.fetchone() == ("row",)
        connection.close()
        async with Redis.from_url(after.redis_url) as redis:
            assert await redis.get("kept") == b"value"


@pytest.mark.skipif(not LONG, reason="takes half a minute: in `make faults`")
def test_a_broker_writes_the_cache_that_shortens_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JVM takes what it has written, and a file that is none does not keep Kafka from starting."""
    cache = tmp_path / "classes.aot"
    monkeypatch.setattr(kafka, "class_cache", lambda: cache)
    asyncio.run(class_cache.make(cache))
    assert [file.name for file in tmp_path.iterdir()] == [cache.name]
    command = kafka.prepare(tmp_path / "kafka", 1, 2)
    java = command.argv[: command.argv.index("kafka.Kafka")]
    assert f"-XX:AOTCache={cache}" in java
    tool = ["kafka.tools.StorageTool", "random-uuid"]
    required = subprocess.run([java[0], "-XX:AOTMode=on", *java[1:], *tool], capture_output=True, text=True)
    assert required.returncode == 0, required.stdout + required.stderr
    cache.write_bytes(b"no cache")
    ignored = subprocess.run([*java, *tool], capture_output=True, text=True)
    assert ignored.returncode == 0, ignored.stdout + ignored.stderr


async def _write_everywhere(servers: Servers) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.broker)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=servers.broker, acks="all")
    await producer.start()
    await producer.send_and_wait("kept", b"record")
    await producer.stop()
    connection = psycopg2.connect(servers.database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (word text)")
        cursor.execute("INSERT INTO kept VALUES ('row')")
    connection.close()
    async with Redis.from_url(servers.redis_url) as redis:
        await redis.set("kept", "value")
