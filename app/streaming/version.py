"""Require the version of Faust that our overrides were written for: another may behave differently."""

from importlib.metadata import version

KNOWN = "0.15.3"


class UnknownFaust(RuntimeError):
    """The installed Faust is not the version that app/streaming was checked against."""


def require_known_faust(installed: str | None = None) -> None:
    """Raise UnknownFaust for any other version."""
    found = installed or version("faust-streaming")
    if found != KNOWN:
        raise UnknownFaust(
            f"faust-streaming {found} is installed, app/streaming is checked against {KNOWN} only: "
            "install that, or check the overrides against the new one and name it in app/streaming/version.py"
        )
