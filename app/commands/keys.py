"""`faust -A app create-key | list-keys | revoke-key`: API keys, straight to their topic, so that Kafka guards them."""

import json
from datetime import datetime
from time import time_ns
from typing import Any

import click
import faust.cli.base as cli
import msgspec

from app import api_keys, app
from app.commands.gateway import acting_on, fail
from app.models.api_keys import MAX_RATE, MIN_RATE, ApiKey, KeyRole, new_key
from app.models.http import NAME_RULE, InvalidTime, Name, milliseconds, rfc3339

json_option = cli.option("--json", "as_json", is_flag=True, help="Print JSON.")


@app.command(
    cli.option("--client-id", required=True, help="Whose orders the key is about."),
    cli.option("--role", type=click.Choice([role.value for role in KeyRole]), required=True),
    cli.option("--rate", type=float, help="Requests a second (default: the setting's)."),
    cli.option("--expires", help="When it ends, as 2027-01-31 or 2027-01-31T12:00:00Z (default: never)."),
    json_option,
)
async def create_key(
    self: Any, client_id: str, role: str, rate: float | None, expires: str | None, as_json: bool
) -> None:
    """Make an API key and print it: it is shown this once, only its hash is kept."""
    now_ms = time_ns() // 1_000_000
    made = new_key(_client_id(client_id), KeyRole(role), now_ms, _rate(rate), _expiry(expires, now_ms))
    await api_keys.keep(_broker(), made.kept)
    click.echo(json.dumps({"key": made.text, **_row(made.kept)}) if as_json else made.text)


@app.command(json_option)
async def list_keys(self: Any, as_json: bool) -> None:
    """Show every API key that is not revoked, without what would open a door."""
    rows = [_row(key) for key in (await api_keys.read(_broker())).values()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in sorted(rows, key=lambda row: (row["client_id"], row["created_at"])):
        rate = "" if row["rate"] is None else f"  {row['rate']:g}/s"
        until = f"  until {row['expires_at']}" if row["expires_at"] else ""
        click.echo(f"{row['key_id']}  {row['role']:<7} {row['client_id']:<24} {row['created_at']}{rate}{until}")


@app.command(cli.argument("key_id"))
async def revoke_key(self: Any, key_id: str) -> None:
    """Revoke the API key with the id KEY_ID (`list-keys` shows it; it stands between the key's underscores)."""
    broker = _broker()
    if key_id not in await api_keys.read(broker):
        fail(f"there is no key {key_id[:64]}")
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
    try:
        return msgspec.convert(text, Name)
    except msgspec.ValidationError:
        fail(f"a client id is {NAME_RULE}")


def _rate(rate: float | None) -> float | None:
    if rate is not None and not MIN_RATE <= rate <= MAX_RATE:  # which also refuses NaN
        fail(f"--rate {rate:g} is no rate: from {MIN_RATE:g} to {MAX_RATE:,.0f} requests a second")
    return rate


def _expiry(text: str | None, now_ms: int) -> int | None:
    if text is None:
        return None
    try:
        expires_at = milliseconds(datetime.fromisoformat(text))
    except InvalidTime as error:
        fail(f"{text!r} {error}")
    except ValueError:
        fail(f"{text!r} is no time: write 2027-01-31 or 2027-01-31T12:00:00Z")
    if expires_at is None or expires_at <= now_ms:
        fail(f"{text} is over already")
    return expires_at


def _broker() -> str:
    return acting_on("BROKER_URL").broker
