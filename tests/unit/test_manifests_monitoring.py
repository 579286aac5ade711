"""Alerts and dashboard ask only for metrics that something publishes, and the chart carries the same files."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "manifests/prometheus/rules.yaml"
DASHBOARD = ROOT / "manifests/grafana/trimtab.json"
PUBLISHED = {
    "up",
    "trimtab_pass_seconds_sum",
    "trimtab_pass_seconds_count",
    "trimtab_last_pass_timestamp_seconds",
    "trimtab_snapshot_objects",
    "trimtab_apply_errors_total",
    "trimtab_workload_power_watts",
    "trimtab_workload_cost_usd_per_hour",
    "trimtab_workload_carbon_grams_per_hour",
    "trimtab_workload_energy_joules_total",
    "trimtab_workload_cost_usd_total",
    "trimtab_workload_carbon_grams_total",
    "trimtab_webhook_certificate_expiry_timestamp_seconds",
    "trimtab_budget_spent_ratio",
    "trimtab_budget_exhaustion_timestamp_seconds",
    "trimtab_serving_latency_target_milliseconds",
    "trimtab_serving_latency_milliseconds",
    "trimtab_serving_replicas",
    "trimtab_training_progress_ratio",
    "trimtab_training_step_seconds_sum",
    "trimtab_training_step_seconds_count",
    "nv_inference_request_success",
    "nv_inference_request_failure",
}
METRIC = re.compile(r"\b(?:trimtab|nv)_[a-z_]+|\bup\b")


def expressions() -> list[str]:
    rules = yaml.safe_load(RULES.read_text())["groups"]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    alerts = [rule["expr"] for group in rules for rule in group["rules"]]
    return alerts + [target["expr"] for panel in panels for target in panel.get("targets", [])]


@pytest.mark.parametrize("expression", expressions())
def test_only_published_metrics_are_asked_for(expression: str) -> None:
    found = set(METRIC.findall(expression))
    assert found
    assert found <= PUBLISHED


def test_every_alert_says_what_is_wrong_and_how_bad() -> None:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"], rule["alert"]
            assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]


@pytest.mark.parametrize(("source", "copy"), [(RULES, "rules.yaml"), (DASHBOARD, "dashboard.json")])
def test_the_chart_carries_the_same_file(source: Path, copy: str) -> None:
    carried = ROOT / "helm/trimtab/files" / copy
    assert carried.read_bytes() == source.read_bytes(), "run bash manifests/render.sh"
