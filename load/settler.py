"""Settles a venue every minute while it is struck, with busts and failed instructions; says what does not add up."""

import asyncio
import time
from random import Random
from typing import Any

from aiohttp import ClientError

from load.client import Client

FIRST_AFTER_S, EVERY_S = 30.0, 60.0
PATIENT = {"Prefer": "wait=5"}
AGAIN_S = 0.5
DONE = (200, 201)


class Settler:
    """Asks for cycle after cycle under the keys chaos-1, chaos-2, …; the seed decides what is busted and what fails.

    The answer to a key is its cycle with all that is known of it, so the same requests read the cycles at the end.
    """

    def __init__(self, client: Client, seed: int) -> None:
        self._client, self._random = client, Random(seed)
        self.asked = 0

    async def run(self) -> None:
        """Settle every minute until canceled; whatever the venue cannot do at present is left out."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(began + FIRST_AFTER_S + EVERY_S * self.asked - time.monotonic())
            self.asked += 1
            cycle = await self._post("/settlements", f"chaos-{self.asked}")
            await self._disturb((cycle or {}).get("cycle"))

    async def end(self, timeout_s: float) -> list[str]:
        """Settle a last time once nothing strikes any more; every violation of what was promised, in a sentence."""
        give_up = time.monotonic() + timeout_s
        found: list[str] = []
        for key in (f"chaos-{number}" for number in range(1, self.asked + 2)):
            while not (cycle := await self._post("/settlements", key)) or cycle.get("seal") is None:
                if time.monotonic() > give_up:
                    return [*found, f"the cycle with the key {key} is not netted after {timeout_s:g} s"]
                await asyncio.sleep(AGAIN_S)
            found += _violations(cycle)
        return found

    async def _disturb(self, cycle: int | None) -> None:
        """Bust one of the newest trades, and let an instruction of the cycle fail, now and then all others settle."""
        if trades := await self._get("/trades", limit=50):
            trade = self._random.choice(trades)["trade_id"]
            await self._post(f"/trades/{trade}/bust", f"bust-{self.asked}", {"reason": "chaos"})
        if cycle is None:
            return
        for row in ((await self._get(f"/settlements/{cycle}/instructions", limit=20)) or {}).get("instructions", []):
            state = self._random.choice(["settled", "failed"])
            await self._post(f"/settlements/{cycle}/instructions/{row['instruction']}", None, {"state": state})

    async def _get(self, path: str, **query: object) -> Any:
        try:
            return await self._client.get(path, **query)
        except (ClientError, TimeoutError, OSError):
            return None

    async def _post(self, path: str, key: str | None, body: dict[str, str] | None = None) -> dict[str, Any] | None:
        """The answer; None if the venue could not do it now."""
        headers = PATIENT | ({"Idempotency-Key": key} if key else {})
        url = f"{self._client.url}/api/v1{path}"
        try:
            async with self._client.session.post(url, json=body, headers=headers) as response:
                return await response.json() if response.status in DONE else None
        except (ClientError, TimeoutError, OSError):
            return None


def _violations(cycle: dict[str, Any]) -> list[str]:
    name = f"cycle {cycle['cycle']}"
    found = [f"{name}: {row['asset']} adds up to {row['sum']}" for row in cycle["conservation"] if row["sum"] != "0"]
    if cycle["seal"] is None or cycle["state"] not in ("netted", "settled"):
        found.append(f"{name} is {cycle['state']} and has no seal")
    return found
