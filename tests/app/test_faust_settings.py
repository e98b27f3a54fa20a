"""Settings that Faust took without a word, or refused with a traceback: one sentence that names each."""

from pathlib import Path

import pytest

from app.configuration import WrongSetting, load

WRONG = [
    ("topic_partitions", "0", "greater than or equal to 1"),
    ("topic_partitions", "-1", "greater than or equal to 1"),
    ("topic_replication_factor", "0", "greater than or equal to 1"),
    ("broker_session_timeout", "-1", "greater than or equal to 1"),
    ("broker_session_timeout", "nan", "less than or equal to 1800"),
    ("broker_heartbeat_interval", "10", "must be less than broker_session_timeout, 10; a third of it is usual"),
    ("broker_heartbeat_interval", "0", "greater than 0"),
    ("broker_commit_interval", "x", "unable to parse string"),
    ("stream_buffer_maxsize", "-1", "greater than or equal to 1"),
    ("web_port", "99999", "less than or equal to 65535"),
    ("processing_guarantee", "exactly_once", "must be at_least_once, because exactness depends on it"),
    ("stream_wait_empty", "true", "must be False, because exactness"),
    ("table_standby_replicas", "1", "must be 0, because exactness"),
    ("consumer_auto_offset_reset", "latest", "must be earliest, because exactness"),
    ("producer_acks", "0", "must be -1, because exactness"),
    ("topic_allow_declare", "1", "must be False, because exactness"),
    ("topic_disable_leader", "false", "must be True, because exactness"),
    ("snapshot_interval_s", "inf", "less than or equal to 86400"),
    ("bar_close_s", "1e300", "less than or equal to 86400"),
    ("max_connections", "99999999999999999999", "less than or equal to 1000000"),
]
UNREADABLE = [("x = (", "SyntaxError: "), ("raise ValueError('of mine')", "ValueError: of mine")]


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG, ids=[f"{name}={value}" for name, value, _ in WRONG])
def test_a_setting_that_cannot_be_used(name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a process connects to anything."""
    monkeypatch.setenv(name.upper(), value)
    with pytest.raises(WrongSetting) as refused:
        load()
    assert str(refused.value).startswith(f"{name.upper()} in the environment is {value!r}: ")
    assert sentence in str(refused.value)


@pytest.mark.parametrize(("text", "sentence"), UNREADABLE, ids=["syntax", "exception"])
def test_a_settings_file_that_python_cannot_read(text: str, sentence: str, tmp_path: Path) -> None:
    """It was a traceback of runpy."""
    file = tmp_path / "faust.conf.py"
    file.write_text(text)
    with pytest.raises(WrongSetting, match=rf"faust\.conf\.py cannot be read: {sentence}"):
        load(file)


def test_a_settings_file_may_leave_out_what_has_one_value(tmp_path: Path) -> None:
    """Faust's own defaults would keep standby tables and let a leader create topics."""
    file = tmp_path / "faust.conf.py"
    file.write_text("broker = 'kafka://127.0.0.1:9092'\nweb_port = 6067\n")
    fausts = load(file)[1]
    assert (fausts["table_standby_replicas"], fausts["topic_allow_declare"], fausts["web_port"]) == (0, False, 6067)
