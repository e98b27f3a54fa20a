"""A client of `/stream` that resumes by itself, at one gateway after the other, and proves that nothing is missing."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType

from load.followed import Followed, Message, WrongCopy

RECONNECT_S = 0.2
RETRY_S = 1.0
FROM_THE_BEGINNING = ("snapshot_required", "other_epoch")
"""Refusals after which a position is worth nothing."""

_decode = msgspec.json.Decoder().decode


class StreamRefused(Exception):
    """The venue refuses a subscription for good."""


class StreamClient:
    """Subscriptions over one connection at a time."""

    def __init__(
        self,
        urls: Sequence[str],
        followed: Iterable[Followed],
        heard: Callable[[Followed, Message], None] = lambda followed, message: None,
        key: str | None = None,
    ) -> None:
        """`heard` is called with each message of each subscription."""
        self._urls, self._heard = list(urls), heard
        self.followed = list(followed)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._socket: ClientWebSocketResponse | None = None
        self.connects = 0
        self.wrong_copies = 0

    async def run(self) -> None:
        """Follow until cancelled; a lost connection is made again, at the next gateway. Raises Gap, StreamRefused."""
        async with ClientSession(headers=self._headers) as session:
            while True:
                url = self._urls[self.connects % len(self._urls)]
                self.connects += 1
                try:
                    async with session.ws_connect(f"{url}/stream", heartbeat=30) as self._socket:
                        await self._follow(self._socket)
                except (ClientError, OSError, TimeoutError):
                    pass
                await asyncio.sleep(RECONNECT_S)

    def cut(self) -> bool:
        """Lose the connection, with what is on its way; False if there is none."""
        if self._socket is None or self._socket.closed:
            return False
        raw = self._socket.get_extra_info("socket")
        if raw is None:
            return False
        with suppress(OSError):
            raw.shutdown(SHUT_RDWR)
        return True

    async def _follow(self, socket: ClientWebSocketResponse) -> None:
        by_key: dict[tuple[str, str, str | None], Followed] = {}
        for number, followed in enumerate(self.followed):
            await socket.send_json(followed.request(number))
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                return
            message = _decode(frame.data)
            if "result" in message and "recovered" in message["result"]:
                followed = self.followed[message["req_id"]]
                by_key[followed.key] = followed
                followed.begin(message["result"])
            elif "error" in message:
                await self._ask_again(socket, self.followed[message["req_id"]], message["error"], message["req_id"])
            elif "prev_seq" in message:
                await self._take(socket, by_key, message)

    async def _take(
        self, socket: ClientWebSocketResponse, by_key: dict[tuple[str, str, str | None], Followed], message: Message
    ) -> None:
        key = message["channel"], message["instrument"], message.get("client_id")
        followed = by_key.get(key) or by_key.get((*key[:2], None))
        if followed is None:
            return  # it has just been unsubscribed
        try:
            followed.take(message)
        except WrongCopy:
            self.wrong_copies += 1
            del by_key[followed.key]
            followed.begin_again()
            params = {"channel": followed.channel, "instrument": followed.instrument}
            await socket.send_json({"method": "unsubscribe", "params": params})
            await socket.send_json(followed.request(self.followed.index(followed)))
            return
        self._heard(followed, message)

    async def _ask_again(
        self, socket: ClientWebSocketResponse, followed: Followed, error: dict[str, Any], req_id: int
    ) -> None:
        if error["code"] in FROM_THE_BEGINNING:
            followed.begin_again()
        elif error["code"] in ("beyond_end", "overloaded", "rate_limited", "not_ready"):
            await asyncio.sleep(error.get("retry_after_s") or RETRY_S)
        else:
            raise StreamRefused(f"{followed.key}: {error['message']}")
        await socket.send_json(followed.request(req_id))
