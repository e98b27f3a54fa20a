"""The rules of each engine version, so that a replay of an older log gives the same reports as then.

A book follows one version at a time: first that of its log's genesis record (the first record), then the one that an
`EngineVersion` command sets. Decoding always uses the genesis record's version, so that it depends on no book's state.
"""

from typing import NamedTuple


class Behaviour(NamedTuple):
    """The rules that differ between versions."""

    joins_slices: bool
    """R8: a maker that is alone in its queue can fill completely in one fill; before, each slice took one."""
    bounds_slices: bool
    """R8: a listing's `max_slices` limits icebergs; before, they could display as little as they liked."""
    keeps_triggered: bool
    """R9: a triggered stop for which no fills are left waits for the next command; before, it ended."""
    cancels_before_checks: bool
    """R6: an amend to an already filled total cancels without further checks; before, all checks came first."""
    reads_strictly: bool
    """A record that says what makes no sense is malformed or refused; before, that part of it was passed over."""
    charges_fees: bool
    """R16: fills pay fees by the market's rates; before, no rates could be set."""
    busts_trades: bool
    """R17: an erroneous trade can be canceled; before, none could."""


VERSIONS = {
    1: Behaviour(
        joins_slices=False,
        bounds_slices=False,
        keeps_triggered=False,
        cancels_before_checks=False,
        reads_strictly=False,
        charges_fees=False,
        busts_trades=False,
    ),
    2: Behaviour(
        joins_slices=True,
        bounds_slices=True,
        keeps_triggered=True,
        cancels_before_checks=True,
        reads_strictly=True,
        charges_fees=False,
        busts_trades=False,
    ),
    3: Behaviour(
        joins_slices=True,
        bounds_slices=True,
        keeps_triggered=True,
        cancels_before_checks=True,
        reads_strictly=True,
        charges_fees=True,
        busts_trades=True,
    ),
}
NEWEST_VERSION = max(VERSIONS)
