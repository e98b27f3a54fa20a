"""The three servers together: started in parallel in one data folder, stopped together."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.local import kafka, postgres, ready, valkey
from app.local.ports import HOST, Ports
from app.local.problems import CannotStart
from app.local.process import Command, Process
from app.local.ready import NotReady, Probe, wait_ready

PREDECESSOR = (
    "Address already in use",
    "another postmaster",
    "pre-existing shared memory block",
    "Failed to acquire lock",
)
"""A server logs one of these and ends if a process of its previous run is still alive."""
PREDECESSOR_TIMEOUT_S = 20.0
PREDECESSOR_PAUSE_S = 0.5


@dataclass(frozen=True)
class Server:
    """How to prepare and start one server, and how to tell that it is ready."""

    name: str
    prepare: Callable[[], Command]
    probe: Probe
    start_timeout_s: float


@dataclass
class Servers:
    """The servers of one data folder; after a stop they can be started again."""

    folder: Path
    ports: Ports
    say: Callable[[str], None] = lambda line: None
    """Gets progress lines of Kafka's first download."""
    lives_long: bool = False
    """Whether Kafka may spend the CPU of its first traffic on becoming faster."""

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.kafka_port = self.ports.get("kafka")
        self.controller_port = self.ports.get("kafka-controller")
        self.postgres_port = self.ports.get("postgres")
        self.valkey_port = self.ports.get("valkey")
        self.processes: dict[str, Process] = {}

    @property
    def broker(self) -> str:
        """Kafka's bootstrap server, host:port."""
        return f"{HOST}:{self.kafka_port}"

    @property
    def database_url(self) -> str:
        return postgres.url(self.postgres_port)

    @property
    def redis_url(self) -> str:
        return valkey.url(self.valkey_port)

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that tell the application where the servers are (app/configuration.py)."""
        return {
            "BROKER_URL": f"kafka://{self.broker}",
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
        }

    def each(self) -> tuple[Server, ...]:
        """The servers, in the order in which we print their names."""
        folder = self.folder
        kafka_ports = self.kafka_port, self.controller_port
        prepare_kafka = partial(kafka.prepare, folder / "kafka", *kafka_ports, self.say, self.lives_long)
        prepare_postgres = partial(postgres.prepare, folder / "postgres", self.postgres_port)
        prepare_valkey = partial(valkey.prepare, folder / "valkey", self.valkey_port)
        return (
            Server("kafka", prepare_kafka, partial(ready.kafka_answers, self.kafka_port), kafka.START_TIMEOUT_S),
            Server(
                "postgres",
                prepare_postgres,
                partial(ready.postgres_answers, self.postgres_port),
                postgres.START_TIMEOUT_S,
            ),
            Server("valkey", prepare_valkey, partial(ready.valkey_answers, self.valkey_port), valkey.START_TIMEOUT_S),
        )

    async def start(self) -> None:
        """Start the servers that do not run, wait until all answer, and create the database.

        If one fails, stop all and raise its CannotStart.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for server in self.each():
                    tasks.create_task(self.start_one(server))
        except BaseException as error:
            await self.stop()
            raise error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error from None
        await asyncio.to_thread(postgres.create_database, self.postgres_port)

    async def start_one(self, server: Server) -> None:
        """Prepare and start one server unless it runs, and wait until it answers. Raises CannotStart.

        Retries if the server ends because a killed predecessor's processes still hold memory, a lock or the port.
        """
        process = self.processes.get(server.name)
        try:
            if process is None or not process.running:
                command = await asyncio.to_thread(server.prepare)
                process = self.processes[server.name] = Process(command, self.folder / "logs" / f"{server.name}.log")
                await process.start()
            give_up: float | None = None
            while True:
                try:
                    return await wait_ready(process, server.probe, server.start_timeout_s)
                except NotReady:
                    give_up = give_up or time.monotonic() + PREDECESSOR_TIMEOUT_S
                    if process.running or time.monotonic() > give_up or not _meets_predecessor(process):
                        raise
                await asyncio.sleep(PREDECESSOR_PAUSE_S)
                await process.start()
        except OSError as error:
            raise CannotStart(f"{server.name} cannot start in {self.folder}: {error}") from error

    async def stop(self) -> None:
        """Stop all in parallel."""
        await asyncio.gather(*(process.stop() for process in self.processes.values()))


def _meets_predecessor(process: Process) -> bool:
    said = process.last_words()
    return any(words in said for words in PREDECESSOR)


@asynccontextmanager
async def running_servers(folder: Path) -> AsyncIterator[Servers]:
    """The three servers on free ports with their data in `folder`, for a test or a tool."""
    servers = Servers(folder, Ports(folder, usual=False))
    await servers.start()
    try:
        yield servers
    finally:
        await servers.stop()
