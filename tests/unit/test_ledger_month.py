"""Accelerated days with kills of the operator and outages of Prometheus: the ledger is that of a run without.

`python -m tests.bench.bench_ledger_month` does the same for a month, 200 kills and 50 outages: that takes minutes.
"""

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.metered_month import Month, Server, served
from tests.unit.worlds import NOW, carbon, hardware, serving, training
from trimtab.api.budget import BudgetStatus
from trimtab.api.hardware import HardwareClassStatus
from trimtab.api.policy import EfficiencyPolicySpec, EfficiencyPolicyStatus
from trimtab.handlers.accounting import book_all, settle_all, settle_budgets
from trimtab.observe.meter import read_window
from trimtab.observe.meter_queries import Results, queries
from trimtab.observe.meter_windows import windows
from trimtab.observe.prometheus import Prometheus, PrometheusError
from trimtab.observe.settings import ObserveSettings
from trimtab.plan.snapshot import ObjectMeta, PolicyState, Snapshot, WorkloadPod

SETTINGS = ObserveSettings(
    scrape_interval_seconds=30,
    meter_lag_seconds=75,
    meter_window_seconds=3600,
    meter_windows_a_pass=6,
    meter_revisit_minutes=1,
)
CPU = hardware("cpu", nodes=2, capacity_units=4.0).model_copy(update={"node_names": ("n1", "n2")})
GPU = hardware(
    "gpu", resourceName="nvidia.com/gpu", nodes=1, capacity_units=2.0,
    power={"idleWatts": "90", "peakWatts": "700", "acceleratorIdleWatts": "60", "acceleratorPeakWatts": "600"},
).model_copy(update={"node_names": ("g1",)})  # fmt: skip
GRID = carbon("ES", *(100.0 + 37 * (h % 24) for h in range(24 * 31)))


@dataclass
class Status:
    """What stands in the cluster: manifests, as the API server keeps them."""

    written: dict[str, Any] = field(default_factory=dict)

    def snapshot(self, month: Month, now: float) -> Snapshot:
        """What an operator sees at an instant."""
        pods: dict[str, list[WorkloadPod]] = {"web": [], "net": []}
        for pod in month.present(now):
            started = NOW + timedelta(seconds=pod.start)
            pods[pod.workload].append(
                WorkloadPod(name=pod.name, hardware_class=pod.hardware_class, node=pod.node, phase="Running",
                            created_at=started, started_at=started)
            )  # fmt: skip
        web = serving(0, self._of("ServingWorkload/demo/web"), pods=tuple(pods["web"]), resources={"cpu": "500m"})
        net = training("net", self._of("TrainingWorkload/demo/net"), pods=tuple(pods["net"]),
                       resources={"cpu": "1", "accelerators": 1}, age=timedelta(0))  # fmt: skip
        web = web.model_copy(update={"meta": net.meta.model_copy(update={"name": "web", "uid": "web"})})
        classes = tuple(
            one.model_copy(
                update={
                    "status": HardwareClassStatus.model_validate(self._of(f"HardwareClass/{one.meta.name}")),
                    "meta": one.meta.model_copy(update={"created_at": NOW}),
                }
            )
            for one in (CPU, GPU)
        )
        budget = BudgetStatus.model_validate(
            {"name": "all", "periodStart": NOW.isoformat(), **self._of("EfficiencyPolicy/demo/team/all")}
        )
        policy = PolicyState(
            meta=ObjectMeta(name="team", namespace="demo", created_at=NOW),
            spec=EfficiencyPolicySpec.model_validate({}),
            status=EfficiencyPolicyStatus(budgets=(budget,)),
        )
        return Snapshot(taken_at=NOW + timedelta(seconds=now), hardware=classes, carbon=(GRID,), training=(net,),
                        serving=(web,), policies=(policy,))  # fmt: skip

    def _of(self, key: str) -> dict[str, Any]:
        return {"usage": self.written[key]} if key in self.written else {}


def one_pass(status: Status, server: Server, prometheus: Prometheus, now: float, clock: float) -> dict[str, Any]:
    """Observe and settle; what would be written to status."""
    server.now = now
    snapshot = status.snapshot(server.month, now).model_copy(update={"taken_at": NOW + timedelta(seconds=now + clock)})
    readings = []
    for window in windows(snapshot, SETTINGS):
        try:
            found = [prometheus.query(promql, window.read_end) for promql in queries(window).all()]
        except PrometheusError:
            break
        readings.append(read_window(window, Results(*found), snapshot, SETTINGS))
    books = book_all(snapshot, readings)
    settled = {key: usage.to_manifest() for key, usage in settle_all(snapshot, books).items()}
    for (policy, name), usage in settle_budgets(snapshot, books).items():
        settled[f"EfficiencyPolicy/{policy}/{name}"] = usage.to_manifest()
    return settled


def run(month: Month, *, kills: int = 0, outages: int = 0, seed: int = 0) -> dict[str, Any]:
    """A month of passes. Kills come between any two steps; outages are stretches in which the API does not answer."""
    chance = random.Random(seed)
    status = Status()
    away = [(a := chance.uniform(0, month.seconds), a + chance.uniform(60, 9000)) for _ in range(outages)]
    # The account of a class's nodes begins when the operator first writes it.
    deaths = sorted(chance.uniform(4000, month.seconds) for _ in range(kills))
    with served(month) as server:
        prometheus = Prometheus(server.url)
        now = 200.0
        while now < month.seconds:
            server.away = any(a <= now < b for a, b in away)
            clock = chance.choice((0.0, 0.0, 0.0, 600.0, -900.0)) if kills else 0.0
            settled = one_pass(status, server, prometheus, now, clock)
            now += chance.uniform(900, 2400) if kills else 1800.0
            if deaths and deaths[0] <= now:
                # Killed: nothing is written, or some objects and not the others; then away for a while.
                written = chance.sample(sorted(settled), chance.randint(0, len(settled)))
                settled = {key: settled[key] for key in written}
                while deaths and deaths[0] <= now:
                    deaths.pop(0)
                now += chance.choice((5.0, 60.0, 3000.0, 20_000.0))
            status.written.update(settled)
        server.away = False
        end = month.seconds + 3600.0
        for _ in range(400):
            settled = one_pass(status, server, prometheus, end, 0.0)
            if not settled:
                break
            status.written.update(settled)
        else:
            pytest.fail(f"the ledger does not come to rest: {settled}")
        prometheus.close()
    return status.written


@pytest.mark.parametrize(
    ("days", "kills", "outages", "dark"), [(1, 15, 5, 3), (3, 30, 12, 7)], ids=["a day", "three days"]
)
def test_kills_and_outages_change_no_digit(days: float, kills: int, outages: int, dark: int) -> None:
    month = Month(seed=int(days), days=days, dark=dark)
    whole = run(month)
    broken = run(month, kills=kills, outages=outages - dark, seed=7)
    assert {key: usage.get("gaps", []) for key, usage in broken.items()} == {key: [] for key in broken}
    assert broken == whole
    assert set(whole) == {
        "ServingWorkload/demo/web", "TrainingWorkload/demo/net", "HardwareClass/cpu", "HardwareClass/gpu",
        "EfficiencyPolicy/demo/team/all",
    }  # fmt: skip
    for usage in whole.values():
        assert float(usage["energyWattHours"]) > 0
        assert float(usage["estimatedWattHours"]) > 0, "holes were bridged"
