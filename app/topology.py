"""The pipeline on one page: role -> modules, in the order a message meets them."""

from app.configuration import Role

COMMANDS = tuple(
    f"app.commands.{name}"
    for name in ("trading", "streaming", "markets", "keys", "verify", "rebuild", "table", "clearing")
)

# Modules, not packages: if a module of a package fails to import, Faust silently starts without the package.
MODULES: dict[Role, tuple[str, ...]] = {
    "gateway": ("web.server", *COMMANDS),
    "matching": ("agents.matching", "web.probes", *COMMANDS),
    "recording": ("agents.recording", "agents.recording_bars", "web.probes", *COMMANDS),
    "analytics": ("agents.candles", "web.probes", *COMMANDS),
    "clearing": ("agents.clearing", "web.probes", *COMMANDS),
}
