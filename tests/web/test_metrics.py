"""Figures: each role shows its own, and the dashboard asks only for those that there are."""

import json
import re
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from app import metrics as of_workers
from app.analytics.intervals import Interval
from app.local.venue import ROOT, Venue
from tests.until import until
from tests.web.conftest import Api
from web import metrics as of_gateway

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "matchstream.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
METRIC = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b(?!\s*\()")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def known_names() -> set[str]:
    """What /metrics can show, as Prometheus queries name it."""
    assert of_workers.lag and of_gateway.orders_received, "both modules register what they have"
    families = [*REGISTRY.collect()]
    ours = {family.name + suffix for family in families for suffix in SUFFIXES.get(family.type, ())}
    return ours | {sample.name for family in families for sample in family.samples}


@pytest.mark.parametrize("query", QUERIES)
def test_the_dashboard_asks_for_figures_that_there_are(query: str) -> None:
    """A renamed metric would leave an empty panel that nobody notices until it is needed."""
    asked = set(METRIC.findall(query))

    assert asked and asked <= known_names()


def test_every_figure_of_ours_is_on_the_dashboard() -> None:
    """Otherwise nobody looks at it."""
    registered = [*vars(of_workers).values(), *vars(of_gateway).values()]
    names = {metric._name for metric in registered if isinstance(metric, MetricWrapperBase)}

    assert {name for name in names if not any(name in query for query in QUERIES)} == set()


async def figures(url: str, session: aiohttp.ClientSession) -> dict[str, float]:
    """The samples of a process, by name and labels."""
    async with session.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


async def test_each_role_shows_how_far_it_is(
    venue: Venue, api: Api, session: aiohttp.ClientSession, market: str
) -> None:
    """Lag by role and partition, batches, acknowledgements, the age of checkpoints."""
    placed: Any = await api.place(instrument=market)
    assert placed.status == 201
    gateway, matching, recording, analytics = [
        await figures(venue.web_url(role), session) for role in ("gateway", "matching", "recording", "analytics")
    ]

    of_role = {"gateway": gateway, "matching": matching, "recording": recording, "analytics": analytics}
    for role, shown in {**of_role, "recording bars": recording}.items():
        lags = {name: value for name, value in shown.items() if name.startswith("lag_records{") and f'"{role}"' in name}
        assert len(lags) == 8, role
        assert max(lags.values()) < 1_000
    assert gateway['order_latency_seconds_count{stage="accepted"}'] >= 1
    assert gateway["kafka_acknowledgement_seconds_count"] >= 1
    assert gateway["http_connections"] >= 0
    assert matching["matching_batch_commands_sum"] >= matching["matching_batch_commands_count"] >= 1
    assert matching["kafka_acknowledgement_seconds_count"] >= 1
    ages = [value for name, value in matching.items() if name.startswith("checkpoint_age_seconds{")]
    assert len(ages) == 8 and 0 <= max(ages) < 30
    assert recording["sink_batch_reports_count"] >= 1
    assert recording["sink_transaction_seconds_count"] >= 1


async def test_analytics_shows_the_trades_of_a_market(
    venue: Venue, api: Api, session: aiohttp.ClientSession, market: str
) -> None:
    """And how many bars it has told, and recording how many it has written."""
    roles = {"analytics": "bars_told_total", "recording": "bars_recorded_total"}
    before = {role: (await figures(venue.web_url(role), session))[name] for role, name in roles.items()}
    for side in ("sell", "buy"):
        await api.place(instrument=market, client_id=side, side=side)
    trades = f'market_trades{{instrument="{market}"}}'
    await until(lambda: figures(venue.web_url("analytics"), session), lambda shown: shown.get(trades) == 1)
    for role, name in roles.items():
        least = before[role] + len(Interval)
        await until(lambda role=role: figures(venue.web_url(role), session), lambda s, n=name, x=least: s[n] >= x)
