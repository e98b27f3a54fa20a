"""Kafka's jar files, pinned in requirements/kafka.txt: downloaded once by jgo, checked, and kept in the user's cache.

`python app/local/jars.py` downloads them and needs only jgo, so that `make` can run it while pip installs the rest.
`python app/local/jars.py lock` resolves the coordinates again and rewrites the pins.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

VERSION = "4.2.0"
COORDINATES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-reload4j:1.7.36"
PINS = Path(__file__).parents[2] / "requirements" / "kafka.txt"
DOWNLOADS_AT_ONCE = 8


class NoJars(RuntimeError):
    """The jars could not be downloaded or stored; the message is a sentence for the user."""


def cache() -> Path:
    """Matchstream's folder in the user's cache. Raises NoJars."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matchstream"
    except RuntimeError as error:  # no HOME, and no entry in /etc/passwd
        raise NoJars("You have no home folder to keep Kafka's files in: set XDG_CACHE_HOME to a folder.") from error


def folder() -> Path:
    """The jars' folder in the user's cache; its name depends on the pins. Raises NoJars."""
    return cache() / f"kafka-{VERSION}-{hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]}"


def class_path(say: Callable[[str], None] = print) -> list[Path]:
    """The jars; the first call on a machine downloads them, later ones need no network. Raises NoJars."""
    jars = folder()
    try:
        if not jars.exists():
            jars.parent.mkdir(parents=True, exist_ok=True)
            with (jars.parent / "lock").open("w") as lock:  # else two first starts at once would write the same files
                _wait_for(lock, say)
                if not jars.exists():
                    _download_all(jars, say)
        return sorted(jars.glob("*/**/*.jar"))
    except OSError as error:
        place = f"Kafka's files cannot be kept in {jars.parent} ({error.strerror})"
        raise NoJars(f"{place}: set XDG_CACHE_HOME to a folder that you may write to.") from error


def _wait_for(lock: IO[str], say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another process that downloads Apache Kafka {VERSION}")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _download_all(to: Path, say: Callable[[str], None]) -> None:
    """Download into a folder beside `to`, and rename it to `to` once it is complete."""
    pins = dict(line.split(" sha256:") for line in PINS.read_text().splitlines() if not line.startswith("#"))
    part = to.with_name(to.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    say(f"downloading Apache Kafka {VERSION} (45 MB, at the first start only)")
    try:
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            files = pool.map(lambda coordinate: _download(coordinate, part), pins)
            for count, (coordinate, file) in enumerate(zip(pins, files, strict=True), start=1):
                if hashlib.sha256(file.read_bytes()).hexdigest() != pins[coordinate]:
                    raise NoJars(f"{coordinate} does not have the SHA-256 pinned in {PINS.name}: it was not used.")
                if count % 10 == 0 or count == len(pins):
                    say(f"downloading Apache Kafka {VERSION}: {count} of {len(pins)} files")
    except (OSError, RuntimeError) as error:
        raise NoJars(f"Kafka could not be downloaded ({error}): check the network and start again.") from error
    part.rename(to)


def _download(coordinate: str, repository: Path) -> Path:
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    group, name, version = coordinate.split(":")
    maven = MavenContext(repo_cache=repository, remote_repos={"central": MAVEN_CENTRAL_URL})
    file = maven.project(group, name).at_version(version).artifact().resolve()
    return Path(file)


def _lock() -> None:
    """Resolve the coordinates and all their dependencies, and write the pins."""
    import jgo

    lines = ["# Kafka's jar files. Written by `make lock`."]
    for artifact in sorted(jgo.resolve(COORDINATES), key=lambda a: (a.groupId, a.artifactId)):
        digest = hashlib.sha256(Path(artifact.resolve()).read_bytes()).hexdigest()
        lines.append(f"{artifact.groupId}:{artifact.artifactId}:{artifact.version} sha256:{digest}")
    PINS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["lock"]:
        _lock()
    else:
        try:
            class_path()
        except NoJars as error:
            sys.exit(f"Error: {error}")
