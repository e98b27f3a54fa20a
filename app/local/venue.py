"""A whole venue on this machine, servers and one process per worker, for the launcher, the demo and the tests."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp

from app.configuration import ROLES
from app.local import state
from app.local.ports import HOST, Ports
from app.local.problems import CannotStart
from app.local.process import Command, Process
from app.local.servers import Servers
from app.local.supervisor import Supervisor
from app.local.upkeep import Upkeep
from app.setup import prepare

ROOT = Path(__file__).parents[2]
ONE_OF_EACH: Mapping[str, int] = dict.fromkeys(ROLES, 1)
WORKER_STOP_TIMEOUT_S = 15.0
READY_TIMEOUT_S = 60.0
LOOK_TIMEOUT_S = 5.0  # a gateway asks Kafka, Postgres and Valkey before it answers
POLL_S = 0.1
FAUST = ("-m", "faust")
FIRST_TO_STOP = "gateway"
"""Gateways stop accepting orders before the processes behind them stop."""


@dataclass(frozen=True)
class Worker:
    """One Faust process: its role, and its number (slot) among that role's processes."""

    role: str
    slot: int

    @property
    def name(self) -> str:
        return f"{self.role}-{self.slot}"


class Venue:
    """Servers and workers of one data folder. `supervised` restarts every process that dies, servers included.

    `lives_long`: see Servers. `process` makes the workers' processes: most tests fork them from a process that has done
    its imports.
    """

    def __init__(
        self,
        folder: Path,
        workers: Mapping[str, int] = ONE_OF_EACH,
        *,
        ports: Ports | None = None,
        supervised: bool = True,
        env: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda line: None,
        process: Callable[[Command, Path], Process] = Process,
        lives_long: bool = False,
    ) -> None:
        self.folder = folder.resolve()
        self.ports = ports or Ports(self.folder, usual=False)
        self.workers = [Worker(role, slot) for role, count in workers.items() for slot in range(count)]
        self.servers = Servers(self.folder, self.ports, say, lives_long)
        self.processes: dict[str, Process] = {}
        """The workers' processes by name, `matching-0`."""
        self._supervisor = Supervisor(say, self._remember) if supervised else None
        self._upkeep = Upkeep(self.folder, say, self._remember_again)
        self._keeping: asyncio.Task[None] | None = None
        self._is_remembered = False
        self._env = dict(env or {})
        self._process = process
        self._ready = False

    @property
    def env(self) -> dict[str, str]:
        """The environment variables with which a program finds this venue."""
        return self.servers.env | {"MATCHSTREAM_URL": self.url} | self._env

    @property
    def url(self) -> str:
        """The first gateway's base URL."""
        return self.web_url("gateway")

    def web_url(self, role: str, slot: int = 0) -> str:
        """The base URL of a worker's web server: the API of a gateway, health and metrics of other roles."""
        return f"http://{HOST}:{self.ports.get(f'{role}-{slot}')}"

    async def start(self) -> None:
        """Start the servers, create topics, schema and instruments, start the workers; return when all are ready.

        What runs already goes on running.
        """
        await self.start_servers()
        await prepare(self.servers.broker, self.servers.database_url)
        missing = [worker for worker in self.workers if not self._runs(worker)]
        await asyncio.gather(*(self.start_worker(worker.role, worker.slot) for worker in missing))
        await self.wait_all_ready()
        self._ready = True
        self._remember()

    async def start_servers(self) -> None:
        """Start the servers only."""
        self._remember()
        if self._supervisor:
            self._keeping = asyncio.create_task(self._upkeep.run())
        await self.servers.start()
        for process in self.servers.processes.values():
            self._watch(process)

    async def start_worker(
        self, role: str, slot: int = 0, env: Mapping[str, str] | None = None, program: Sequence[str] = FAUST
    ) -> Process:
        """Start one worker without waiting until it is ready; `env` adds variables (`FAILPOINT`).

        `program` are Python's arguments for a program that takes Faust's arguments (benchmarks/worker.py). Raises
        ValueError if this worker runs: we would forget the process that we have, and never stop it.
        """
        name = Worker(role, slot).name
        if self._runs(Worker(role, slot)):
            raise ValueError(f"{name} runs: stop it first")
        process = self.processes[name] = self._process(self._command(role, slot, env or {}, program), self.log(name))
        await process.start()
        self._watch(process)
        return process

    async def wait_ready(self, role: str, slot: int = 0) -> None:
        """Return once the worker's /readyz answers 200; raises CannotStart after READY_TIMEOUT_S."""
        await self._until_ready([Worker(role, slot)])

    async def wait_all_ready(self) -> None:
        """Return once every worker's /readyz answers 200 in the same round; raises CannotStart after READY_TIMEOUT_S.

        A ready worker can become unready: when a second one of its role joins, it hands over partitions and restarts.
        """
        await self._until_ready(self.workers)

    async def kill(self, role: str, slot: int = 0, *, for_good: bool = False) -> None:
        """Send SIGKILL to a worker or a server (`kafka`), and return when it has ended.

        In a supervised venue it is restarted, unless `for_good`.
        """
        process = self.process(role, slot)
        if self._supervisor and for_good:
            await self._supervisor.release(process)
        await process.kill()

    async def stop_worker(self, role: str, slot: int = 0) -> None:
        """Stop one worker gracefully; it stays stopped."""
        process = self.process(role, slot)
        if self._supervisor:
            await self._supervisor.release(process)
        await process.stop()

    def process(self, role: str, slot: int = 0) -> Process:
        """The process of a worker or a server."""
        return self.servers.processes.get(role) or self.processes[Worker(role, slot).name]

    def worker_env(self, role: str, slot: int = 0) -> dict[str, str]:
        """The environment variables that make a process this worker."""
        name = Worker(role, slot).name
        return {
            "ROLE": role,
            "SLOT": str(slot),
            "WEB_PORT": str(self.ports.get(name)),
            # Faust would take text in braces for the name of a setting.
            "APP_DATADIR": str(self.folder / "workers" / name).replace("{", "{{").replace("}", "}}"),
            "PYTHONUNBUFFERED": "1",
        }

    def log(self, name: str) -> Path:
        """The log file of `kafka`, `matching-0` …"""
        return self.folder / "logs" / f"{name}.log"

    async def stop(self) -> None:
        """Stop the gateways, then the other workers, then the servers; return when no process is left."""
        await self._let_go()
        first = [process for name, process in self.processes.items() if name.startswith(FIRST_TO_STOP)]
        await asyncio.gather(*(process.stop() for process in first))
        await asyncio.gather(*(process.stop() for process in self.processes.values()))
        await self.servers.stop()
        (self.folder / state.STATE).unlink(missing_ok=True)

    async def kill_all(self) -> None:
        """Send SIGKILL to all processes at once, as if the machine lost power; files on disk stay as they are."""
        await self._let_go()
        every = [*self.processes.values(), *self.servers.processes.values()]
        await asyncio.gather(*(process.kill() for process in every))

    def _runs(self, worker: Worker) -> bool:
        return worker.name in self.processes and self.processes[worker.name].running

    async def _until_ready(self, workers: Sequence[Worker]) -> None:
        give_up = time.monotonic() + READY_TIMEOUT_S
        urls = [f"{self.web_url(worker.role, worker.slot)}/readyz" for worker in workers]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LOOK_TIMEOUT_S)) as session:
            while True:
                are_ready = await asyncio.gather(*(_is_ready(session, url) for url in urls))
                if all(are_ready):
                    return
                if time.monotonic() > give_up:
                    worker = workers[are_ready.index(False)]
                    sentence = f"{worker.role} {worker.slot} was not ready within {READY_TIMEOUT_S:.0f} s"
                    raise CannotStart(f"{sentence}: see {self.log(worker.name)}.")
                await asyncio.sleep(POLL_S)

    def _command(self, role: str, slot: int, env: Mapping[str, str], program: Sequence[str]) -> Command:
        name = Worker(role, slot).name
        argv = [sys.executable, *program, "--loop", "uvloop", "-A", "app", "worker", "-l", "info"]
        everything = {**os.environ, **self.env, **self.worker_env(role, slot), **env}
        return Command(name, argv, cwd=ROOT, env=everything, stop_timeout_s=WORKER_STOP_TIMEOUT_S)

    def _watch(self, process: Process) -> None:
        if self._supervisor:
            self._supervisor.watch(process)
        self._remember()

    async def _let_go(self) -> None:
        if self._supervisor:
            await self._supervisor.release()
        if self._keeping:
            self._keeping.cancel()

    def _remember(self) -> None:
        names = [*(worker.name for worker in self.workers), *self.processes]
        has_gateway = any(name.startswith("gateway-") for name in names)
        addresses = self.servers.env | ({"gateway": self.url} if has_gateway else {})
        processes = [*self.servers.processes.values(), *self.processes.values()]
        try:
            state.write(self.folder, addresses, processes, self.ports.claimed, self._ready)
            self._is_remembered = True
        except OSError:  # the disk is full: the upkeep tries again
            self._is_remembered = False

    def _remember_again(self) -> None:
        if not self._is_remembered:
            self._remember()


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == HTTPStatus.OK
    except (aiohttp.ClientError, TimeoutError):
        return False


@asynccontextmanager
async def running_venue(
    folder: Path,
    workers: Mapping[str, int] = ONE_OF_EACH,
    supervised: bool = True,
    say: Callable[[str], None] = lambda line: None,
    env: Mapping[str, str] | None = None,
    process: Callable[[Command, Path], Process] = Process,
    lives_long: bool = False,
) -> AsyncIterator[Venue]:
    """Run a venue on free ports with its data in `folder`, ready for orders, for a test or a tool."""
    venue = Venue(folder, workers, supervised=supervised, say=say, env=env, process=process, lives_long=lives_long)
    try:
        await venue.start()
        yield venue
    finally:
        await venue.stop()
