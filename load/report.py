"""The report of a run, as text and as JSON: conditions, counts, latencies, verdict."""

import os
import platform
import resource
import time
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.verification.findings import Verdict
from app.verification.ledger import Outcome
from load.ledger import Ledger

PACKAGES = ("faust-streaming", "aiokafka", "aiohttp", "msgspec", "uvloop")


@dataclass
class Report:
    """The results of one run. Times are in seconds, latencies as in Latency.as_json; `cpu_s` is the generator's own."""

    profile: str
    seed: int
    tag: str
    rate: float
    seconds: float
    connections: int
    sent: int
    repeats: int
    took_s: float
    cpu_s: float
    ledger: Ledger
    statuses: dict[str, int]
    accepted: dict[str, float | int]
    traded: dict[str, float | int]
    stream: dict[str, int]
    quiet_s: float | None = None
    verdict: Verdict | None = None
    problem: str | None = None  # why a requested verdict is missing

    @property
    def is_right(self) -> bool:
        """Whether the verdict (if any) is right, the stream missed no trade, and no answer is wrong in itself."""
        judged = self.verdict is None or self.verdict.is_right
        return judged and self.problem is None and not self.wrong_answers and not self.stream.get("gaps")

    @property
    def wrong_answers(self) -> int:
        """How many answers accept a request that must be refused, or accept an order without naming it."""
        return sum(
            entry.outcome is Outcome.OK
            and (entry.request.must_refuse or (entry.request.places and entry.answered_id is None))
            for entry in self.ledger
        )

    def as_json(self) -> dict[str, Any]:
        by_kind: dict[str, Counter[str]] = {}
        for entry in self.ledger:
            by_kind.setdefault(entry.request.kind.value, Counter())[f"{entry.outcome.value} {entry.status}"] += 1
        return {
            "right": self.is_right,
            "conditions": conditions(),
            "load": {
                name: getattr(self, name) for name in ("profile", "seed", "tag", "rate", "seconds", "connections")
            },
            "sent": self.sent,
            "sent_per_s": round(self.sent / self.took_s, 1) if self.took_s else 0,
            "repeats": self.repeats,
            "outcomes": self.ledger.outcomes(),
            "statuses": dict(sorted(self.statuses.items())),
            "by_kind": {kind: dict(counts) for kind, counts in sorted(by_kind.items())},
            "wrong_answers": self.wrong_answers,
            "post_to_201": self.accepted,
            "post_to_trade": self.traded,
            "stream": self.stream,
            "generator_cpu_us_per_request": round(self.cpu_s / self.sent * 1e6, 1) if self.sent else None,
            "quiet_after_s": self.quiet_s,
            "verdict": self.verdict.as_json() if self.verdict else None,
            "problem": self.problem,
        }

    def as_text(self) -> str:
        found = self.as_json()
        where = found["conditions"]
        lines = [
            f"{self.profile}, seed {self.seed}, {self.rate:g}/s for {self.seconds:g} s, "
            f"{self.connections} connections, tag {self.tag}",
            f"  on {where['cpus']} cores, {where['memory_gb']} GB, Python {where['python']}, {where['system']}",
            f"  sent {self.sent:,} ({found['sent_per_s']:,}/s), repeated {self.repeats:,}, "
            + ", ".join(f"{count:,} {outcome}" for outcome, count in found["outcomes"].items()),
            f"  answers {_counts(found['statuses'])}",
            *(f"    {kind}: {_counts(counts)}" for kind, counts in found["by_kind"].items()),
            f"  POST to 201    {_latency(self.accepted)}",
            f"  POST to trade  {_latency(self.traded)}",
            f"  stream {_counts(self.stream)}; generator {found['generator_cpu_us_per_request']} µs CPU a request",
        ]
        if self.quiet_s is not None:
            lines.append(f"  quiet {self.quiet_s:.1f} s after the last answer")
        lines += [self.verdict.as_text()] if self.verdict else []
        lines += [f"no verdict: {self.problem}"] if self.problem else []
        if not self.is_right:
            lines.append(f"This run is WRONG ({self._why()}): ignore its speed.")
        return "\n".join(lines)

    def _why(self) -> str:
        if self.verdict is not None and not self.verdict.is_right:
            return self.verdict.first or ""
        if self.wrong_answers:
            return f"{self.wrong_answers} wrong answers"
        return self.problem or f"{self.stream.get('gaps')} trades missed on the stream"


def conditions() -> dict[str, Any]:
    """The machine and the versions with which this was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gb": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "loop_s": bare_loop_s(),
    }


def bare_loop_s() -> float:
    """CPU seconds for ten million turns of an empty loop: how fast this machine is at the moment."""
    began = time.process_time()
    for _ in range(10_000_000):
        pass
    return round(time.process_time() - began, 2)


def cpu_s() -> float:
    """CPU time of this process so far, both user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(": ")[2] if names else platform.machine()


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} x {name}" for name, count in counts.items()) or "none"


def _latency(found: dict[str, float | int]) -> str:
    if not found.get("count"):
        return "none"
    return f"{found['count']:,}: " + ", ".join(
        f"{name.removesuffix('_ms')} {found[name]:.1f} ms" for name in found if name != "count"
    )
