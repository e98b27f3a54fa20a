"""The committed documents as judges: is this answer, or this frame of a stream, one that they describe?"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[2] / "schemas"
DOCUMENT: dict[str, Any] = json.loads((SCHEMAS / "openapi.json").read_text())
STREAMS: dict[str, Any] = json.loads((SCHEMAS / "asyncapi.json").read_text())
PROBLEM = "application/problem+json"
# Anything may be asked of any path; these answers are the server's, not the call's.
OF_THE_SERVER = {400, 403, 404, 405, 417, 421}


def complaint(method: str, path: str, status: int, content_type: str, body: Any) -> str | None:
    """What is wrong with an answer, if anything; `path` is without the query."""
    described = _described(method, path.rstrip("/"))
    answer = (described or {}).get(str(status))
    if answer is None:
        if status not in OF_THE_SERVER:
            return f"{method} {path}: a {status} is not described"
        answer = {"content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    schema = answer.get("content", {}).get(content_type)
    if schema is None:
        return f"{method} {path}: a {status} is not described as {content_type}"
    error = next(iter(_validator(json.dumps(schema["schema"])).iter_errors(body)), None)
    return None if error is None else f"{method} {path}: {error.json_path} {error.message}"


def complaint_about(frame: dict[str, Any]) -> str | None:
    """What is wrong with a frame of `/stream`, if anything."""
    name = _name_of(frame)
    schema = {"$ref": f"#/components/schemas/{name}", "components": STREAMS["components"]}
    error = next(iter(Draft202012Validator(schema).iter_errors(frame)), None)
    return None if error is None else f"{name}: {error.json_path} {error.message}"


def _name_of(frame: dict[str, Any]) -> str:
    if "req_id" in frame:
        return "OrderAnswer" if "status" in frame else "Answer"
    if frame["type"] == "shutdown":
        return "Notice"
    return f"{frame['channel'].capitalize()}Message" if frame["type"] in ("snapshot", "update") else "PlainMessage"


def _described(method: str, path: str) -> dict[str, Any] | None:
    for pattern, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{[a-z_]+\}", "[^/]+", pattern), path) and method.lower() in operations:
            return operations[method.lower()]["responses"]
    return None


@cache
def _validator(schema: str) -> Draft202012Validator:
    whole = json.loads(schema) | {"components": DOCUMENT["components"]}
    return Draft202012Validator(whole)
