"""Turns every error into application/problem+json (RFC 9457) with a code; never into plain text or a traceback.

Problem
├── handlers raise it with a status, a code and a sentence
├── this module makes it from Refused, which all code below HTTP raises
└── this module makes it from aiohttp's own errors (404, 405, 413 …), broken HTTP and unexpected exceptions (500)

The gateway logs only unexpected exceptions. It counts broken HTTP and clients that disconnect before their answer.
"""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import HttpVersion11, web, web_protocol, web_urldispatcher

from app.matching.words import Reason
from web import metrics
from web.refused import Code, Refused

CONTENT_TYPE = "application/problem+json"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)
_CODES = {400: "malformed_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
_SENTENCES = {404: "there is nothing here", 405: "this cannot be done here; see the header Allow"}
STATUSES: dict[Code, int] = {
    **dict.fromkeys(Reason, 422),
    Reason.UNKNOWN_INSTRUMENT: 404,
    Reason.UNKNOWN_ORDER: 404,
    "already_subscribed": 409,
    "beyond_end": 409,
    "invalid_value": 422,
    "not_subscribed": 404,
    "other_epoch": 409,
    "snapshot_required": 410,
    "too_many_subscriptions": 429,
    "history_behind": 503,
    "history_unavailable": 503,
    "matching_behind": 503,
    "not_ready": 503,
    "overloaded": 503,
    "outcome_unknown": 504,
}
"""The HTTP status for each code of a Refused."""


class Problem(Exception):
    """An error answer. `code` is one of the engine's reasons or of this API's own codes; `more` are further members."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.more = status, code, detail, more
        self.headers = headers or {}

    def body(self, path: str) -> dict[str, Any]:
        """The problem as JSON."""
        return {
            "type": f"urn:matchstream:problem:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status,
            "detail": self.detail,
            "instance": path,
            "code": self.code,
            **self.more,
        }

    def response(self, path: str) -> web.Response:
        """The problem as an HTTP response."""
        # `path` and `detail` may quote the client, so they may contain text that is not valid Unicode.
        body = orjson.dumps(_printable(self.body(path)))
        response = web.Response(status=self.status, body=body, content_type=CONTENT_TYPE, headers=self.headers)
        if "Connection" in self.headers:
            response.force_close()
        return response


def problem_of(error: Problem | Refused) -> Problem:
    """The problem for an error raised here or below HTTP."""
    if isinstance(error, Problem):
        return error
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if error.is_leaving:
        headers["Connection"] = "close"
    return Problem(STATUSES[error.code], error.code, error.sentence, headers, **error.more)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware that turns every failure into a problem."""
    try:
        return await handler(request)
    except (Problem, Refused) as error:
        return problem_of(error).response(request.path)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code, sentence = _CODES.get(error.status, "http_error"), _SENTENCES.get(error.status, error.reason)
        kept = {name: value for name, value in error.headers.items() if name == "Allow"}
        return Problem(error.status, code, sentence, kept).response(request.path)
    except Exception as error:
        if isinstance(error, ConnectionError) and _has_gone(request):
            raise  # the client has disconnected, so no answer can reach it
        _log.exception("%s %s failed", request.method, request.path)
        return Problem(500, "internal_error", "an unexpected error; it has been logged").response(request.path)


def answer_broken_http() -> None:
    """Answer broken HTTP and unknown `Expect` headers with a problem too; aiohttp alone would answer plain text."""
    web_protocol.RequestHandler.handle_error = _handle_error  # type: ignore[method-assign]
    # aiohttp calls this before our middleware sees the request, even for unknown paths.
    web_urldispatcher._default_expect_handler = _expect  # type: ignore[assignment]


def _handle_error(
    self: web_protocol.RequestHandler,
    request: web.BaseRequest,
    status: int = 500,
    exc: BaseException | None = None,
    message: str | None = None,
) -> web.StreamResponse:
    """aiohttp's hook for requests without a handler; it closes the connection after the answer."""
    if isinstance(exc, ConnectionError) and _has_gone(request):
        metrics.http_client_errors.labels("gone").inc()
        raise ConnectionError("the client has gone") from exc
    if request.writer is not None and request.writer.output_size > 0:
        raise ConnectionError("the answer has begun")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("a request failed", exc_info=exc)
        problem = Problem(status, "internal_error", "an unexpected error; it has been logged")
    else:
        metrics.http_client_errors.labels("broken").inc()
        problem = Problem(status, _CODES.get(status, "malformed_request"), "this is not HTTP as this server reads it")
    response = problem.response(request.path)
    response.force_close()
    return response


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue` by asking for the body; answer any other expectation with 417."""
    if request.version < HttpVersion11:
        return None
    if request.headers.get("Expect", "").lower() != "100-continue":
        return Problem(417, "unknown_expectation", "only 100-continue can be expected").response(request.path)
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the 100 does not count: the answer has not begun
    return None


def _has_gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _printable(member) for name, member in value.items()}
    return value
