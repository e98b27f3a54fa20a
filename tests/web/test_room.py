"""Room for orders in a gateway: so many at once, the others in their order, none for ever, none lost."""

import asyncio

import pytest

from web.entry import room as module
from web.entry.room import MAX_ORDERS_AT_ONCE, MAX_WAITING, Room
from web.refused import Refused


async def waiting(room: Room, *orders: int) -> list[asyncio.Task[None]]:
    """Tasks that wait for room, in this order."""
    tasks = [asyncio.create_task(room.take(count)) for count in orders]
    await asyncio.sleep(0)
    return tasks


async def let_in(tasks: list[asyncio.Task[None]]) -> list[bool]:
    """Which tasks are let in by now."""
    for _ in range(5):  # turns of the event loop
        await asyncio.sleep(0)
    return [task.done() for task in tasks]


async def test_who_comes_first_is_let_in_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large batch is not passed by small ones for as long as they come."""
    monkeypatch.setattr(module, "MAX_WAIT_S", 60.0)
    room = Room()
    await room.take(MAX_ORDERS_AT_ONCE)
    tasks = await waiting(room, 100, MAX_ORDERS_AT_ONCE, 1)
    room.give_back(99)
    assert await let_in(tasks) == [False, False, False]
    room.give_back(1)
    assert await let_in(tasks) == [True, False, False]
    room.give_back(MAX_ORDERS_AT_ONCE)
    assert await let_in(tasks) == [True, True, False]
    room.give_back(MAX_ORDERS_AT_ONCE)
    assert await let_in(tasks) == [True, True, True]


async def test_who_waits_too_long_is_refused_and_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one behind it is let in as soon as it fits."""
    monkeypatch.setattr(module, "MAX_WAIT_S", 0.02)
    room = Room()
    await room.take(MAX_ORDERS_AT_ONCE - 1)
    with pytest.raises(Refused) as refused:
        await room.take(2)
    assert (refused.value.code, refused.value.retry_after_s) == ("overloaded", 1)
    await room.take(1)
    with pytest.raises(Refused):
        await room.take(1)


async def test_who_goes_away_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it waits, and in the moment in which it is let in."""
    monkeypatch.setattr(module, "MAX_WAIT_S", 60.0)
    room = Room()
    await room.take(MAX_ORDERS_AT_ONCE)
    first, second, third = await waiting(room, 5, MAX_ORDERS_AT_ONCE, MAX_ORDERS_AT_ONCE)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    room.give_back(MAX_ORDERS_AT_ONCE)
    second.cancel()
    assert await let_in([first, second, third]) == [True, True, True]
    assert second.cancelled() and not third.cancelled()


async def test_more_than_may_wait_are_refused_immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the bodies of batches would fill the memory."""
    monkeypatch.setattr(module, "MAX_WAIT_S", 60.0)
    room = Room()
    await room.take(MAX_ORDERS_AT_ONCE)
    tasks = await waiting(room, *[1_000] * (MAX_WAITING // 1_000))
    with pytest.raises(Refused):
        await room.take(1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    room.give_back(1)
    await room.take(1)
