"""Every error answer: application/problem+json (RFC 9457) with a code from the reasons, never text or a traceback.

Problem
├── raised by handlers with a status, a code and a sentence
└── made here from aiohttp's own errors (404, 405, 413 …) and from anything unexpected (500)
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

CONTENT_TYPE = "application/problem+json"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)
_CODES = {400: "malformed_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


class Problem(Exception):
    """An answer other than success. `code` is a word of the reasons or of this API; `more` are further members."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.more = status, code, detail, more
        self.headers = headers or {}

    def response(self, path: str) -> web.Response:
        """The answer as it is sent."""
        body = {
            "type": f"urn:matchstream:problem:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status,
            "detail": self.detail,
            "instance": path,
            "code": self.code,
            **self.more,
        }
        return web.Response(
            status=self.status, body=orjson.dumps(body), content_type=CONTENT_TYPE, headers=self.headers
        )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response(request.path)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = _CODES.get(error.status, "http_error")
        kept = {name: value for name, value in error.headers.items() if name == "Allow"}
        return Problem(error.status, code, error.reason, kept).response(request.path)
    except ConnectionError:
        raise  # the client has gone; there is nobody to answer
    except Exception:
        _log.exception("%s %s failed", request.method, request.path)
        return Problem(500, "internal_error", "an unexpected error; it has been logged").response(request.path)
