"""Builds the OpenAPI 3.1 document from the route table and the models."""

import inspect
import json
import re
from collections import Counter
from http import HTTPStatus
from typing import Any

import msgspec

from app.models.answers import Problem
from web.edge.problems import CONTENT_TYPE as PROBLEM
from web.edge.routes import JSON, Call, Parameter, Route
from web.rest.calls import PATH_PARAMETERS

DESCRIPTION = (
    "Prices and quantities are decimal strings; numbers are accepted and read exactly. Times are RFC 3339, UTC. "
    "Errors are problems (RFC 9457) whose `code` says what happened. Repeating a request with the same idempotency "
    "key is always safe."
)
KEY = "An API key (`faust -A app create-key`), where the gateway runs with `auth=keys`."
OF_ACCESS = (401, 403, 429, 503)
"""Statuses that keys, limits and a feed still catching up add to every route with a role."""
HEADERS: dict[str, Any] = {
    "X-Seq": {
        "description": "the instrument's seq up to which the list has everything; absent for several instruments",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_PATH_PARAMETER = re.compile(r"\{([a-z_]+)\}")

Json = dict[str, Any]


def document(routes: tuple[Route, ...]) -> Json:
    """The document of all routes that have a Call."""
    described = [(route, route.call) for route in routes if route.call is not None]
    schemas = _Schemas([type_ for route, call in described for type_ in _types(route, call)])
    handlers = Counter(route.handler for route, _ in described)
    paths: Json = {}
    for route, call in described:
        name = route.handler.__name__
        operation_id = name if handlers[route.handler] == 1 else f"{name}_by_{route.method.lower()}"
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, call, operation_id, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Matchstream", "version": "1", "description": DESCRIPTION, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": KEY}},
        },
    }


def text(routes: tuple[Route, ...]) -> str:
    """The document as JSON text, as committed in schemas/."""
    return json.dumps(document(routes), indent=2, ensure_ascii=False) + "\n"


class _Schemas:
    """The schema of every type; structs and enums are components of the document."""

    def __init__(self, types: list[Any]) -> None:
        self._types = types
        self._schemas, self.components = msgspec.json.schema_components(
            types, ref_template="#/components/schemas/{name}"
        )
        for component in self.components.values():
            if "enum" in component:
                component["type"] = "string"  # msgspec omits it, but readers of the document need it

    def of(self, type_: Any) -> Json:
        """The schema of a type; of several types, `anyOf` their schemas."""
        if isinstance(type_, tuple):
            return {"anyOf": [self.of(one) for one in type_]}
        return self._schemas[self._types.index(type_)]


def _types(route: Route, call: Call) -> list[Any]:
    named = [PATH_PARAMETERS[name][0] for name in _PATH_PARAMETER.findall(route.path)]
    given = [*named, *(parameter.type for parameter in call.parameters), *call.answers.values(), call.body, Problem]
    flat = [one for type_ in given for one in (type_ if isinstance(type_, tuple) else (type_,))]
    return [type_ for type_ in flat if type_ is not None]


def _operation(route: Route, call: Call, operation_id: str, schemas: _Schemas) -> Json:
    named = [_path_parameter(name, schemas) for name in _PATH_PARAMETER.findall(route.path)]
    operation: Json = {
        "operationId": operation_id,
        "tags": [call.tag],
        "summary": route.summary,
        "description": inspect.getdoc(route.handler) or "",
        "parameters": [*named, *(_parameter(parameter, schemas) for parameter in call.parameters)],
    }
    if call.body is not None:
        content = {JSON: {"schema": schemas.of(call.body), "example": call.example}}
        operation["requestBody"] = {"required": not call.is_body_optional, "content": content}
    answers = {status: _answer(status, type_, call.content_type, schemas) for status, type_ in call.answers.items()}
    if call.text_type is not None:
        answers[200]["content"][call.text_type] = {"schema": {"type": "string"}}
    problems = (400, *call.problems)
    if route.role is not None:
        problems += OF_ACCESS
        operation["security"] = [{}, {"key": []}]
    if call.headers:
        answers[200]["headers"] = {name: HEADERS[name] for name in call.headers}
    answers |= {status: _answer(status, Problem, PROBLEM, schemas) for status in problems}
    return operation | {"responses": {str(status): answers[status] for status in sorted(answers)}}


def _path_parameter(name: str, schemas: _Schemas) -> Json:
    type_, description, example = PATH_PARAMETERS[name]
    place = {"name": name, "in": "path", "required": True, "description": description, "schema": schemas.of(type_)}
    return place if example is None else {**place, "example": example}


def _parameter(parameter: Parameter, schemas: _Schemas) -> Json:
    example = {} if parameter.example is None else {"example": parameter.example}
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": schemas.of(parameter.type),
        **example,
    }


def _answer(status: int, type_: Any, content_type: str, schemas: _Schemas) -> Json:
    answer: Json = {"description": HTTPStatus(status).phrase}
    if type_ is not None:
        answer["content"] = {content_type: {"schema": schemas.of(type_)}}
    if status == HTTPStatus.CREATED:
        answer["headers"] = {"Location": {"description": "where it is found", "schema": {"type": "string"}}}
    return answer
