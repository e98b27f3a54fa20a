"""What the venue should do on two cores, and how a benchmark's result is compared with it.

`python -m benchmarks.report` runs the benchmarks and prints the table. A target without a result is "not measured".
"""

from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any, NamedTuple

NOT_MEASURED = "not measured"
RAMP_P99_S = 3.0  # an order waits up to a second for a free connection of the clients
COUNTER = "stock Faust counter"

Results = Mapping[str, Any]
"""The name of a run (benchmarks/report.py) -> its JSON."""


class Measured(NamedTuple):
    """A figure as text, and whether the target is met."""

    text: str
    is_met: bool


class Target(NamedTuple):
    """A figure to reach; `measured` reads it from the result of `run`."""

    name: str
    what: str
    goal: str
    run: str
    measured: Callable[[Any], Measured]


class Line(NamedTuple):
    """A line of the closing table."""

    target: Target
    measured: Measured | None


def compared(results: Results) -> list[Line]:
    """Every target beside its measured figure; None if its run has no result, or one without this figure."""
    lines = []
    for target in TARGETS:
        try:
            lines.append(Line(target, target.measured(results[target.run])))
        except (KeyError, StopIteration):
            lines.append(Line(target, None))
    return lines


def as_text(lines: list[Line]) -> Iterator[str]:
    """The table for a terminal."""
    for target, measured in lines:
        verdict = "" if measured is None else "met" if measured.is_met else "MISSED"
        text = NOT_MEASURED if measured is None else measured.text
        yield f"{target.name:<4} {target.what:<58} {target.goal:<26} {text:<34} {verdict}".rstrip()


def as_markdown(lines: list[Line]) -> Iterator[str]:
    """The table for a document."""
    yield "| | what | target | measured | |"
    yield "|---|---|---|---|---|"
    for target, measured in lines:
        verdict = "" if measured is None else "met" if measured.is_met else "missed"
        text = NOT_MEASURED if measured is None else measured.text
        yield f"| {target.name} | {target.what} | {target.goal} | {text} | {verdict} |"


def _core(found: Any) -> Measured:
    microseconds = median(next(iter(found["depth_us"].values())))
    rates = {name: median(several) for name, several in found["operations_per_s"].items()}
    ours = next(iter(rates.values()))
    fastest = max(rate for rate in rates.values() if rate != ours)
    ratio = ours / fastest
    return Measured(f"{microseconds:.1f} µs, {ratio:.2f} times", microseconds <= 7 and ratio >= 0.3)


def _depth(found: Any) -> Measured:
    small, *larger = (median(several) for several in found["depth_us"].values())
    ratio = max(larger) / small
    return Measured(f"{ratio:.2f} times", ratio <= 1.5)


def _worker(found: Any) -> Measured:
    exact, counter = found["paces"]["exact"], found["paces"][COUNTER]
    ratio = median(one["per_s"] for one in exact) / median(one["per_s"] for one in counter)
    cpu_us = median(one["cpu_us"] for one in exact)
    return Measured(f"{ratio:.1f} times, {cpu_us:.1f} µs", ratio >= 6 and cpu_us <= 30)


def _at_least_ratio(least: float) -> Callable[[Any], Measured]:
    def measured(found: Any) -> Measured:
        per_s = median(loop["per_s"] for loop in found["ours"])
        return Measured(f"{found['ratio']:.2f} times, {per_s:,.0f}/s", found["ratio"] >= least and found["right"])

    return measured


def _at_least_per_s(least: int) -> Callable[[Any], Measured]:
    def measured(found: Any) -> Measured:
        per_s = median(loop["per_s"] for loop in found["ours"])
        return Measured(f"{per_s:,.0f}/s", per_s >= least and found["right"])

    return measured


def _on_a_socket(found: Any) -> Measured:
    per_s = found["socket"]["orders_a_second"]
    return Measured(f"{per_s:,}/s", per_s >= 12_000)


def _whole(found: Any) -> Measured:
    ratio, loop = found["ratio"], found["ours"][-1]
    is_met = ratio >= 0.5 and found["right"] and loop["quiet_after_s"] < 1
    return Measured(f"{ratio:.2f} times, {loop['per_s']:,}/s, quiet {loop['quiet_after_s']} s", is_met)


def _at(found: Any, rate: int) -> Any:
    return next(at for at in found["rates"] if at["rate"] == rate)


def _latency(rate: int, accepted: tuple[float, float], traded: tuple[float, float]) -> Callable[[Any], Measured]:
    def measured(found: Any) -> Measured:
        load = _at(found, rate)["load"]
        pairs = [(load[stage]["p50_ms"], load[stage]["p99_ms"]) for stage in ("post_to_201", "post_to_trade")]
        text = "; ".join(f"{p50:.1f}, {p99:.1f}" for p50, p99 in pairs)
        is_met = load["right"] and all(
            p50 <= most[0] and p99 <= most[1] for (p50, p99), most in zip(pairs, (accepted, traded), strict=True)
        )
        return Measured(f"{text} ms", is_met)

    return measured


def _cpu(rate: int, most_us: int) -> Callable[[Any], Measured]:
    def measured(found: Any) -> Measured:
        spent = sum(_at(found, rate)["cpu_us"].values())
        return Measured(f"{spent:,.0f} µs", spent <= most_us)

    return measured


def _recovery(found: Any) -> Measured:
    seconds = median(found["first_s"])
    return Measured(f"{seconds:.1f} s", seconds <= 5 and found["equal"])


def _reader(found: Any) -> Measured:
    spent = _at(found, 1_000)["cpu_us"]["analytics-0"]
    return Measured(f"{spent:.0f} µs", spent <= 40)


def _ramp(found: Any) -> Measured:
    most = found["steps"][-1]
    failed = sum(sum(step["failed"].values()) for step in found["steps"])
    p99s = [most[name].get("p99_ms", 0.0) / 1_000 for name in ("accepted_ms", "refused_ms")]
    shown = f"{most['accepted']:,} accepted, {failed} failed; {p99s[0]:.1f}, {p99s[1]:.1f} s"
    return Measured(shown, found["right"] and not failed and max(p99s) <= RAMP_P99_S)


def _scaling(found: Any) -> Measured:
    one, *more = (median(run["all_us"] for run in runs) for runs in found["sizes"].values())
    ratio = max(more) / one
    return Measured(f"{one:,.0f} µs, {ratio:.2f} times", found["right"] and ratio <= 1.1)


def _clearing(found: Any) -> Measured:
    seconds = found["settled_s"]
    slowest = f"slowest insert meanwhile {found['slowest_insert_ms']} ms"
    return Measured(f"{seconds:.1f} s, {slowest}", seconds <= 10 and found["trades"] >= 1_000_000)


TARGETS = (
    Target("P1", "core with full reports: an operation; beside a Python package", "≤ 7 µs; ≥ 0.3 times", "core", _core),
    Target(
        "P2", "matching worker in bulk: beside a stock Faust agent; an order", "≥ 6 times; ≤ 30 µs", "matching", _worker
    ),
    Target("P3", "gateway alone, durable 201, beside a bare handler", "≥ 0.6 times", "gateway", _at_least_ratio(0.6)),
    Target("P4", "gateway alone, batches of 100", "≥ 25,000/s", "gateway_batches", _at_least_per_s(25_000)),
    Target("P4", "orders on one socket", "≥ 12,000/s", "order_entry", _on_a_socket),
    Target(
        "P5", "whole pipeline, single orders, beside a bare handler", "≥ 0.5 times; quiet < 1 s", "pipeline", _whole
    ),
    Target("P6", "whole pipeline, batches of 100", "≥ 8,000/s", "batches", _at_least_per_s(8_000)),
    Target(
        "P7",
        "500/s: POST to 201, to the trade, p50 and p99",
        "3, 12; 6, 19 ms",
        "stages",
        _latency(500, (3, 12), (6, 19)),
    ),
    Target("P7", "1,000/s: the same", "4, 20; 9, 40 ms", "stages", _latency(1_000, (4, 20), (9, 40))),
    Target("P7", "2,000/s: the same", "6, 50; 14, 90 ms", "stages", _latency(2_000, (6, 50), (14, 90))),
    Target("P8", "CPU an order of all processes at 500/s", "≤ 1,700 µs", "stages", _cpu(500, 1_700)),
    Target("P8", "CPU an order of all processes at 1,000/s", "≤ 950 µs", "stages", _cpu(1_000, 950)),
    Target("P8", "CPU an order of all processes at 2,000/s", "≤ 480 µs", "stages", _cpu(2_000, 480)),
    Target("P10", "matching worker killed: until the next match", "≤ 5 s", "recovery", _recovery),
    Target("P11", "core: 100,000 resting orders beside 1,000", "≤ 1.5 times", "core", _depth),
    Target("P13", "one more reader of the reports: CPU an order at 1,000/s", "≤ 40 µs", "stages", _reader),
    Target("P14", "a million trades closed and settled", "≤ 10 s", "clearing", _clearing),
    Target("ramp", "40,000/s due: nothing lost, no failed answer; 201, 503: p99", "0 failed; 3, 3 s", "ramp", _ramp),
    Target("size", "2 matching workers, 2 gateways: CPU an order beside 1", "≤ 1.1 times", "scaling", _scaling),
)
