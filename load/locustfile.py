"""The reference system's load test in Locust: a ramp of 12k, 20k, 30k, 40k requests a second, scaled to this machine.

`locust -f load/locustfile.py --headless --host http://127.0.0.1:8080 [--scale 0.1] [--stage-seconds 30]`
"""

import time
from argparse import Namespace
from typing import Any

from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task

from load.generator import requests
from load.profiles import PLAIN, PROFILES

STAGES = (12_000, 20_000, 30_000, 40_000)  # requests a second
PER_USER = 20.0  # requests a second of one simulated user
ACCEPTED = 201


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: Any) -> None:
    """Add our options to Locust's."""
    parser.add_argument("--scale", type=float, default=0.1, help="share of the reference's rates")
    parser.add_argument("--stage-seconds", type=float, default=30.0, help="how long each stage lasts")


class Ramp(LoadTestShape):
    """Runs one stage after another, then ends."""

    def tick(self) -> tuple[int, float] | None:
        """(users, users started a second); None to stop."""
        assert self.runner is not None, "Locust sets it before the first tick"
        options = self.runner.environment.parsed_options or Namespace()
        stage = int(self.get_run_time() / options.stage_seconds)  # type: ignore[no-untyped-call]
        if stage >= len(STAGES):
            return None
        users = max(1, round(STAGES[stage] * options.scale / PER_USER))
        return users, float(users)


class Trader(FastHttpUser):
    """Places the reference's orders, each under a new key: ten instruments, uniform prices and quantities."""

    wait_time = constant_throughput(PER_USER)
    stream = requests(PROFILES["reference"], seed=1, mix=PLAIN, tag=f"l{time.time_ns():x}")

    @task
    def place(self) -> None:
        """Place one order; any status but 201 is a failure."""
        request = next(self.stream)
        headers = {"Content-Type": request.content_type, "Idempotency-Key": request.key or ""}
        with self.client.post(
            request.path, data=request.body.decode(), headers=headers, name="POST orders", catch_response=True
        ) as response:
            if response.status_code != ACCEPTED:
                response.failure(f"{response.status_code}")
