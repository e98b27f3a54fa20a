"""Matchstream, a real-time trade clearing and analytics engine: the Faust app; `faust -A app worker` starts here."""

import signal
import sys

# The imports of `python -m app …` take a second; a Ctrl-C during it must end the process without a traceback.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import faust
import faust.transport.drivers.aiokafka as kafka_driver
import mode.loop
from faust.exceptions import ImproperlyConfigured
from faust.web.base import BlueprintManager

# Faust removes the working directory from sys.path before it imports our modules, but our other packages are there.
sys.path.append(str(Path(__file__).parents[1]))

from app.addresses import NEEDED, NoAddress, find
from app.configuration import WrongSetting, load
from app.streaming.assignor import SlotAssignor
from app.streaming.collecting import collect_rarely
from app.streaming.connections import know_closed_connections
from app.streaming.consumer import BatchConsumer
from app.streaming.failstop import end_process
from app.streaming.intact import read_intact
from app.streaming.log_lines import repeat_seldom
from app.streaming.recovery import OrderedTableManager
from app.streaming.slot import SlotTaken, hold_slot
from app.streaming.version import UnknownFaust, require_known_faust
from app.streaming.watchdog import watch
from app.topics import DENSE
from app.topology import MODULES

try:
    settings, _faust_settings = load()
    where = find(settings, _faust_settings)
except WrongSetting as wrong:
    sys.exit(f"Error: {wrong}")
_name = f"{settings.role}-{settings.slot}"
if where.folder is not None:  # these are the running venue's addresses; Faust lets the environment override them
    _faust_settings |= {"broker": where.parts["BROKER_URL"], "datadir": where.folder / "workers" / _name}
    found = {"database_url": where.parts["DATABASE_URL"], "redis_url": where.parts["REDIS_URL"]}
    settings = settings.model_copy(update=found)

kafka_driver.Transport.Consumer = BatchConsumer
know_closed_connections()
read_intact(DENSE)

if settings.role == "gateway":
    # uvloop serves twice as many requests a second. Faust's CLI creates the event loop only after this.
    mode.loop.use("uvloop")


class MatchstreamApp(faust.App):
    """Faust's app, but it imports only the modules of the role (Faust would import all of `app`)."""

    _beginnings: ClassVar[list[Callable[[], None]]] = []

    # A gateway has no agents: it needs only Faust's web server and producer; a consumer without topics would fail.
    producer_only = settings.role == "gateway"

    def at_worker_start(self, begin: Callable[[], None]) -> Callable[[], None]:
        """Call `begin` before the rest of a worker starts. (Faust's own signal also fires in every CLI command.)"""
        self._beginnings.append(begin)
        return begin

    def worker_init_post_autodiscover(self) -> None:
        """Before Faust makes its web server's routes: leave out its own, so that ours are all there are."""
        self.web.blueprints = BlueprintManager([])
        super().worker_init_post_autodiscover()

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
        repeat_seldom()
        watch(self)
        collect_rarely()
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
    app.conf  # noqa: B018 - Faust reads its settings at the first access
except (ValueError, KeyError, ImproperlyConfigured) as wrong:
    sys.exit(f"Error: Faust cannot use a setting in the environment or faust.conf.py: {wrong}")
