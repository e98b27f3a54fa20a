"""A worker's log stays readable while Kafka is away."""

import logging

from app.streaming.log_lines import MAX_SENTENCES, REPEAT_S, SeldomRepeated


def record(text: str, *values: object, name: str = "aiokafka") -> logging.LogRecord:
    """A warning of this logger."""
    return logging.LogRecord(name, logging.WARNING, "", 0, text, values, None)


def test_aiokafka_says_a_sentence_again_only_after_some_seconds() -> None:
    """While Kafka is away it repeats them many times a second; another node or error is another sentence."""
    now = [100.0]
    seldom = SeldomRepeated(lambda: now[0])
    text = "Unable connect to node with id %s: %s"
    assert [seldom.filter(record(text, node, "refused")) for node in (1, 1, 2, 1)] == [True, False, True, False]
    now[0] += REPEAT_S
    assert [seldom.filter(record(text, 1, "refused")) for _ in range(2)] == [True, False]


def test_our_own_sentences_are_never_left_out() -> None:
    """An operator must see each of them, and when."""
    seldom = SeldomRepeated()
    assert all(seldom.filter(record("watchdog", name="app.streaming.failstop")) for _ in range(3))


def test_sentences_are_not_remembered_without_a_limit() -> None:
    """A sentence with a number in it is new each time; a worker runs for months."""
    seldom = SeldomRepeated(lambda: 100.0)
    assert all(seldom.filter(record("offset %d", number)) for number in range(MAX_SENTENCES + 1))
    assert len(seldom._logged) == 1
