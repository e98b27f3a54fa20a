"""The caller of a request: the client and role of its API key; with auth off, an anonymous caller with full access."""

from typing import NamedTuple

from aiohttp import web

from app.models.api_keys import KeyRole
from web.edge.problems import Problem


class Caller(NamedTuple):
    """A key's client and role. With auth off, `client_id` is None, and the gateway trusts the client in the request."""

    client_id: str | None
    role: KeyRole

    def client_of_order(self, requested: str | None) -> str | None:
        """The client that owns a new order: the key's client, or with auth off the named one (None: not named).

        Raises 403 if the request names another client.
        """
        if self.client_id is None:
            return requested
        if requested not in (None, self.client_id):
            raise _of_another()
        return self.client_id

    def client_of_orders(self, requested: str | None) -> str | None:
        """The client whose orders a request reads or changes; None: all clients. Raises 403."""
        if self.sees_all:
            return requested
        if requested not in (None, self.client_id):
            raise _of_another()
        return self.client_id

    @property
    def sees_all(self) -> bool:
        """Whether the caller may see the orders of all clients."""
        return self.role is KeyRole.ADMIN

    def sees(self, client_id: str) -> bool:
        """Whether the caller may see the orders of this client."""
        return self.sees_all or client_id == self.client_id


ANYBODY = Caller(None, KeyRole.ADMIN)
CALLER = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller:
    """The caller of this request."""
    caller: Caller = request.get(CALLER, ANYBODY)
    return caller


def _of_another() -> Problem:
    return Problem(403, "forbidden", "this key is another client's")
