"""A connection to `/stream` in the tests, each frame held to the committed document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from load.followed import Followed
from tests.web.conftest import Api
from tests.web.contract import complaint_about


class Socket:
    """A connection to /stream: requests are answered in order, other messages wait in `messages`."""

    def __init__(self, raw: aiohttp.ClientWebSocketResponse) -> None:
        self.raw, self.messages, self._answers = raw, list[dict[str, Any]](), 0

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request; its answer."""
        self._answers += 1
        await self.raw.send_str(orjson.dumps({"method": method, "params": params, "req_id": self._answers}).decode())
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next answer."""
        while True:
            frame = await self.receive()
            if "req_id" in frame:
                return frame
            self.messages.append(frame)

    async def receive(self) -> dict[str, Any]:
        """The next frame, which is held to the document."""
        frame = orjson.loads(await self.raw.receive_str(timeout=20))
        assert (wrong := complaint_about(frame)) is None, wrong
        return frame

    async def follow(self, followed: Followed) -> dict[str, Any]:
        """Subscribe; the result."""
        answer = await self.ask("subscribe", **followed.request(0)["params"])
        followed.begin(answer["result"])
        return answer["result"]

    async def until(self, followed: Followed, seq: int) -> list[dict[str, Any]]:
        """What one subscription gets until it has this seq; what others get stays. Raises Gap."""
        waiting, self.messages = self.messages, []
        taken = []
        while followed.last_seq is None or followed.last_seq < seq:
            frame = waiting.pop(0) if waiting else await self.receive()
            if frame.get("channel") == followed.channel:
                followed.take(frame)
                taken.append(frame)
            else:
                self.messages.append(frame)
        self.messages += waiting
        return taken


@asynccontextmanager
async def connected(api: Api, **headers: str) -> AsyncIterator[Socket]:
    """A socket of a gateway."""
    async with api.session.ws_connect(f"{api.url}/stream", headers={**api.authorization, **headers}) as raw:
        yield Socket(raw)


async def trade(api: Api, market: str, price: str = "100.00") -> int:
    """Two orders that trade; the seq of the report with the trade."""
    await api.place(instrument=market, side="sell", price=price, client_id="maker")
    return (await api.place(instrument=market, price=price, client_id="taker")).body["seq"]
