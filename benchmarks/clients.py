"""Client processes that offer orders to a venue's gateways together (load/offering.py)."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle
from multiprocessing import get_context
from typing import Any

from load.offering import Offered, Share, offer

_barrier: Any = None


class Clients:
    """As many processes as `count`, as a context manager."""

    def __init__(self, count: int) -> None:
        context = get_context("spawn")
        self._count = count
        self._pool = ProcessPoolExecutor(count, context, _begin, (context.Barrier(count),))

    def __enter__(self) -> "Clients":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    async def offer(self, urls: Sequence[str], rate: float, seconds: float, connections: int) -> list[Offered]:
        """What became of `rate` orders a second over all processes, by process; these take the gateways in turn."""
        tag = f"r{time.time_ns() // 1_000_000:x}"
        shares = [
            Share(url, rate / self._count, seconds, connections // self._count, round(rate) + number, f"{tag}-{number}")
            for number, url in zip(range(self._count), cycle(urls), strict=False)
        ]
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(self._pool, _offer, share) for share in shares))


def _begin(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _offer(share: Share) -> Offered:
    return offer(share, _barrier.wait)
