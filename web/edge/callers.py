"""Who calls: the client and role of an API key, or with auth off anybody, who may do everything."""

from typing import NamedTuple

from aiohttp import web

from app.models.api_keys import KeyRole
from web.edge.problems import Problem


class Caller(NamedTuple):
    """A key's client and role. Without a client auth is off, and whoever is named is believed."""

    client_id: str | None
    role: KeyRole

    def client_of_order(self, requested: str | None) -> str | None:
        """Whose a new order is: the key's client; raises 403 for another one. None: nobody was named."""
        if self.client_id is None:
            return requested
        if requested not in (None, self.client_id):
            raise _of_another()
        return self.client_id

    def client_of_orders(self, requested: str | None) -> str | None:
        """Whose orders are looked for or changed; None is everybody's. Raises 403."""
        if self.sees_all:
            return requested
        if requested not in (None, self.client_id):
            raise _of_another()
        return self.client_id

    @property
    def sees_all(self) -> bool:
        """Whether it may see everybody's orders."""
        return self.role is KeyRole.ADMIN

    def sees(self, client_id: str) -> bool:
        """Whether it may see the orders of this client."""
        return self.sees_all or client_id == self.client_id


ANYBODY = Caller(None, KeyRole.ADMIN)
CALLER = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller:
    """Who makes this request."""
    caller: Caller = request.get(CALLER, ANYBODY)
    return caller


def _of_another() -> Problem:
    return Problem(403, "forbidden", "this key is another client's")
