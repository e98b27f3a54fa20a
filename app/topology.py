"""The pipeline on one page: role -> modules, in the order a message meets them."""

from app.configuration import Role

COMMANDS = tuple(f"app.commands.{name}" for name in ("trading", "markets", "keys", "verify", "rebuild", "table"))

# Explicit modules, not packages: Faust skips a package whose module fails to import, and starts without it.
MODULES: dict[Role, tuple[str, ...]] = {
    "gateway": ("web.server", *COMMANDS),
    "matching": ("agents.matching", "web.probes", *COMMANDS),
    "recording": ("agents.recording", "web.probes", *COMMANDS),
}
