"""Commands that wait for the engine: cancels, amends, listings, halts. One whose key was used is not done twice."""

from app.models import identity
from app.models.commands import CommandMessage, encode_command
from app.models.reports import ExecutionReport
from web.gateway import Gateway
from web.trading.earlier import first_report

ENGINE_TIMEOUT_S = 2.0


async def carry_out(
    gateway: Gateway, command: CommandMessage, client_id: str | None, key: str
) -> list[ExecutionReport] | None:
    """Send a command and wait for its report, in its parts; None when it does not come in time. Raises Refused.

    A command whose key was used for it before is not carried out again: the report is the first one's.
    """
    command_id = identity.id_text(identity.command_id(client_id, command.instrument, key))
    with gateway.feed.expectations.of(command_id) as expected:
        offset = await gateway.outgoing.send(command.instrument, encode_command(command))
        parts = await expected.report(offset, ENGINE_TIMEOUT_S)
    return None if parts is None else await first_report(gateway, parts)
