"""The command line with a gateway that has no answer from the engine yet."""

import pytest

from app.commands import gateway, keys
from app.commands.gateway import change
from tests.load.misbehaving import BODY, Misbehaving, misbehaving

PATH = "/api/v1/orders/7/cancel"


def _keys(server: Misbehaving) -> list[str | None]:
    return [key for _, _, key, _ in server.asked]


async def test_a_change_is_asked_again_under_its_key_until_it_is_done() -> None:
    """A user at a terminal wants the result, so 202 is repeated; every other answer is shown."""
    async with misbehaving(202, 202, 200) as server:
        assert await change(server.url, PATH) == (200, BODY)
    assert len(_keys(server)) == 3 and len(set(_keys(server))) == 1 and None not in _keys(server)
    assert {asked[:2] for asked in server.asked} == {("POST", PATH)}
    async with misbehaving(409) as server:
        assert await change(server.url, PATH, "mine") == (409, BODY)
    assert _keys(server) == ["mine"]


async def test_a_change_that_is_not_done_for_long_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is durable, and the user can ask for its result later."""
    monkeypatch.setattr(gateway, "ENGINE_TIMEOUT_S", 1)
    async with misbehaving(default=202) as server:
        assert await change(server.url, PATH) == (202, BODY)
    assert len(_keys(server)) > 1 and len(set(_keys(server))) == 1


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

    def refuse(message: str) -> None:
        raise SystemExit(message)

    monkeypatch.setattr(keys, "fail", refuse)
    with pytest.raises(SystemExit) as refused:
        keys._expiry(text, now_ms=10**12)
    assert str(refused.value) == sentence
