"""The three topics around a table: its events come from one, its outputs go to one, its changelog recovers it."""

from typing import NamedTuple


class Around(NamedTuple):
    """Names of topics; a partition of the table uses the partitions with its number."""

    source: str
    outputs: str
    changelog: str
