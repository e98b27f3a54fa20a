"""Calls to the gateway from the command line; a failed or refused call ends the command with one sentence.

If the gateway requires an API key, set it in the environment variable MATCHSTREAM_API_KEY: other users of the machine
could see a command-line argument.
"""

import json
import logging
import os
import sys
from http import HTTPStatus
from typing import Any, NoReturn
from uuid import uuid4

import aiohttp
import click
import faust.cli.base as cli

from app import output, where
from app.addresses import Addresses, NoAddress, find, without_password
from app.configuration import WrongSetting, load
from app.models.http import NAME_RULE, is_name

TIMEOUT_S = 10.0
ENGINE_TIMEOUT_S = 8  # how long the gateway waits for the engine's answer; unless asked, only two seconds


def checked_key(context: Any, option: Any, key: str | None) -> str | None:
    """The value of an option `--key`. We refuse an empty one: with a new key instead, a repeat would act twice."""
    if key is not None and not is_name(key):
        raise click.BadParameter(f"expected {NAME_RULE}")
    return key


url_option = cli.option("--url", help="A gateway; default: this folder's venue's, MATCHSTREAM_URL, or the settings.")
key_option = cli.option(
    "--key", callback=checked_key, help="The idempotency key, which makes a repeat safe. Default: a new one."
)
json_option = cli.option("--json", "as_json", is_flag=True, help="Print the gateway's JSON answer.")


def api_key() -> str | None:
    """The API key from the environment, if any; ends the command if no header can carry it."""
    key = os.environ.get("MATCHSTREAM_API_KEY")
    if key and not (key.isascii() and key.isprintable()):
        fail("MATCHSTREAM_API_KEY is not an API key: it has a line break or another character that no key has")
    return key


def key_hint(status: int) -> str:
    """What to add to a gateway's refusal: its own sentence names a header, which no command takes."""
    return "; this command takes the key from MATCHSTREAM_API_KEY" if status == HTTPStatus.UNAUTHORIZED else ""


def gateway_at(url: str | None) -> str:
    """The base URL of the gateway to use; prints it to standard error."""
    return acting_on("MATCHSTREAM_URL", url=url).gateway


def acting_on(*names: str, url: str | None = None) -> Addresses:
    """The venue's addresses; prints those named to standard error, and ends the command if one is unknown.

    From here on, what the command prints is guarded (app/output.py), and errors of Kafka's client are not logged.
    """
    try:
        found = where if url is None else find(*load(), {**os.environ, "MATCHSTREAM_URL": url})
        found.need(*names)
    except (NoAddress, WrongSetting) as error:
        fail(str(error))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it logs is also in the error that it raises
    output.guard()
    click.echo(found.text(*names), err=True)
    return found


async def call(
    method: str, url: str, path: str, hint: str = "`make run` starts a venue", **options: Any
) -> tuple[int, Any]:
    """Status and JSON body of an answer; ends the command with one sentence if the gateway cannot be reached."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    key = api_key()
    authorization = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=authorization) as session,
            session.request(method, url + path, **options) as response,
        ):
            return response.status, json.loads(await response.text())
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        reason = str(error) or type(error).__name__
        fail(f"no answer from the gateway at {without_password(url)}: {reason}; {hint}")


async def change(url: str, path: str, key: str | None = None, method: str = "POST", **options: Any) -> tuple[int, Any]:
    """Send a command under this idempotency key or a new one; the gateway waits for the engine.

    If the outcome is unknown, the key is shown, with which a repeat is safe.
    """
    key = key or str(uuid4())
    headers = {"Idempotency-Key": key, "Prefer": f"wait={ENGINE_TIMEOUT_S}"}
    answer = await call(method, url, path, f"repeat it with --key {key}", headers=headers, **options)
    if answer[0] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        click.echo(f"repeat it with --key {key}", err=True)
    return answer


def show(answer: tuple[int, Any], as_json: bool, text: Any) -> None:
    """Print an answer, formatted by `text`; an error is printed as one sentence, with exit code 1."""
    status, body = answer
    if status >= 400 and not as_json:
        fail(f"{body.get('title', status)}: {body.get('detail', '')}".rstrip(": ") + key_hint(status))
    click.echo(json.dumps(body, indent=2) if as_json else text(body))
    if status >= 400:
        fail("")


def fail(message: str) -> NoReturn:
    """End the command with one sentence and exit code 1; for an exception Faust would log the traceback, twice."""
    if message:
        click.echo(f"Error: {message}", err=True)
    sys.stdout.flush()
    os._exit(1)
