"""Finds the venue's addresses: from the environment or options, else from this folder's venue, else from the settings.

All addresses come from the same one of these three. Otherwise a command could use the Kafka of one venue and the
gateway of another; so if some addresses are given and a needed one is not, we refuse instead of guessing it.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from app.configuration import Settings, WrongSetting, broker_address, split_address

FOLDER = Path(".matchstream")
"""The data folder of `make run`, in the working directory."""
FOLDER_VARIABLE = "MATCHSTREAM_VENUE"
"""The environment variable that names another data folder."""
STATE, LOCK = "up.json", "up.lock"
"""Files in a data folder: the addresses of its venue, and the file that its launcher locks."""
GATEWAY = "http://127.0.0.1:8080"
KINDS = {"BROKER_URL": "Kafka", "DATABASE_URL": "Postgres", "REDIS_URL": "Valkey", "MATCHSTREAM_URL": "gateway"}
"""Environment variable -> the part that has this address."""
NEEDED = {
    "matching": ("BROKER_URL",),
    "recording": ("BROKER_URL", "DATABASE_URL"),
    "clearing": ("BROKER_URL", "DATABASE_URL"),
    "analytics": ("BROKER_URL",),
    "gateway": ("BROKER_URL", "DATABASE_URL", "REDIS_URL"),
}
"""Role -> the addresses that its workers use."""


class NoAddress(ValueError):
    """A needed address is unknown; the message says why and what to set."""


class Addresses(NamedTuple):
    """The addresses by environment variable, and where they came from."""

    parts: Mapping[str, str]
    source: str
    missing: str = ""
    """The error for an address that is not in `parts`; `{}` stands for its name."""
    folder: Path | None = None
    """The data folder of the running venue, if the addresses came from one."""
    gateways: frozenset[str] = frozenset()
    """Every gateway of that venue."""

    def need(self, *names: str) -> None:
        """Raise NoAddress unless all these addresses are known."""
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
        """Postgres' URL; raises NoAddress."""
        self.need("DATABASE_URL")
        return self.parts["DATABASE_URL"]

    @property
    def gateway(self) -> str:
        """A gateway's base URL; raises NoAddress."""
        self.need("MATCHSTREAM_URL")
        return self.parts["MATCHSTREAM_URL"].rstrip("/")

    def text(self, *names: str) -> str:
        """These addresses and their source, as one line for people, without passwords."""
        shown = ", ".join(f"{KINDS[name]} {without_password(self.parts[name])}" for name in names)
        return f"{shown} ({self.source})"


def find(ours: Settings, fausts: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Addresses:
    """The addresses of the one venue to act on; the first two arguments are what app.configuration.load returns.

    A command line passes its options as part of `environment`. Raises WrongSetting for an unusable gateway address.
    """
    configured = {
        "BROKER_URL": str(fausts.get("broker", "")),
        "DATABASE_URL": ours.database_url,
        "REDIS_URL": ours.redis_url,
        "MATCHSTREAM_URL": GATEWAY,
    }
    given = {name: environment[name] for name in KINDS if environment.get(name)}
    if not split_address(given.get("MATCHSTREAM_URL", GATEWAY), ("http", "https")):
        raise WrongSetting("the gateway's address (MATCHSTREAM_URL or --url) must be http://HOST:PORT")
    is_configured = bool(environment.get("FAUST_CONF"))  # settings of the user's own, not those for development
    folder = Path(environment.get(FOLDER_VARIABLE) or FOLDER).resolve()
    venue = _running(folder)
    if venue is not None and all(_is_of(venue, name, address) for name, address in given.items()):
        return venue._replace(parts={**venue.parts, **given})
    if given:
        first = next(iter(given))
        sentence = (
            f"the address of {KINDS[first]} ({first}) is given and that of {{}} is not: "
            "they could belong to different venues, so give both or neither"
        )
        return Addresses({**(configured if is_configured else {}), **given}, "as given", sentence)
    if not is_configured and ((folder / LOCK).exists() or FOLDER_VARIABLE in environment):
        everything = ", ".join(KINDS)
        sentence = f"the venue in {folder} is not running: start it with `make run`, or set {everything} for another"
        return Addresses({}, f"the venue in {folder}", sentence)
    return Addresses(configured, "the settings")


def without_password(url: str) -> str:
    """The address without its password and query, for people and logs."""
    found = urlsplit(url)
    user, at, host = found.netloc.rpartition("@")
    return urlunsplit(found._replace(netloc=f"{user.partition(':')[0]}{at}{host}", query=""))


def _is_of(venue: Addresses, name: str, address: str) -> bool:
    if name != "MATCHSTREAM_URL":
        return address == venue.parts[name]
    return address.rstrip("/").replace("//localhost:", "//127.0.0.1:") in venue.gateways


def _running(folder: Path) -> Addresses | None:
    """The venue of this folder, if its launcher is running (it then holds the lock)."""
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
    source = f"the venue in {folder}"
    parts = {name: address for name, address in addresses.items() if name in KINDS}
    if "gateway" not in addresses:  # its port may be that of another venue's gateway
        sentence = f"{source} runs without its {{}}: stop it, and start it without --no-workers"
        return Addresses(parts, source, sentence, folder)
    parts["MATCHSTREAM_URL"] = addresses["gateway"]
    host = parts["MATCHSTREAM_URL"].rpartition(":")[0]
    gateways = frozenset(f"{host}:{port}" for name, port in ports.items() if name.startswith("gateway-"))
    return Addresses(parts, source, folder=folder, gateways=gateways)
