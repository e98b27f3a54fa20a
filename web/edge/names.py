"""Checks the Host and Origin headers of requests, because even a local request may come from a malicious web page.

A browser lets any page send requests to 127.0.0.1. If the page's DNS name changes to 127.0.0.1 after loading
("rebinding"), the page can even read the answers. The Host and Origin that the browser sends reveal such a page.
"""

import re
from functools import lru_cache
from ipaddress import ip_address

from aiohttp import web

from app import settings
from app.configuration import names_of
from web.edge.exposure import is_exposed
from web.edge.problems import Handler, Problem

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?", re.ASCII)
_WEB = ("http://", "https://")
_SETTING = "the setting allowed_hosts lets other names in"


def guard_names(web_app: web.Application, has_keys: bool) -> None:
    """Always refuse requests from pages of other sites; without API keys, also refuse unknown Host names.

    A server that other machines can reach cannot know its own names, so it checks Host only if `allowed_hosts` is set.
    Keys make the Host check unnecessary: a browser never adds a key that the page does not know.
    """
    checks_host = not has_keys and (not is_exposed() or bool(settings.allowed_hosts))

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if checks_host and not is_trusted(host):
            raise Problem(421, "other_host", f"requests for {host[:64]!r} are not answered here: {_SETTING}")
        if origin is not None and not _is_ours(origin, host):
            raise Problem(403, "other_origin", f"a page of {origin[:64]!r} may not send this: {_SETTING}")
        return await handler(request)

    web_app.middlewares.append(guard)


@lru_cache(maxsize=1_024)
def is_trusted(host: str) -> bool:
    """Whether a host, with or without a port, is this machine's loopback or one of the setting's names."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = (match[1] or match[2]).lower()
    return name == "localhost" or name in names_of(settings.allowed_hosts) or _is_loopback(name)


def _is_ours(origin: str, host: str) -> bool:
    """Whether the page comes from the host that it sends the request to, or from a trusted host."""
    if not origin.startswith(_WEB):
        return False
    its_host = origin.partition("://")[2]
    return its_host == host or is_trusted(its_host)


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
