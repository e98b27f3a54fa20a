"""Faults for a venue on this machine: signals to its processes, damage to its servers, records that are not allowed.

Each takes a bounded time, resumes the processes that it paused, and leaves behind only what the venue must cope with.
"""

import asyncio
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from uuid import uuid4

import redis.asyncio as redis
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteGroupsRequest

from app.configuration import Role
from app.engine import partition_of
from app.kafka.groups import group_of
from app.kafka.one_shot import ToSend, send
from app.matching.words import OrderType, Side
from app.models.commands import PlaceOrder, encode_command
from app.postgres import lock_history
from app.topics import ORDERS
from load.profiles import TEN_INSTRUMENTS
from load.target import Target

SESSION_TIMEOUT_S = 10.0  # after this time Kafka removes a silent member from its group
NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND = 68, 69
PARTITIONS = 8
RETRY_S = 0.2


async def kill(target: Target, *names: str) -> None:
    """Send SIGKILL to all of them at once; raises ProcessLookupError if none is running."""
    if not target.send(signal.SIGKILL, *names):
        raise ProcessLookupError(f"not running: {', '.join(names)}")


async def kill_in_a_loop(target: Target, name: str, times: int, gap_s: float) -> None:
    """Send SIGKILL repeatedly, so that some hit the process while it still loads."""
    for _ in range(times):
        target.send(signal.SIGKILL, name)
        await asyncio.sleep(gap_s)


async def pause(target: Target, seconds: float, *names: str) -> None:
    """Stop these processes (SIGSTOP) for this many seconds."""
    with paused(target, *names):
        await asyncio.sleep(seconds)


@contextmanager
def paused(target: Target, *names: str) -> Iterator[None]:
    """Stop these processes (SIGSTOP), and always resume them at the end (SIGCONT)."""
    stopped = list(filter(None, map(target.process, names)))
    try:
        for process in stopped:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGSTOP)
        yield
    finally:
        for process in stopped:
            if process.is_running():
                process.send_signal(signal.SIGCONT)


async def lock_tables(target: Target, seconds: float) -> None:
    """Lock Postgres' history against readers and writers, as a careless migration would."""
    await lock_history(target.venue.database_url, seconds)


async def flush_keys(target: Target) -> None:
    """Make Valkey forget every idempotency key."""
    client = redis.from_url(target.redis_url, socket_timeout=5.0)
    try:
        await client.flushall()
    finally:
        await client.aclose()


async def delete_tables(target: Target, name: str) -> None:
    """Delete a worker's data folder while it runs."""
    await asyncio.to_thread(shutil.rmtree, target.folder / "workers" / name, ignore_errors=True)


async def corrupt_tables(target: Target, name: str, random: Random) -> None:
    """Change bytes in a worker's RocksDB files while it runs."""
    for file in (target.folder / "workers" / name).rglob("*.db/*"):
        with suppress(OSError):
            content = bytearray(file.read_bytes())
            for _ in range(min(16, len(content))):
                content[random.randrange(len(content))] ^= 0xFF
            file.write_bytes(content)


async def delete_group(target: Target, *names: str) -> None:
    """Pause all members of matching's group until Kafka has removed them, then delete the group."""
    deleting = asyncio.create_task(delete_group_of("matching", target.venue.broker))
    await pause(target, SESSION_TIMEOUT_S + 2.0, *names)
    await deleting


async def poison(target: Target) -> None:
    """Write to `orders` what is not a command, is for an unlisted market, or has the wrong key or partition."""
    good, book = encode_command(_order("BTC-USD", "poison")), partition_of("BTC-USD", PARTITIONS)
    records = [
        (b"BTC-USD", b"poison", book),
        (b"BTC-USD", None, book),
        (b"BTC-USD", good[:-2], book),
        (b"BTC-USD", b"\xff" * 900_000, book),
        (b"BTC-USD", b"[" * 10_000, book),
        (None, good, book),
        (b"ETH-USD", good, book),
        (b"BTC-USD", good, (book + 1) % PARTITIONS),
        (b"NOT-LISTED", encode_command(_order("NOT-LISTED", "poison")), partition_of("NOT-LISTED", PARTITIONS)),
    ]
    await send(
        target.venue.broker, [ToSend(ORDERS.name, partition_id, key, value) for key, value, partition_id in records]
    )


async def use_transactions(target: Target) -> None:
    """Write orders in a committed and an aborted transaction, which both count; each leaves a hole in the offsets."""
    broker, tag = target.venue.broker, uuid4().hex[:12]
    for is_committed in (True, False):
        async with _producer(broker, transactional_id=f"somebody-{tag}-{is_committed}") as producer:
            await producer.begin_transaction()
            await _send_orders(producer, f"{tag}-{is_committed}")
            await (producer.commit_transaction() if is_committed else producer.abort_transaction())


async def _send_orders(producer: AIOKafkaProducer, key: str) -> None:
    for instrument in TEN_INSTRUMENTS:
        await producer.send_and_wait(ORDERS.name, encode_command(_order(instrument, key)), key=instrument.encode())


def _order(instrument: str, key: str) -> PlaceOrder:
    return PlaceOrder(instrument, "somebody", key, Side.BUY, OrderType.LIMIT, "0.01", "1.00")


def _producer(broker: str, transactional_id: str | None = None) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=broker, acks="all", transactional_id=transactional_id)


async def delete_group_of(role: Role, broker: str) -> None:
    """Delete a role's consumer group as soon as it has no members; raises TimeoutError."""
    group = group_of(role)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        coordinator, give_up = await admin.find_coordinator(group), time.monotonic() + 2 * SESSION_TIMEOUT_S
        while True:
            answer = await admin._send_request(DeleteGroupsRequest([group]), coordinator)
            code = dict(answer.results)[group]
            if code in (0, GROUP_ID_NOT_FOUND):
                return
            if code != NON_EMPTY_GROUP or time.monotonic() > give_up:
                raise TimeoutError(f"Kafka did not delete the group {group}: error {code}")
            await asyncio.sleep(RETRY_S)
    finally:
        await admin.close()
