"""Whether other machines can reach this web server; if they can, it requires API keys and rate limits."""

from ipaddress import ip_address

from app import app, settings
from app.streaming.failstop import end_process
from web.edge.limits import DEFAULT_RATE


def is_exposed() -> bool:
    """Whether the server listens on more than loopback or a socket file."""
    if app.conf.web_transport.scheme == "unix" or app.conf.web_bind == "localhost":
        return False
    try:
        return not ip_address(app.conf.web_bind).is_loopback
    except ValueError:
        return True


def check_exposure() -> None:
    """End the process if other machines could trade without a key, unless a setting allows that."""
    if settings.auth == "off" and is_exposed() and not settings.auth_off_beyond_loopback:
        end_process(
            f"the gateway would let anyone who reaches {app.conf.web_bind} trade: "
            "set auth=keys, or auth_off_beyond_loopback=true if that is meant"
        )


def default_rate() -> float:
    """Requests a second for keys and addresses without a rate of their own; 0: unlimited."""
    if settings.rate_limit is not None:
        return settings.rate_limit
    return DEFAULT_RATE if is_exposed() else 0.0
