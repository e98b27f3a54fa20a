"""`python -m benchmarks.core`: the matching core's speed beside published packages and by book size, and its memory.

Prints conditions and tables, writes JSON with `--json`. It measures CPU time of one process on one core; each figure is
the median of several runs, with least and greatest. Compared engines run in turns and must give equal trades.
"""

import argparse
import gc
import json
import os
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from app.matching.book import Book
from app.matching.commands import Cancel, Moment, Place
from app.matching.events import Level, OrderState, Report, Trade
from app.matching.words import OrderType, Side
from app.streaming.collecting import collect_rarely
from benchmarks.engines import PEERS, Engine, Ours, commands, differences, install_peers
from benchmarks.flow import MIDDLE, UNLIMITED, draw, ids, listed
from load.report import conditions

SMALL, LARGE = 1_000, 100_000
SWEPT = 100_000
_new = tuple.__new__  # a NamedTuple's own constructor takes twice as long
MAX_FILLS = 1_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="runs of each measurement")
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    install_peers()
    collect_rarely()  # as a worker does, for all engines
    found = measure(options.seed, options.runs, options.operations)
    _print(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if found["differences"] else 0


def measure(seed: int, runs: int, operations: int) -> dict[str, Any]:
    """Run all measurements; returns the content of the JSON file."""
    against, wrong = against_peers(seed, runs, operations)
    return {
        "conditions": conditions(),
        "seed": seed,
        "runs": runs,
        "operations": operations,
        "operations_per_s": against,
        "differences": wrong,
        "words_only_per_s": words_only(seed, runs, operations),
        "depth_us": against_depth(seed, runs, operations),
        "cancel_us": cancels(runs),
        "sweep_us_per_order": sweeps(runs),
        "memory_bytes": memory(),
    }


def against_peers(seed: int, runs: int, operations: int) -> tuple[dict[str, list[float]], list[str]]:
    """Operations a second of each engine in each run, and each difference between their trades."""
    engines: tuple[type[Engine], ...] = (Ours, *PEERS)
    found: dict[str, list[float]] = {engine.name: [] for engine in engines}
    stream = draw(seed, SMALL, operations)
    keys = ids(seed, stream)
    for _ in range(runs):
        trades = {}
        for new in engines:
            engine = new()
            found[new.name].append(operations / _timed(engine, engine.ready(stream, keys), SMALL))
            trades[new.name] = engine.trades()
    compared = [differences(peer.name, trades[Ours.name], trades[peer.name]) for peer in PEERS]
    return found, [difference for difference in compared if difference]


def words_only(seed: int, runs: int, operations: int) -> list[float]:
    """Operations a second for only creating each command and its report: no Python core can be faster."""
    stream, engine = draw(seed, SMALL, operations), Ours()
    ready, book = engine.ready(stream, ids(seed, stream)), listed()
    reports = [_plain(book.apply(command, at)) for command, at in commands(ready)][SMALL:]

    def run() -> None:
        for _, (report, orders, trades, levels) in zip(commands(ready[SMALL:]), reports, strict=True):
            [_new(OrderState, state) for state in orders]
            [_new(Trade, trade) for trade in trades]
            [_new(Level, level) for level in levels]
            _new(Report, report)

    return [operations / _cpu_s(run) for _ in range(runs)]


def _plain(report: Report) -> tuple[Any, ...]:
    """The fields of a report as plain tuples."""
    return tuple(report), *([tuple(each) for each in part] for part in (report.orders, report.trades, report.levels))


def against_depth(seed: int, runs: int, operations: int) -> dict[str, list[float]]:
    """Microseconds per operation with few and with many resting orders, on the same number of levels and on more."""
    found: dict[str, list[float]] = {}
    shapes = {f"{SMALL:,} resting": (SMALL, 50), f"{LARGE:,} resting": (LARGE, 50)}
    shapes[f"{LARGE:,} resting on 20 times the levels"] = (LARGE, 1_000)
    streams = {name: (resting, draw(seed, resting, operations, levels)) for name, (resting, levels) in shapes.items()}
    for _ in range(runs):
        for name, (resting, stream) in streams.items():
            engine = Ours()
            ready = engine.ready(stream, ids(seed, stream))
            found.setdefault(name, []).append(_timed(engine, ready, resting) / operations * 1e6)
    return found


def cancels(runs: int, count: int = 1_000) -> dict[str, list[float]]:
    """Microseconds per cancel of a random order in a queue, by the queue's length."""
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        for length in (SMALL, LARGE):
            book, keys = _one_queue(length)
            random.Random(length).shuffle(keys)
            commands = [Cancel(os.urandom(16), 0, key) for key in keys[:count]]
            found.setdefault(f"{length:,} in the queue", []).append(_apply(book, commands, length) / count * 1e6)
    return found


def sweeps(runs: int) -> dict[str, list[float]]:
    """Microseconds per one-lot order that a sweep takes."""
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, count, at_once in (
            (f"{SWEPT // 10:,} by one command", SWEPT // 10, SWEPT // 10),
            (f"{SWEPT:,} by one command", SWEPT, SWEPT),
            (f"{SWEPT:,} by commands of {MAX_FILLS:,}", SWEPT, MAX_FILLS),
        ):
            book, _ = _one_queue(count, max_fills=at_once)
            commands = [
                Place(os.urandom(16), 0, "taker", "sweep", Side.SELL, OrderType.LIMIT, at_once, MIDDLE)
                for _ in range(count // at_once)
            ]
            took_s = _apply(book, commands, count)
            assert book.open_orders == 0 and book.trade_seq == count, "not everything was swept"
            found.setdefault(name, []).append(took_s / count * 1e6)
    return found


def memory() -> dict[str, float]:
    """Bytes per resting order, including its share of queues and indexes, without and with its id record."""
    return {
        "resting order": _growth(id_window=1) / LARGE,
        "resting order and its id record": _growth(id_window=LARGE) / LARGE,
    }


def _growth(id_window: int) -> int:
    """Bytes allocated for many orders of a few clients, on some hundred levels."""
    chosen = random.Random(1)
    book = listed(UNLIMITED._replace(id_window_count=id_window))
    clients = [f"client-{number}" for number in range(50)]
    gc.collect()
    tracemalloc.start()
    for number in range(1, LARGE + 1):
        key, client = chosen.getrandbits(128).to_bytes(16, "big"), chosen.choice(clients)
        price, said = MIDDLE - chosen.randrange(500), chosen.getrandbits(64)
        place = Place(key, said, client, key.hex()[:20], Side.BUY, OrderType.LIMIT, chosen.randint(1, 1_000), price)
        book.apply(place, Moment(number, number))
    del place
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return grown


def _one_queue(length: int, max_fills: int = MAX_FILLS) -> tuple[Book, list[bytes]]:
    """This many one-lot bids of different clients at one price, and their ids."""
    book, keys = listed(UNLIMITED._replace(max_fills=max_fills)), [os.urandom(16) for _ in range(length)]
    places = [
        Place(key, 0, f"client-{number % 50}", "k", Side.BUY, OrderType.LIMIT, 1, MIDDLE)
        for number, key in enumerate(keys)
    ]
    _apply(book, places, 0)
    return book, keys


def _apply(book: Book, commands: Sequence[Place | Cancel], offset: int) -> float:
    """Apply commands that begin after this offset; returns CPU seconds."""

    def run() -> None:
        for number, command in enumerate(commands, offset + 1):
            book.apply(command, Moment(number, number))

    return _cpu_s(run)


def _timed(engine: Engine, ready: Sequence[Any], resting: int) -> float:
    """CPU seconds for the operations after the resting orders."""
    engine.run(ready[:resting])
    rest = ready[resting:]
    return _cpu_s(lambda: engine.run(rest))


def _cpu_s(run: Callable[[], None]) -> float:
    gc.collect()
    gc.freeze()
    began = time.process_time()
    run()
    took_s = time.process_time() - began
    gc.unfreeze()
    return took_s


def _print(found: dict[str, Any]) -> None:
    where = found["conditions"]
    print(f"\none core of {where['cpus']}, {where['cpu']}, Python {where['python']}; CPU time, seed {found['seed']},")
    print(
        f"{found['operations']:,} operations (60 % passive, 30 % cancels, 10 % marketable), median of {found['runs']}"
    )
    ours = found["operations_per_s"][Ours.name]
    print(f"\n{SMALL:,} resting, operations a second                  least  greatest")
    for name, rates in found["operations_per_s"].items():
        ratios = [mine / theirs for mine, theirs in zip(ours, rates, strict=True)]
        ratio = "with full reports" if name == Ours.name else f"ours is {median(ratios):.2f} times as fast"
        print(f"  {name:<36} {median(rates):>11,.0f} {min(rates):>9,.0f} {max(rates):>9,.0f}  {ratio}")
    words = found["words_only_per_s"]
    print(f"  {'commands and reports alone':<36} {median(words):>11,.0f} {min(words):>9,.0f} {max(words):>9,.0f}")
    for line in found["differences"] or ["the trades of all are equal"]:
        print(f"  {line}")
    for title, key in (("an operation", "depth_us"), ("a cancel", "cancel_us"), ("an order", "sweep_us_per_order")):
        print(f"\nCPU microseconds {title}")
        base = median(next(iter(found[key].values())))
        for name, times in found[key].items():
            middle = median(times)
            print(f"  {name:<36} {middle:>11.2f} {min(times):>9.2f} {max(times):>9.2f}  {middle / base:.2f} times")
    print("\nmemory, bytes")
    for name, size in found["memory_bytes"].items():
        print(f"  {name:<36} {size:>11.0f}")
    print()


if __name__ == "__main__":
    sys.exit(main())
