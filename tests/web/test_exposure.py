"""Who may be reached from elsewhere: a gateway that would let everybody do everything does not start."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.configuration import Settings
from app.local.venue import ROOT
from web.edge import exposure
from web.edge.limits import DEFAULT_RATE

FAUST = Path(sys.executable).with_name("faust")


def listen_at(bind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust's settings with this address."""
    conf = SimpleNamespace(web_bind=bind, web_transport=urlsplit("tcp://"))
    monkeypatch.setattr(exposure, "app", SimpleNamespace(conf=conf))


@pytest.mark.parametrize(
    ("bind", "given", "rate"),
    [
        ("127.0.0.1", {}, 0),
        ("localhost", {}, 0),
        ("::1", {}, 0),
        ("127.0.0.5", {"rate_limit": 7.5}, 7.5),
        ("0.0.0.0", {"auth": "keys"}, DEFAULT_RATE),
        ("0.0.0.0", {"auth_off_beyond_loopback": True}, DEFAULT_RATE),
        ("0.0.0.0", {"auth_off_beyond_loopback": True, "rate_limit": 0}, 0),
    ],
    ids=str,
)
def test_what_starts_and_with_which_limit(
    bind: str, given: dict[str, Any], rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On loopback without keys and limits; elsewhere with keys or an explicit word, and limited by default."""
    listen_at(bind, monkeypatch)
    monkeypatch.setattr(exposure, "settings", Settings(**given))
    exposure.check_exposure()
    assert exposure.default_rate() == rate


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "10.0.0.1", "gateway.example", ""])
def test_what_others_reach_is_exposed(bind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not surely loopback."""
    listen_at(bind, monkeypatch)
    assert exposure.is_exposed()


def test_an_open_gateway_that_others_reach_does_not_start(tmp_path: Path) -> None:
    """One sentence says why and what to set, also when the command line says where to listen."""
    worker = [FAUST, "-A", "app", "worker", "-l", "info", "--web-bind", "0.0.0.0"]
    nobody = {"BROKER_URL": "kafka://127.0.0.1:1", "DATABASE_URL": "postgresql://127.0.0.1:1/no"}
    nobody |= {"REDIS_URL": "redis://127.0.0.1:1/0"}
    env = os.environ | nobody | {"ROLE": "gateway", "APP_DATADIR": str(tmp_path)}
    refused = subprocess.run(worker, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)

    said = refused.stdout + refused.stderr
    assert refused.returncode == 70
    assert (
        "ending the process: the gateway would let anyone who reaches 0.0.0.0 trade: "
        "set auth=keys, or auth_off_beyond_loopback=true if that is meant" in " ".join(said.split())
    )
    assert "Traceback" not in said
