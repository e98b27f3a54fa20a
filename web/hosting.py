"""The gateway in aiohttp's application: started and stopped with it, and found by the handlers."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from app import settings
from web.gateway import Gateway

GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)


async def run_gateway(web_app: web.Application) -> AsyncIterator[None]:
    """aiohttp's cleanup context: everything is there while requests are served, and accepted orders are sent."""
    gateway = web_app[GATEWAY] = Gateway()
    await gateway.start()
    yield
    await gateway.stop()


async def drain(web_app: web.Application) -> None:
    """Not ready and no new commands, while everything else continues, until the balancers have noticed."""
    web_app[GATEWAY].outgoing.is_closing = True
    await asyncio.sleep(settings.drain_s)


async def close_streams(web_app: web.Application) -> None:
    """Tell WebSocket clients before the server waits for its requests to end."""
    await web_app[GATEWAY].hub.close()
