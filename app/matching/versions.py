"""What each version of the engine does, so that a log from before a change of the rules still gives what it gave.

A book obeys one version at a time: at first that of its log's genesis record, then whatever `EngineVersion` sets. The
records of a log are always read by the version of its genesis record, so what a record says depends on no book's state.
"""

from typing import NamedTuple


class Behaviour(NamedTuple):
    """The rules that differ between versions."""

    joins_slices: bool
    """R8: a maker that is alone in its queue gives all that it has in one fill; before, each slice was one."""
    bounds_slices: bool
    """R8: a listing's `max_slices` holds; before, an iceberg could show as little as it liked."""
    keeps_triggered: bool
    """R9: a triggered stop for which no fills are left waits for the next command; before, it ended."""
    cancels_before_checks: bool
    """R6: an amend to a total that is filled already cancels, whatever else it says; before, all checks came first."""
    reads_strictly: bool
    """A record that says what makes no sense is malformed or refused; before, that part of it was passed over."""


VERSIONS = {
    1: Behaviour(
        joins_slices=False,
        bounds_slices=False,
        keeps_triggered=False,
        cancels_before_checks=False,
        reads_strictly=False,
    ),
    2: Behaviour(
        joins_slices=True,
        bounds_slices=True,
        keeps_triggered=True,
        cancels_before_checks=True,
        reads_strictly=True,
    ),
}
NEWEST_VERSION = max(VERSIONS)
