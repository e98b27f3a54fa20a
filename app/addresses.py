"""Where the venue is: as the environment or options say, else what runs in this folder, else as the settings say.

All addresses come from one of the three. Kafka of one venue with the gateway of another would look like one venue and
be two, so an address that is missing beside a given one is refused, not guessed.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from app.configuration import Settings, broker_address

FOLDER = Path(".matchstream")
"""The data folder of `make run`, in the working directory."""
FOLDER_VARIABLE = "MATCHSTREAM_VENUE"
"""Names another data folder."""
STATE, LOCK = "up.json", "up.lock"
"""In a data folder: the addresses of its venue, and what its launcher has locked."""
GATEWAY = "http://127.0.0.1:8080"
KINDS = {"BROKER_URL": "Kafka", "DATABASE_URL": "Postgres", "REDIS_URL": "Valkey", "MATCHSTREAM_URL": "gateway"}
"""Environment variable -> what has this address."""
NEEDED = {
    "matching": ("BROKER_URL",),
    "recording": ("BROKER_URL", "DATABASE_URL"),
    "gateway": ("BROKER_URL", "DATABASE_URL", "REDIS_URL"),
}
"""Role -> the addresses that its workers use."""


class NoAddress(ValueError):
    """An address that is needed is not known; the message says why and what to set."""


class Addresses(NamedTuple):
    """The addresses by their environment variables, and where they were found."""

    parts: Mapping[str, str]
    source: str
    missing: str = ""
    """What is wrong if a part is not there; `{}` is its name."""
    folder: Path | None = None
    """The data folder of the venue that was found there."""
    gateways: frozenset[str] = frozenset()
    """Every gateway of that venue."""

    def need(self, *names: str) -> None:
        """Raise NoAddress unless these are known."""
        for name in names:
            if name not in self.parts:
                raise NoAddress(self.missing.format(f"{KINDS[name]} ({name})"))

    @property
    def broker(self) -> str:
        """Kafka's host:port; raises NoAddress."""
        self.need("BROKER_URL")
        return broker_address(self.parts["BROKER_URL"])

    @property
    def database_url(self) -> str:
        """Postgres; raises NoAddress."""
        self.need("DATABASE_URL")
        return self.parts["DATABASE_URL"]

    @property
    def gateway(self) -> str:
        """A gateway's base URL; raises NoAddress."""
        self.need("MATCHSTREAM_URL")
        return self.parts["MATCHSTREAM_URL"].rstrip("/")

    def text(self, *names: str) -> str:
        """These addresses and where they come from, in a line for people, without passwords."""
        shown = ", ".join(f"{KINDS[name]} {without_password(self.parts[name])}" for name in names)
        return f"{shown} ({self.source})"


def find(ours: Settings, fausts: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Addresses:
    """The addresses of the one venue to act on; the settings as app.settings.load gives them.

    Options of a command line count as if they were in the environment.
    """
    configured = {
        "BROKER_URL": str(fausts.get("broker", "")),
        "DATABASE_URL": ours.database_url,
        "REDIS_URL": ours.redis_url,
        "MATCHSTREAM_URL": GATEWAY,
    }
    given = {name: environment[name] for name in KINDS if environment.get(name)}
    is_configured = bool(environment.get("FAUST_CONF"))  # by somebody, and not the file for development
    folder = Path(environment.get(FOLDER_VARIABLE) or FOLDER).resolve()
    venue = _running(folder)
    if venue is not None and all(_is_of(venue, name, address) for name, address in given.items()):
        return venue._replace(parts={**venue.parts, **given})
    if given:
        first = next(iter(given))
        sentence = (
            f"the address of {KINDS[first]} ({first}) is given and that of {{}} is not: "
            "they may belong to two venues, give both or neither"
        )
        return Addresses({**(configured if is_configured else {}), **given}, "as given", sentence)
    if not is_configured and ((folder / LOCK).exists() or FOLDER_VARIABLE in environment):
        everything = ", ".join(KINDS)
        sentence = f"the venue in {folder} does not run: start it with `make run`, or set {everything} for another one"
        return Addresses({}, f"the venue in {folder}", sentence)
    return Addresses(configured, "the settings")


def without_password(url: str) -> str:
    """The address for people and logs."""
    found = urlsplit(url)
    user, at, host = found.netloc.rpartition("@")
    return urlunsplit(found._replace(netloc=f"{user.partition(':')[0]}{at}{host}", query=""))


def _is_of(venue: Addresses, name: str, address: str) -> bool:
    if name != "MATCHSTREAM_URL":
        return address == venue.parts[name]
    return address.rstrip("/").replace("//localhost:", "//127.0.0.1:") in venue.gateways


def _running(folder: Path) -> Addresses | None:
    """The venue whose launcher holds the folder's lock."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except BlockingIOError:
        pass
    except OSError:
        return None
    try:
        state = json.loads((folder / STATE).read_text())
        addresses, ports = dict(state["addresses"]), dict(state["ports"])
    except (OSError, ValueError, KeyError):
        return None
    parts = {name: addresses["gateway" if name == "MATCHSTREAM_URL" else name] for name in KINDS}
    host = parts["MATCHSTREAM_URL"].rpartition(":")[0]
    gateways = frozenset(f"{host}:{port}" for name, port in ports.items() if name.startswith("gateway-"))
    return Addresses(parts, f"the venue in {folder}", folder=folder, gateways=gateways)
