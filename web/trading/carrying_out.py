"""Sends cancels, amends, listings and halts, and waits for the engine; a repeated key gets the first report."""

from app.models import identity
from app.models.commands import CommandMessage, encode_command
from app.models.reports import ExecutionReport
from web.gateway import Gateway
from web.trading.earlier import first_report

ENGINE_TIMEOUT_S = 2.0


async def carry_out(
    gateway: Gateway, command: CommandMessage, client_id: str | None, key: str
) -> list[ExecutionReport] | None:
    """Send a command and return all parts of its report; None if they do not arrive in time. Raises Refused.

    The engine does not carry out a repeated command again; the report is then that of the first time.
    """
    command_id = identity.id_text(identity.command_id(client_id, command.instrument, key))
    with gateway.feed.expectations.of(command_id) as expected:
        offset = await gateway.outgoing.send(command.instrument, encode_command(command))
        parts = await expected.report(offset, ENGINE_TIMEOUT_S)
    return None if parts is None else await first_report(gateway, parts)
