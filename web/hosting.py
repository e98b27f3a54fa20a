"""Ties the gateway to aiohttp's application: starts and stops it, and gives it to the handlers."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from app import settings
from web.gateway import Gateway

GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)


async def run_gateway(web_app: web.Application) -> AsyncIterator[None]:
    """aiohttp's cleanup context: start the gateway before the first request, and stop it after the last."""
    gateway = web_app[GATEWAY] = Gateway()
    await gateway.start()
    yield
    await gateway.stop()


async def drain(web_app: web.Application) -> None:
    """Refuse new commands and report not ready for `drain_s`, so that balancers notice; keep serving the rest."""
    web_app[GATEWAY].outgoing.is_closing = True
    web_app[GATEWAY].hub.announce(settings.drain_s)
    await asyncio.sleep(settings.drain_s)


async def close_streams(web_app: web.Application) -> None:
    """Close the WebSockets before the server waits for its requests to end."""
    await web_app[GATEWAY].hub.close()
