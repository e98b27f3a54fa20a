"""`faust -A app create-key | list-keys | revoke-key`: manage API keys directly in their Kafka topic."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from time import time_ns
from typing import Any

import click
import faust.cli.base as cli
from aiokafka.errors import KafkaError

from app import api_keys, app
from app.commands.gateway import acting_on, fail
from app.kafka.reading import NothingToRead
from app.models.api_keys import MAX_RATE, MIN_RATE, ApiKey, KeyRole, new_key
from app.models.http import NAME_RULE, InvalidTime, is_name, milliseconds, rfc3339

json_option = cli.option("--json", "as_json", is_flag=True, help="Print JSON.")


@app.command(
    cli.option("--client-id", required=True, help="The client whose orders the key may see and change."),
    cli.option("--role", type=click.Choice([role.value for role in KeyRole]), required=True),
    cli.option("--rate", type=float, help="Requests a second (default: the setting rate_limit)."),
    cli.option("--expires", help="When the key expires, as 2027-01-31 or 2027-01-31T12:00:00Z (default: never)."),
    json_option,
)
async def create_key(
    self: Any, client_id: str, role: str, rate: float | None, expires: str | None, as_json: bool
) -> None:
    """Create an API key and print it: this is the only time, because Matchstream keeps only its hash."""
    now_ms = time_ns() // 1_000_000
    made = new_key(_client_id(client_id), KeyRole(role), now_ms, _rate(rate), _expiry(expires, now_ms))
    with _kafka() as broker:
        await api_keys.keep(broker, made.kept)
    click.echo(json.dumps({"key": made.text, **_row(made.kept)}) if as_json else made.text)


@app.command(json_option)
async def list_keys(self: Any, as_json: bool) -> None:
    """List all API keys that are not revoked, without their secrets."""
    with _kafka() as broker:
        rows = [_row(key) for key in (await api_keys.read(broker)).values()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("there are no keys", err=True)
    for row in sorted(rows, key=lambda row: (row["client_id"], row["created_at"])):
        rate = "" if row["rate"] is None else f"  {row['rate']:g}/s"
        until = f"  until {row['expires_at']}" if row["expires_at"] else ""
        click.echo(f"{row['key_id']}  {row['role']:<7} {row['client_id']:<24} {row['created_at']}{rate}{until}")


@app.command(cli.argument("key_id"))
async def revoke_key(self: Any, key_id: str) -> None:
    """Revoke the API key with the id KEY_ID (`list-keys` shows it; it is the middle part of the key)."""
    with _kafka() as broker:
        if key_id not in await api_keys.read(broker):
            fail(f"unknown key id {key_id[:64]}: `faust -A app list-keys` shows all")
        await api_keys.revoke(broker, key_id)
    click.echo(f"revoked {key_id}")


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "client_id": key.client_id,
        "role": key.role,
        "rate": key.rate,
        "created_at": rfc3339(key.created_at),
        "expires_at": None if key.expires_at is None else rfc3339(key.expires_at),
    }


def _client_id(text: str) -> str:
    if not is_name(text):
        fail(f"invalid --client-id: expected {NAME_RULE}")
    return text


def _rate(rate: float | None) -> float | None:
    if rate is not None and not MIN_RATE <= rate <= MAX_RATE:  # also refuses NaN
        fail(f"invalid --rate {rate:g}: expected {MIN_RATE:g} to {MAX_RATE:,.0f} requests a second")
    return rate


def _expiry(text: str | None, now_ms: int) -> int | None:
    if text is None:
        return None
    try:
        expires_at = milliseconds(datetime.fromisoformat(text))
    except InvalidTime as error:
        fail(f"invalid --expires {text!r}: {error}")
    except ValueError:
        fail(f"invalid --expires {text!r}: write 2027-01-31 or 2027-01-31T12:00:00Z")
    if expires_at is None or expires_at <= now_ms:
        fail(f"--expires {text} is in the past")
    return expires_at


@contextmanager
def _kafka() -> Iterator[str]:
    """Kafka's host:port; ends the command with one sentence if Kafka fails in the block."""
    broker = acting_on("BROKER_URL").broker
    try:
        yield broker
    except (KafkaError, NothingToRead) as error:
        fail(f"Kafka fails: {str(error) or type(error).__name__}")
