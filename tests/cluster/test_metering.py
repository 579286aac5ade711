"""Metering on real pods: what the ledger says of the node is the integral of its source, and its parts add up to it.

The source is the kubelet's CPU time of the node, by the class's power curve: the embedded cluster has no meter of
energy.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import pytest

from tests.cluster import breaking
from tests.cluster.story import Story
from tests.cluster.test_local_cluster import IMAGE
from trimtab.api.common import Usage
from trimtab.api.hardware import HardwareClassSpec, NodeUsage
from trimtab.ledger.account import closed_part

CLASS = "local-cpu"
CORES = {"load-most": "300m", "load-some": "100m"}
"""Pods that use all the CPU that they may."""
SECONDS = 180.0
_SPIN = "while True: pass"


def load(name: str) -> dict[str, Any]:
    """A training of an own container that spins."""
    container = {"name": "train", "image": IMAGE, "command": ["python3", "-c", _SPIN]}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    spec = {
        "template": {"spec": pod},
        "work": {"totalSamples": 1_000_000},
        "resources": {"cpu": CORES[name], "memory": "128Mi"},
        "hardware": {"classes": [CLASS]},
    }
    return breaking.manifest("TrainingWorkload", name, spec)


@pytest.fixture(scope="module")
def loads(story: Story) -> Iterator[tuple[str, ...]]:
    """The pods, at work."""
    names = tuple(breaking.unique(name) for name in CORES)
    with ExitStack() as stack:
        for name, base in zip(names, CORES, strict=True):
            one = load(base)
            one["metadata"]["name"] = name
            stack.enter_context(breaking.applied(story, one))
        for name in names:
            story.shell.until(f"a pod of {name}", lambda name=name: _runs(story, name), 180)  # type: ignore[misc]
        yield names


def _runs(story: Story, name: str) -> bool:
    return any(pod["status"].get("phase") == "Running" for pod in story.pods(name, "TrainingWorkload"))


def node_usage(story: Story) -> NodeUsage | None:
    """The account of the class's nodes, when nothing of it is an estimate."""
    raw = story.shell.get("hw", CLASS).get("status", {}).get("usage")
    usage = NodeUsage.model_validate(raw) if raw else None
    return usage if usage is not None and usage.accounted_until is not None and not usage.gaps else None


def integral_watt_hours(story: Story, start: datetime, end: datetime) -> float:
    """The class's power curve over the kubelet's own samples of the node, from one instant to another."""
    spec = HardwareClassSpec.model_validate(story.shell.get("hw", CLASS)["spec"])
    ((node,),) = (story.shell.items("nodes", ",".join(f"{k}={v}" for k, v in spec.node_selector.items()), ""),)
    cores = float(node["status"]["allocatable"]["cpu"])
    seconds = time.time() - start.timestamp() + 60
    name = node["metadata"]["name"]
    (series,) = story.prometheus(f'node_cpu_usage_seconds_total{{node="{name}"}}[{seconds:.0f}s]')
    joules = 0.0
    for (t0, v0), (t1, v1) in zip(series["values"], series["values"][1:], strict=False):
        inside = min(t1, end.timestamp()) - max(t0, start.timestamp())
        if inside > 0:
            busy = min(1.0, (float(v1) - float(v0)) / (t1 - t0) / cores)
            watts = spec.power.idle_watts + (spec.power.peak_watts - spec.power.idle_watts) * busy
            joules += watts * inside * spec.pue
    return joules / 3600.0


def test_the_ledgers_node_total_is_the_integral_of_its_source(story: Story, loads: tuple[str, ...]) -> None:
    """Within 1 %."""
    before = story.shell.until("an account of the nodes", lambda: node_usage(story), 240)
    begin = before.accounted_until
    assert begin is not None

    def later() -> NodeUsage | None:
        usage = node_usage(story)
        grown = usage.accounted_until - begin if usage is not None and usage.accounted_until is not None else None
        return usage if grown is not None and grown.total_seconds() >= SECONDS else None

    after = story.shell.until(f"{SECONDS:.0f} s more of it", later, SECONDS + 240)
    assert after.accounted_until is not None
    metered = after.energy_watt_hours - before.energy_watt_hours
    source = integral_watt_hours(story, begin, after.accounted_until)
    assert metered == pytest.approx(source, rel=0.01)
    assert 0 < after.unattributed_watt_hours - before.unattributed_watt_hours < metered
    assert after.power_source == "Model"


def usage_of(story: Story, name: str) -> Usage | None:
    """A training's account, when nothing of it is an estimate."""
    raw = breaking.status_of(story, "tw", name).get("usage")
    usage = Usage.model_validate(raw) if raw else None
    return usage if usage is not None and not usage.gaps and usage.replica_seconds > 60 else None


def test_a_pod_pays_for_what_it_holds_and_for_what_it_uses(story: Story, loads: tuple[str, ...]) -> None:
    """Three times the cores: three times the idle energy, and three times the energy for use."""
    spec = HardwareClassSpec.model_validate(story.shell.get("hw", CLASS)["spec"])
    rates = []
    for name, base in zip(loads, CORES, strict=True):
        usage = story.shell.until(f"an account of {name}", lambda name=name: usage_of(story, name), 240)  # type: ignore[misc]
        hours, cores = usage.replica_seconds / 3600.0, int(CORES[base].removesuffix("m")) / 1000
        share = usage.cost_usd / (spec.price.usd_per_hour * hours)
        assert usage.idle_watt_hours == pytest.approx(spec.power.idle_watts * share * hours * spec.pue, rel=0.02)
        rates.append((usage.energy_watt_hours - usage.idle_watt_hours) / hours / cores)
    assert rates[0] == pytest.approx(rates[1], rel=0.15)


def test_a_killed_operator_neither_loses_nor_counts_twice(story: Story, loads: tuple[str, ...]) -> None:
    """What the account holds after kills is still the integral from one instant to another."""
    before = story.shell.until("an account of the nodes", lambda: node_usage(story), 240)
    begin = before.accounted_until
    assert begin is not None
    for _ in range(3):
        pod = story.shell.until("an operator", story.operator_pod, 120)
        breaking.force_delete(story, pod)
        time.sleep(7)

    def later() -> NodeUsage | None:
        usage = node_usage(story)
        if usage is None or usage.accounted_until is None or usage.accounted_until <= begin:
            return None
        return usage if (usage.accounted_until - begin).total_seconds() >= 90 else None

    after = story.shell.until("90 s more of it", later, 300)
    assert after.accounted_until is not None
    metered = closed_part(after).energy_watt_hours - closed_part(before).energy_watt_hours
    assert metered / 1e9 == pytest.approx(integral_watt_hours(story, begin, after.accounted_until), rel=0.01)


def test_the_counters_of_prometheus_are_the_sums_in_status(story: Story, loads: tuple[str, ...]) -> None:
    name = loads[0]

    def same() -> bool:
        found = story.prometheus(f'trimtab_workload_energy_joules_total{{workload="{name}"}}')
        raw = breaking.status_of(story, "tw", name).get("usage")
        if not found or not raw:
            return False
        joules = closed_part(Usage.model_validate(raw)).energy_watt_hours / 1e9 * 3600.0
        return abs(float(found[0]["value"][1]) - joules) <= 0.2 * joules

    story.shell.until("the counter to follow status", same, 120)
    kinds = {item["metric"]["by"] for item in story.prometheus("trimtab_spent_energy_joules_total")}
    assert "namespace" in kinds
