"""The command line: what it asks of a gateway, and what it refuses before it asks."""

import click
import pytest

from app.commands import clearing, gateway, keys
from app.commands.gateway import api_key, change, checked_key, show
from app.postgres import Reader, Settlements
from tests.load.misbehaving import BODY, misbehaving

PATH = "/api/v1/orders/7/cancel"


async def test_the_gateway_waits_for_the_engine_and_not_the_command_line() -> None:
    """A user at a terminal wants the result, and the gateway knows first when there is one; 202 is shown as it is."""
    for status in (200, 202, 409):
        async with misbehaving(status) as server:
            assert await change(server.url, PATH) == (status, BODY)
        ((method, path, key, _),) = server.asked
        assert (method, path, server.preferences) == ("POST", PATH, ["wait=8"]) and key is not None
    async with misbehaving(200) as server:
        await change(server.url, PATH, "mine")
    assert [key for _, _, key, _ in server.asked] == ["mine"]


async def test_the_key_of_an_unknown_outcome_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The gateway says that a repeat with the same key is safe; the command line had chosen it and did not show it."""
    async with misbehaving(504) as server:
        await change(server.url, PATH)
    ((_, _, key, _),) = server.asked
    assert capsys.readouterr().err == f"repeat it with --key {key}\n"


async def test_the_key_is_shown_if_no_answer_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway may have accepted the command before the connection was lost."""
    monkeypatch.setattr(gateway, "fail", refuse)
    with pytest.raises(SystemExit, match=r"no answer from the gateway at http://127\.0\.0\.1:1: .*; .* --key mine"):
        await change("http://127.0.0.1:1", PATH, "mine")


async def test_the_key_of_a_cycle_is_shown_if_postgres_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cycle is asked for by then; without its key the next try would ask for another one."""
    monkeypatch.setattr(clearing, "fail", refuse)
    reader = Reader("postgresql://127.0.0.1:1/gone")
    with pytest.raises(SystemExit, match=r"away.*\. The cycle is asked for; the same command with --key mine shows it"):
        await clearing._netted(Settlements(reader), "mine")
    await reader.close()


async def test_who_lacks_an_api_key_reads_where_the_command_line_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's sentence names a header, which nobody can give to the command line."""
    monkeypatch.setattr(gateway, "fail", refuse)
    refusal = {"title": "unauthorized", "detail": "send your API key once: Authorization: Bearer KEY"}
    with pytest.raises(SystemExit, match="Bearer KEY; this command takes the key from MATCHSTREAM_API_KEY"):
        show((401, refusal), False, str)
    with pytest.raises(SystemExit, match=r"forbidden: not yours$"):
        show((403, {"title": "forbidden", "detail": "not yours"}), False, str)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("soon", "invalid --expires 'soon': write 2027-01-31 or 2027-01-31T12:00:00Z"),
        ("1969-12-31", "invalid --expires '1969-12-31': must be a time from 1970 to 9999"),
        (
            "0001-01-01T00:00:00+14:00",
            "invalid --expires '0001-01-01T00:00:00+14:00': must be a time from 1970 to 9999",
        ),
        ("2000-01-01", "--expires 2000-01-01 is in the past"),
    ],
)
def test_an_expiry_that_no_key_can_have(text: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is one sentence; we replace `fail`, which would end the tests."""
    monkeypatch.setattr(keys, "fail", refuse)
    with pytest.raises(SystemExit) as refused:
        keys._expiry(text, now_ms=10**12)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("key", ["", "has space", "a\nb", "a\n", "..", "x" * 65])
def test_a_key_that_would_not_make_a_repeat_safe(key: str) -> None:
    """An empty variable in a script became a new key at each run, so that a repeat placed a second order."""
    with pytest.raises(click.BadParameter, match="expected 1 to 64 of"):
        checked_key(None, None, key)
    assert [checked_key(None, None, fine) for fine in (None, "k-1:a.b_c")] == [None, "k-1:a.b_c"]


@pytest.mark.parametrize("key", ["ms_1\n", "ключ"])
def test_an_api_key_that_no_header_can_carry(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key pasted with a line break was a traceback of the HTTP client."""
    monkeypatch.setattr(gateway, "fail", refuse)
    monkeypatch.setenv("MATCHSTREAM_API_KEY", key)
    with pytest.raises(SystemExit, match="MATCHSTREAM_API_KEY is not an API key"):
        api_key()


def refuse(message: str) -> None:
    """In the place of `fail`."""
    raise SystemExit(message)
