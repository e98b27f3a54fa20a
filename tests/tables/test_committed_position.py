"""A position that the group commits is covered by a manifest (docs/EXACTNESS.md, I4)."""

from app.verification.findings import Finding, Findings
from tables.books.verification import books_states
from tables.recovery.changelog import manifest_key, manifest_value


def _found(position: int) -> Finding:
    """What is found when the group is at a position and the only manifest's floor is 7."""
    findings = Findings()
    states = books_states(0, "this-log", findings)
    states.read([(manifest_key(7), manifest_value(7, "this-log", {}, 0))])
    states.committed(position)
    return findings.states


def test_a_position_up_to_the_floor_is_right() -> None:
    """It may lag behind: it is a hint."""
    assert _found(6).differences == _found(7).differences == 0


def test_a_position_above_the_floor_is_seen() -> None:
    """Somebody acknowledged what no snapshot covers."""
    assert _found(8).first == "changelog[0]: the group has committed 8, the manifests continue at 7"
