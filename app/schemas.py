"""`python -m app.schemas [DIR]`: writes the JSON Schemas of all messages in topics, generated from app/models."""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from app.models.api_keys import ApiKey
from app.models.candles import CandlesUpdate
from app.models.clearing import ClearingFact
from app.models.commands import CommandMessage, Genesis
from app.models.reports import ExecutionReport, PublicTrade

DIRECTORY = Path(__file__).parents[1] / "schemas"

MESSAGES: dict[str, tuple[Any, str]] = {
    "api_key": (ApiKey, "A record of the topic `matchstream-api-keys`; its key is key_id."),
    "candles_update": (CandlesUpdate, "A record of the topic `candles`; its key is the instrument."),
    "clearing_fact": (
        ClearingFact,
        "A record of the topic `clearing`; its key is the cycle, of a `settle` the request's key.",
    ),
    "command": (CommandMessage | Genesis, "A record of the topic `orders`; its key is the instrument."),
    "execution_report": (ExecutionReport, "A record of the topic `executions`; its key is the instrument."),
    "public_trade": (PublicTrade, "A record of the topic `trades`; its key is the instrument."),
}


def schemas() -> dict[str, str]:
    """File name -> JSON Schema (2020-12) as text."""
    return {f"{name}.schema.json": _schema(type_, description) for name, (type_, description) in MESSAGES.items()}


def write(directory: Path = DIRECTORY) -> None:
    """Write all schemas into the directory."""
    directory.mkdir(exist_ok=True)
    for name, text in schemas().items():
        (directory / name).write_text(text)


def _schema(type_: Any, description: str) -> str:
    schema = msgspec.json.schema(type_)
    top = {"$schema": "https://json-schema.org/draft/2020-12/schema", "description": description}
    return json.dumps(top | schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY)
