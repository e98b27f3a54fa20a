"""All settings: read from faust.conf.py, overridden by the environment, checked at start.

Faust's own settings keep Faust's names and meaning; ours are the fields of `Settings`. We refuse an unknown name in
the file, because Faust would silently ignore it.
"""

import os
import re
import runpy
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import faust
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from app.faust_settings import FaustSettings
from app.models.api_keys import MAX_RATE, MIN_RATE

Role = Literal["matching", "gateway", "recording", "clearing", "analytics"]
ROLES: tuple[Role, ...] = ("matching", "recording", "clearing", "analytics", "gateway")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_HOST_NAME = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)
DEFAULT_FILE = Path(__file__).parents[1] / "faust.conf.py"
MAX_PAUSE_S = 86_400.0
MAX_CONNECTIONS = 1_000_000
UNENCRYPTED = ("kafka", "aiokafka")
OTHER_ROADS = {
    "broker_consumer": "BROKER_CONSUMER_URL",
    "broker_producer": "BROKER_PRODUCER_URL",
    "broker_credentials": "BROKER_CREDENTIALS",
    "ssl_context": "",
}
"""Faust settings, with their environment variables, that we refuse because our own Kafka clients would ignore them."""
_DATABASE_URL = re.compile(r"postgres(?:ql)?://(?:[^%]|%[0-9A-Fa-f]{2})*")
_REDIS_URL = re.compile(r"rediss?://[^/?]*(?:/[0-9]*)?(?:\?.*)?|unix://.+")


class WrongSetting(ValueError):
    """A setting has an unusable value; the message says which and why, but hides values that may have a password."""


class UnknownSetting(WrongSetting):
    """faust.conf.py has a name that neither Faust nor Matchstream knows."""


class Settings(BaseModel):
    """Our settings. Set each in faust.conf.py or, with its name in capitals, in the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role = "matching"
    """What this process does (app/topology.py). One role per process, so that a stalled sink cannot stop matching."""

    slot: int = Field(default=0, ge=0, le=999)
    """The number of this process in its role: it decides the consumer group member, data folder and web port."""

    database_url: str = "postgresql://postgres@127.0.0.1:5432/matchstream"
    """Postgres, which stores history, ledger and the sink's own position."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    """Valkey or Redis, which remembers idempotency keys. Orders work without it: the engine detects duplicates."""

    snapshot_interval_s: float = Field(default=60.0, ge=0, le=MAX_PAUSE_S)
    """How often each changed book's levels are recorded in Postgres; 0: only on request."""

    bar_close_s: float = Field(default=1.0, ge=0, le=MAX_PAUSE_S)
    """How soon analytics closes the bars of a quiet market after their end, by a tick; 0: its next report does."""

    order_log: Literal["all", "rejected", "off"] = "rejected"
    """Which orders the gateway writes to its order log; `all` costs more than matching them."""

    auth: Literal["off", "keys"] = "off"
    """Whether the API requires keys (`faust -A app create-key`). When off, anyone who can reach the gateway has full
    access."""

    auth_off_beyond_loopback: bool = False
    """A gateway with auth off that other machines can reach refuses to start, unless this is true."""

    allowed_hosts: str = ""
    """Host names, separated by commas, that the gateway accepts in requests' Host and Origin, beside this machine's
    (web/edge/names.py)."""

    rate_limit: float | None = None
    """Requests a second allowed to each API key without a rate of its own, or to each address with auth off; a batch
    counts once per order; 0: no limit. Default: no limit on loopback, else web/edge/limits.py: DEFAULT_RATE."""

    trades_port: int = Field(default=0, ge=0, le=65_535)
    """A second port of the gateway, where it is free; 0: none. Clients of the reference expect `/ws/trades` on 8081."""

    max_connections: int = Field(default=10_000, ge=1, le=MAX_CONNECTIONS)
    """How many connections a process serves at once; further ones get 503 and are closed."""

    drain_s: float = Field(default=0.0, ge=0, le=60)
    """How long a stopping gateway answers `not ready` before it closes; load balancers poll every few seconds."""

    settle_at: str = ""
    """A time of day in UTC, as 17:00, at which the clearing workers ask for a cycle up to that time; empty: never."""

    @property
    def settle_at_ms(self) -> int | None:
        """The time of `settle_at` in ms after midnight; None: never."""
        if not self.settle_at:
            return None
        hours, minutes = self.settle_at.split(":")
        return (int(hours) * 60 + int(minutes)) * 60_000

    @field_validator("settle_at")
    @classmethod
    def _is_a_time_of_day(cls, text: str) -> str:
        if text and _TIME_OF_DAY.fullmatch(text) is None:
            raise ValueError("give a time of day in UTC from 00:00 to 23:59, or leave it empty")
        return text

    @field_validator("rate_limit")
    @classmethod
    def _is_a_rate(cls, rate: float | None) -> float | None:
        if rate in (None, 0) or MIN_RATE <= rate <= MAX_RATE:
            return rate
        raise ValueError(f"0 for no limit, or {MIN_RATE:g} to {MAX_RATE:,.0f} requests a second")

    @field_validator("allowed_hosts")
    @classmethod
    def _only_names(cls, text: str) -> str:
        if wrong := sorted(name for name in names_of(text) if _HOST_NAME.fullmatch(name) is None):
            raise ValueError(f"give host names or addresses without a port, separated by commas; not {wrong[0]!r}")
        return text

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, url: str) -> str:
        return _address(url, _DATABASE_URL, "postgresql://USER:PASSWORD@HOST:PORT/DATABASE")

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        return _address(url, _REDIS_URL, "redis://HOST:PORT/NUMBER")


def names_of(text: str) -> frozenset[str]:
    """The names in a comma-separated setting, in lower case."""
    return frozenset(name for part in text.split(",") if (name := part.strip().lower()))


def load(file: Path | None = None) -> tuple[Settings, dict[str, Any]]:
    """Our settings and Faust's, from the file and the environment; raises WrongSetting.

    An empty environment variable counts as not set.
    """
    path = file or Path(os.environ.get("FAUST_CONF", DEFAULT_FILE))
    if not path.exists():
        raise WrongSetting(f"FAUST_CONF names {path}, which does not exist: correct the path or unset it")
    try:
        given = {name: value for name, value in runpy.run_path(str(path)).items() if not name.startswith("_")}
    except Exception as error:  # the operator's own Python
        raise WrongSetting(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    unknown = sorted(set(given) - set(faust.Settings.SETTINGS) - set(Settings.model_fields))
    if unknown:
        raise UnknownSetting(f"{path.name} has unknown settings: {', '.join(unknown)}")
    ours, fausts = _of(Settings, given), _of(FaustSettings, given)
    given = {name: value for name, value in given.items() if name not in Settings.model_fields}
    _check_roads_to_kafka(given)
    try:
        return Settings(**ours), FaustSettings(**fausts).model_dump(exclude_none=True) | given
    except ValidationError as error:
        raise WrongSetting(
            "; ".join(_sentence(str(wrong["loc"][0]), wrong, path) for wrong in error.errors())
        ) from None


def _of(model: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    """The model's settings that the file gives or, in their place, the environment."""
    found = {name: given[name] for name in model.model_fields if name in given}
    return found | {name: value for name in model.model_fields if (value := os.environ.get(name.upper()))}


def _sentence(name: str, wrong: Any, path: Path) -> str:
    place = f"{name.upper()} in the environment" if os.environ.get(name.upper()) else f"{name} in {path.name}"
    value = "" if name.endswith("_url") else f" is {wrong['input']!r}"  # an address may have a password
    message = wrong["msg"].removeprefix("Value error, ")
    return f"{place}{value}: {message[0].lower()}{message[1:]}"


def broker_address(broker: Any) -> str:
    """Faust's broker setting (one kafka://host:port or several) as the bootstrap servers of a plain Kafka client.

    Raises WrongSetting for addresses that need TLS or a password: our Kafka clients support neither.
    """
    urls = broker if isinstance(broker, list | tuple) else str(broker).split(";")
    if not all(_is_plain_kafka(str(url)) for url in urls):
        raise WrongSetting(
            "broker (BROKER_URL) must be kafka://HOST:PORT, or several separated by ';': "
            "Matchstream connects to Kafka without TLS and password"
        )
    return ",".join(urlsplit(str(url)).netloc for url in urls)


def _is_plain_kafka(url: str) -> bool:
    found = split_address(url, UNENCRYPTED)
    return found is not None and not (found.query or " " in found.netloc or "@" in found.netloc)


def split_address(url: str, schemes: Collection[str]) -> SplitResult | None:
    """The parts of an address with one of these schemes, a host, and a port that can be; None for any other text."""
    try:
        found = urlsplit(url)
        is_place = bool(found.hostname) and found.port != 0
    except ValueError:  # a port or an IPv6 address that cannot be
        return None
    return found if found.scheme in schemes and is_place else None


def _check_roads_to_kafka(fausts: dict[str, Any]) -> None:
    named = [name for name, variable in OTHER_ROADS.items() if name in fausts or os.environ.get(variable)]
    if named:
        raise WrongSetting(f"unsupported settings: {', '.join(named)}; set the address of Kafka with broker only")
    for broker in (fausts.get("broker"), os.environ.get("BROKER_URL")):
        if broker is not None:
            broker_address(broker)


def _address(url: str, pattern: re.Pattern[str], example: str) -> str:
    if pattern.fullmatch(url) is None or not _has_host_and_port(url):
        raise ValueError(f"must be {example}; a % must be followed by two hexadecimal digits")
    return url


def _has_host_and_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
