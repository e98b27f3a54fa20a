"""Waits until a server answers in its own protocol: an open port does not show that a server is ready."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from app.local import kafka, postgres
from app.local.ports import HOST
from app.local.problems import CannotStart
from app.local.process import Process

POLL_S = 0.05
ANSWER_TIMEOUT_S = 2.0


class NotReady(CannotStart):
    """A server ended or did not answer; the message names its log."""


Probe = Callable[[], Awaitable[bool]]


async def wait_ready(process: Process, probe: Probe, timeout_s: float) -> None:
    """Return once the probe succeeds; raises NotReady if the process ends or the timeout passes first."""
    name, log = process.command.name, process.log
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not await probe():
                if not process.running:
                    raise NotReady(f"{name} ended while starting (exit code {process.exit_code}): see {log}.")
                await asyncio.sleep(POLL_S)
            return
    raise NotReady(f"{name} did not answer within {timeout_s:.0f} s: see {log}.")


async def kafka_answers(port: int) -> bool:
    """Whether the broker answers an ApiVersions request."""
    return bool(await _first_bytes(port, kafka.API_VERSIONS_REQUEST))


async def valkey_answers(port: int) -> bool:
    """Whether Valkey answers PING with PONG; while loading its data it answers with an error instead."""
    return await _first_bytes(port, b"PING\r\n") == b"+PONG\r\n"


async def postgres_answers(port: int) -> bool:
    """Whether Postgres accepts connections."""
    return await asyncio.to_thread(postgres.is_ready, port)


async def _first_bytes(port: int, question: bytes) -> bytes:
    """The first 7 bytes of the answer; empty if no answer comes within ANSWER_TIMEOUT_S."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(question)
                return await reader.readexactly(7)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, EOFError, TimeoutError):
        return b""
