"""The pipeline on one page: role -> modules, in the order a message meets them."""

from app.settings import Role

COMMANDS = ("app.commands.trading", "app.commands.verify", "app.commands.rebuild", "app.commands.table")

# Explicit modules, not packages: Faust skips a package whose module fails to import, and starts without it.
MODULES: dict[Role, tuple[str, ...]] = {
    "gateway": ("web.server", *COMMANDS),
    "matching": ("agents.matching", "web.worker", *COMMANDS),
    "recording": ("agents.recording", "web.worker", *COMMANDS),
}
