"""The ten instruments of a new installation, which `list` commands in the log put on the market."""

from typing import NamedTuple

from app.engine import partition_of
from app.kafka.one_shot import ToSend, send
from app.kafka.reading import bounds
from app.models.commands import ListInstrument, encode_command
from app.topics import EXECUTIONS, ORDERS


class DefaultListing(NamedTuple):
    """One of the instruments, named BASE-QUOTE; sizes are decimal text."""

    base: str
    quote: str
    tick_size: str = "0.01"
    lot_size: str = "0.0001"

    @property
    def instrument(self) -> str:
        return f"{self.base}-{self.quote}"


DEFAULTS = (
    DefaultListing("BTC", "USD"),
    DefaultListing("ETH", "USD"),
    DefaultListing("SOL", "USD"),
    DefaultListing("BNB", "USD"),
    DefaultListing("XRP", "USD", tick_size="0.0001"),
    DefaultListing("ADA", "USD", tick_size="0.0001"),
    DefaultListing("DOGE", "USD", tick_size="0.00001"),
    DefaultListing("DOT", "USD", tick_size="0.001"),
    DefaultListing("MATIC", "USD", tick_size="0.0001"),
    DefaultListing("LTC", "USD"),
)


def default_listings() -> list[ListInstrument]:
    """The commands that list the ten; they are always the same, so sending them again changes nothing (R15)."""
    return [
        ListInstrument(
            instrument=market.instrument,
            command_id="default-listing",
            base_asset=market.base,
            quote_asset=market.quote,
            tick_size=market.tick_size,
            lot_size=market.lot_size,
        )
        for market in DEFAULTS
    ]


async def list_defaults(broker: str, partitions: int) -> None:
    """Send the `list` commands to partitions without reports; returns when Kafka has them. `broker` is host:port.

    A partition with reports gets none: if its log had lost its end, the command would take a lost command's offset
    and so hide the loss.
    """
    ends = await bounds(broker, EXECUTIONS.name, range(partitions))
    new = {number for number, (_, end) in ends.items() if not end}
    # Not Kafka's own count of partitions, which may have grown since the venue was created.
    placed = [(partition_of(command.instrument, partitions), command) for command in default_listings()]
    await send(
        broker,
        [
            ToSend(ORDERS.name, number, command.instrument.encode(), encode_command(command))
            for number, command in placed
            if number in new
        ],
    )
