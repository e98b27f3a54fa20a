"""Guards the handlers: checks each request's API key and role, and applies the caller's rate limit."""

from collections.abc import Callable

from aiohttp import web

from app import settings
from app.models.api_keys import ApiKey, KeyRole
from web import metrics
from web.edge.answers import RETRY_SOON
from web.edge.callers import CALLER, Caller
from web.edge.exposure import default_rate
from web.edge.keyring import Keyring
from web.edge.limits import BUCKET, Addresses, charge, say_limits
from web.edge.problems import Handler, Problem
from web.edge.routes import Route
from web.hosting import GATEWAY

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="matchstream"'}
SCHEME = "bearer "
PROTOCOL, OFFERED = "matchstream", "bearer."
"""A browser cannot send the header with a WebSocket: it offers the subprotocols `matchstream` and `bearer.KEY`, and the
gateway chooses the first."""


def guarded(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """The routes, guarded as the settings say; routes with a role answer only once the feed has caught up."""
    guard = _guard()
    return tuple(
        route if route.role is None else route._replace(handler=guard(_once_caught_up(route.handler), route.role))
        for route in routes
    )


def _guard() -> Callable[[Handler, KeyRole], Handler]:
    if settings.auth == "keys":
        return _with_key
    rate = default_rate()
    if rate:
        addresses = Addresses(rate)
        return lambda handler, _: _with_limit(handler, addresses)
    return lambda handler, _: handler


def _once_caught_up(handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if not request.app[GATEWAY].feed.is_ready:
            # Clients would mistake a part of the market for the whole, and a trade stream would start with a gap.
            raise Problem(503, "not_ready", "this gateway is still reading the market", RETRY_SOON)
        return await handler(request)

    return handle


def _with_key(handler: Handler, role: KeyRole) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        keyring = request.app[GATEWAY].keyring
        assert keyring is not None, "a gateway with auth=keys has a keyring"
        key = _admit(request, keyring)
        charge(request, 1)
        if not key.role.may(role):
            raise Problem(403, "forbidden", f"this needs a key with the role {role}; this one's is {key.role}")
        request[CALLER] = Caller(key.client_id, key.role)
        if "Upgrade" not in request.headers:
            return await handler(request)
        with keyring.held(key):
            return await handler(request)

    return handle


def _with_limit(handler: Handler, addresses: Addresses) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        request[BUCKET] = addresses.bucket(request.remote or "")
        charge(request, 1)
        return await handler(request)

    return handle


def _admit(request: web.Request, keyring: Keyring) -> ApiKey:
    """The key of the request; raises 401, and 503 until the gateway has read all keys."""
    presented = _presented(request)
    if not keyring.is_ready:  # a later record of the topic may revoke a key that is known already
        raise Problem(503, "not_ready", "this gateway is still reading the API keys", RETRY_SOON)
    found = keyring.find(presented)
    if found is None:
        metrics.unauthorized.inc()
        raise Problem(401, "unauthorized", "this API key is unknown, revoked or expired", CHALLENGE)
    key, bucket = found
    if bucket is not None:
        request[BUCKET] = bucket
    return key


def _presented(request: web.Request) -> str:
    """The key of `Authorization: Bearer KEY`, or one that a WebSocket's handshake offers; raises 401."""
    headers = request.headers.getall("Authorization", []) or _offered(request)
    if len(headers) != 1 or headers[0][: len(SCHEME)].lower() != SCHEME:
        metrics.unauthorized.inc()
        raise Problem(401, "unauthorized", "send your API key once: Authorization: Bearer KEY", CHALLENGE)
    return headers[0][len(SCHEME) :].strip()


def _offered(request: web.Request) -> list[str]:
    """The keys among the subprotocols of a WebSocket's handshake, as the header would have them."""
    if "Upgrade" not in request.headers:
        return []
    names = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if PROTOCOL not in names:  # aiohttp would log the names of which it can choose none
        return []
    return [SCHEME + name.removeprefix(OFFERED) for name in names if name.startswith(OFFERED)]


def say_limits_of(web_app: web.Application) -> None:
    """Add the rate limit headers to every answer, if the settings limit callers."""
    if settings.auth == "keys" or default_rate():
        web_app.on_response_prepare.append(say_limits)
