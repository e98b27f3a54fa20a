"""The benchmarks measure what they claim to, a difference between engines is seen, and no target is left out."""

import json
import re
from pathlib import Path
from typing import Any

from app.engine import Partition, partition_of
from app.instruments import default_listings
from app.local.venue import ROOT
from app.matching.words import Outcome
from app.models.commands import encode_command
from benchmarks.engines import Ours, Traded, differences
from benchmarks.flow import Mix, draw, ids
from benchmarks.orders_log import prepared
from benchmarks.report import RUNS
from benchmarks.targets import COUNTER, NOT_MEASURED, TARGETS, Measured, as_markdown, as_text, compared


def test_one_seed_is_one_stream() -> None:
    """What is compared between runs, machines and engines is the same stream."""
    assert draw(3, 100, 900) == draw(3, 100, 900) != draw(4, 100, 900)


def test_a_stream_rests_cancels_and_trades_as_its_mix_says() -> None:
    """Resting orders do not trade, and the shares are those asked for."""
    stream = draw(5, 500, 4_000)
    engine = Ours()
    engine.run(engine.ready(stream[:500], ids(5, stream)))
    assert engine.trades() == []

    engine.run(engine.ready(stream[500:], ids(5, stream)))
    cancels = sum(operation.target is not None for operation in stream)
    assert 0.27 * 4_000 < cancels < 0.33 * 4_000
    assert len(engine.trades()) > 400


def test_a_prepared_log_is_accepted_from_first_to_last() -> None:
    """A command that is refused, a cancel too late for instance, would be cheaper than one that is carried out."""
    partitions = [Partition(number, 8) for number in range(8)]
    for offset, listing in enumerate(default_listings()):
        owner = partitions[partition_of(listing.instrument, 8)]
        owner.apply(offset, 0, listing.instrument.encode(), encode_command(listing))
    for offset, record in enumerate(prepared(1, 600, 100, 8, Mix()), 100):
        outcome = partitions[record.partition].apply(offset, offset, record.key, record.value)
        assert outcome is not None and outcome.reports[0].outcome is Outcome.ACCEPTED


def test_the_first_differing_trade_is_named() -> None:
    """A comparison that cannot fail would prove nothing."""
    one, other = Traded("a", "b", 1, 2), Traded("a", "b", 1, 3)
    assert differences("peer", [one, one], [one, one]) is None
    assert differences("peer", [one, one], [one, other]) == f"peer: trade 1 is {other}, not {one}"
    assert differences("peer", [one, one], [one]) == "peer: 1 trades, not 2"


def results(speed: float = 1.0) -> dict[str, Any]:
    """A result of each run as the benchmarks write it, which meets every target; `speed` below 1 is a slower venue."""
    latency = {"p50_ms": 3 / speed, "p99_ms": 12 / speed}
    load = {"right": True, "post_to_201": latency, "post_to_trade": latency}
    loop = {"per_s": 25_000 * speed, "quiet_after_s": 0.5 / speed}
    cpu_us = {"gateway-0": 400 / speed, "analytics-0": 40 / speed}
    closed = {"right": True, "ratio": 0.6 * speed, "ours": [loop]}
    return {
        "core": {
            "depth_us": {"small": [7 / speed], "large": [10 / speed / speed]},
            "operations_per_s": {"ours": [30 * speed], "peer": [90], "slow peer": [10]},
        },
        "matching": {
            "paces": {"exact": [{"per_s": 600 * speed, "cpu_us": 30 / speed}], COUNTER: [{"per_s": 100, "cpu_us": 400}]}
        },
        "recovery": {"first_s": [5 / speed, 1, 9], "equal": True},
        "stages": {"rates": [{"rate": rate, "load": load, "cpu_us": cpu_us} for rate in (500, 1_000, 2_000)]},
        **dict.fromkeys(("gateway", "gateway_batches", "pipeline", "batches"), closed),
        "order_entry": {"socket": {"orders_a_second": round(12_000 * speed)}},
        "ramp": {"steps": [ramp_step(speed)], "right": True},
        "scaling": {"sizes": {"one": [{"all_us": 100}], "two": [{"all_us": 110 / speed}]}, "right": True},
        "clearing": {"trades": 1_000_000, "settled_s": 10 / speed, "slowest_insert_ms": 60.0},
    }


def ramp_step(speed: float) -> dict[str, Any]:
    """What one rate of the ramp gave."""
    latencies = {"accepted_ms": {"p99_ms": 3_000 / speed}, "refused_ms": {"count": 0}}
    return {"rate": 40_000, "accepted": 1_000, "failed": {}, **latencies}


def met(found: dict[str, Any]) -> list[bool]:
    return [line.measured is not None and line.measured.is_met for line in compared(found)]


def test_the_table_names_every_target_and_measures_it() -> None:
    """A target that nobody measures is forgotten."""
    names = {target.name for target in TARGETS}
    assert names >= {*(f"P{number}" for number in range(1, 9)), "P13", "P14", "ramp", "size"}
    assert {target.run for target in TARGETS} <= {run.name for run in RUNS}
    assert all(isinstance(line.measured, Measured) for line in compared(results()))
    for table in (list(as_text(compared({}))), list(as_markdown(compared({})))):
        assert all(any(name in line.split() for line in table) for name in names)
        assert sum(NOT_MEASURED in line for line in table) == len(TARGETS)


def test_the_page_of_results_measures_every_target() -> None:
    """Of what the benchmarks really wrote: a figure that one of them calls otherwise would be "not measured"."""
    page = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    found = json.loads(page.partition("```json\n")[2].partition("```")[0])
    lines = compared(found)
    assert all(line.measured is not None for line in lines)
    assert "\n".join(as_markdown(lines)) in page


def test_a_target_is_met_missed_or_not_measured() -> None:
    """A table that says "met" whatever was measured would prove nothing."""
    assert all(met(results()))
    assert not any(met(results(speed=0.01)))
    without = {name: found for name, found in results().items() if name != "stages"}
    unmeasured = {line.target.name for line in compared(without) if line.measured is None}
    assert unmeasured == {target.name for target in TARGETS if target.run == "stages"}


def test_a_fast_run_that_is_wrong_meets_no_target() -> None:
    """A run is worth nothing if an order was lost."""
    found = results(speed=100.0)
    for name in ("gateway", "gateway_batches", "pipeline", "batches"):
        found[name] = found[name] | {"right": False}
    found["recovery"]["equal"] = found["ramp"]["right"] = found["scaling"]["right"] = False
    for at in found["stages"]["rates"]:
        at["load"]["right"] = False
    missed = {line.target.name for line in compared(found) if line.measured is not None and not line.measured.is_met}
    assert missed == {"P3", "P4", "P5", "P6", "P7", "P10", "ramp", "size"}


def test_every_run_is_a_benchmark_that_knows_its_options() -> None:
    """`make bench` and `make bench-full` call these."""
    for run in RUNS:
        source = (Path(__file__).parents[1] / f"{run.module.replace('.', '/')}.py").read_text()
        assert run.writes_file == ('"--json"' in source), run.name
        options = {text for text in (*run.short, *run.full) if text.startswith("--")}
        assert options <= set(re.findall(r'"(--[a-z-]+)"', source)), run.name
