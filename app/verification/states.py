"""What a judge asks of a table's durable states while it replays the table's partition (O3, O8)."""

from typing import Protocol, TypeVar

P_contra = TypeVar("P_contra", contravariant=True)


class States(Protocol[P_contra]):
    """Durable states of a partition, compared with those of the replay, a `P_contra`, as it passes them."""

    def before(self, offset: int, partition: P_contra) -> None:
        """Called before the event at this offset is applied."""

    def after(self, instrument: str, offset: int, partition: P_contra) -> None:
        """Called after the event at this offset has changed this instrument."""

    def end(self, partition: P_contra, outputs: int) -> None:
        """Called after the last event; `outputs` is that topic's end, as seen after these states were read."""

    def heard(self, instrument: str, seq: int, offset: int) -> None:
        """Called when the output that follows seq - 1 is effective at this offset of the outputs."""

    def cover(self, instrument: str, offset: int) -> bool:
        """Whether a snapshot covers this event, so its outputs must be in the topic (docs/EXACTNESS.md, I3)."""
