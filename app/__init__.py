"""Matchstream, a real-time trade clearing and analytics engine: the Faust app; `faust -A app worker` starts here."""

import signal
import sys

# `python -m app …`: its imports take a second, in which Ctrl-C has nothing to stop and must not end in a traceback.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import faust
import faust.transport.drivers.aiokafka as kafka_driver
import mode.loop

# Faust takes the working directory off sys.path before it imports our modules, and the other packages live there.
sys.path.append(str(Path(__file__).parents[1]))

from app.addresses import NEEDED, NoAddress, find
from app.configuration import WrongSetting, load
from app.streaming.assignor import SlotAssignor
from app.streaming.connections import know_closed_connections
from app.streaming.consumer import BatchConsumer
from app.streaming.failstop import end_process
from app.streaming.intact import read_intact
from app.streaming.recovery import OrderedTableManager
from app.streaming.slot import SlotTaken, hold_slot
from app.streaming.version import UnknownFaust, require_known_faust
from app.streaming.watchdog import watch
from app.topics import DENSE
from app.topology import MODULES

try:
    settings, _faust_settings = load()
except WrongSetting as wrong:
    sys.exit(f"Error: {wrong}")
where = find(settings, _faust_settings)
_name = f"{settings.role}-{settings.slot}"
if where.folder is not None:  # what the environment says beats this, too
    _faust_settings |= {"broker": where.parts["BROKER_URL"], "datadir": where.folder / "workers" / _name}
    found = {"database_url": where.parts["DATABASE_URL"], "redis_url": where.parts["REDIS_URL"]}
    settings = settings.model_copy(update=found)

kafka_driver.Transport.Consumer = BatchConsumer
know_closed_connections()
read_intact(DENSE)

if settings.role == "gateway":
    # Twice as many requests a second; Faust's option --loop does the same. The CLI makes the loop after this.
    mode.loop.use("uvloop")


class MatchstreamApp(faust.App):
    """Faust's app, importing the modules of the role and no others (Faust would import all of `app`)."""

    _beginnings: ClassVar[list[Callable[[], None]]] = []

    # A gateway has no agents: web server and producer are all it needs of Faust, and a consumer without topics fails.
    producer_only = settings.role == "gateway"

    def at_worker_start(self, begin: Callable[[], None]) -> Callable[[], None]:
        """Call this when a worker starts, before anything else does; Faust's signal for it comes in every command."""
        self._beginnings.append(begin)
        return begin

    async def on_first_start(self) -> None:
        self._begin()
        await super().on_first_start()

    def _begin(self) -> None:
        try:
            require_known_faust()
            where.need(*NEEDED[settings.role])
            hold_slot(Path(self.conf.datadir), self.conf.broker, settings.role, settings.slot)
        except (UnknownFaust, NoAddress, SlotTaken) as error:
            end_process(str(error))
        watch(self)
        for begin in self._beginnings:
            begin()

    def _discovery_modules(self) -> list[str]:
        return list(MODULES[settings.role])


app = MatchstreamApp(
    f"matchstream-{settings.role}",
    origin="app",
    autodiscover=MODULES[settings.role],
    consumer_group_instance_id=_name,
    TableManager=OrderedTableManager,
    PartitionAssignor=SlotAssignor,
    **_faust_settings,
)

try:
    app.conf  # noqa: B018 - Faust reads its settings when they are first asked for
except (ValueError, KeyError) as wrong:
    sys.exit(f"Error: a setting of Faust in the environment or faust.conf.py cannot be used: {wrong}")
