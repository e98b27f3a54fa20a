"""Calculations of minutes, done beside the tests that mostly wait: begun before the first one, at the lowest priority.

A test marked `beside(function, arguments)` has the fixture `beside`: an iterator over function(argument) for each of
them, in their order, which waits for what is not done yet. They run in processes of their own, one for each core.
"""

import gc
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

NICENESS = 19
POOL = pytest.StashKey[ProcessPoolExecutor]()
RESULTS = pytest.StashKey[Iterator[Any]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "beside(function, arguments): calculated from the beginning on, for `beside`")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin what the tests that are going to run have asked for."""
    asked = [(item, mark) for item in session.items if (mark := item.get_closest_marker("beside"))]
    if not asked or session.config.option.collectonly:
        return
    pool = session.config.stash[POOL] = ProcessPoolExecutor(os.cpu_count(), initializer=_become_modest)
    for item, mark in asked:
        item.stash[RESULTS] = pool.map(*mark.args)


@pytest.fixture
def beside(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The results of what this test is marked with."""
    return request.node.stash[RESULTS]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Whoever ends early does not wait for what nobody has asked for yet."""
    if pool := session.config.stash.get(POOL, None):
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _become_modest() -> None:
    """At the beginning of each process: last in turn, and not longer there than the tests."""
    os.nice(NICENESS)
    gc.freeze()
    threading.Thread(target=_end_with_the_tests, daemon=True).start()


def _end_with_the_tests() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
