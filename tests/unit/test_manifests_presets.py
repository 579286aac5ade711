"""What people copy (presets, demo, simulated nodes) fits the typed models and each other."""

import csv
import itertools
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from trimtab.api.kinds import KINDS

ROOT = Path(__file__).parents[2]
FOLDERS = ("policies", "policies/hardware", "policies/carbon", "manifests/demo", "manifests/simulated")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.yaml"))]
SPECS = {kind.kind: kind.spec for kind in KINDS}
TRACES = sorted((ROOT / "policies/carbon/traces").glob("*.csv"))
INTENSITY = "Carbon Intensity gCO₂eq/kWh (LCA)"


def load(path: Path) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [item for path in FILES for item in load(path) if item["kind"] == kind]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_own_kinds_fit_their_models(path: Path) -> None:
    items = load(path)
    assert items, "the file declares nothing"
    for item in items:
        if item["apiVersion"].startswith("trimtab.dev/"):
            SPECS[item["kind"]].model_validate(item["spec"])


def test_every_grid_zone_has_exactly_one_source() -> None:
    zones = [item["spec"]["zone"] for item in of_kind("CarbonSource")]
    assert len(zones) == len(set(zones))
    assert {item["spec"]["gridZone"] for item in of_kind("HardwareClass")} <= set(zones)


def test_simulated_classes_match_simulated_nodes() -> None:
    nodes = of_kind("Node")
    assert len(nodes) == 6
    for hardware in of_kind("HardwareClass"):
        if hardware["spec"].get("simulated"):
            matching = [n for n in nodes if hardware["spec"]["nodeSelector"].items() <= n["metadata"]["labels"].items()]
            assert len(matching) == 2, hardware["metadata"]["name"]
            taints = {(t["key"], t["value"], t["effect"]) for n in matching for t in n["spec"]["taints"]}
            tolerated = {(t["key"], t["value"], t["effect"]) for t in hardware["spec"]["tolerations"]}
            assert taints == tolerated


def test_the_exporter_and_the_demo_declare_the_same_speeds() -> None:
    config = next(json.loads(i["data"]["config.json"]) for i in of_kind("ConfigMap") if "config.json" in i["data"])
    exported = {p["hardwareClass"]: (p["samplesPerSecond"], p["watts"]) for p in config["profiles"]}
    gpu = next(i for i in of_kind("TrainingWorkload") if i["metadata"]["name"] == "resnet50")
    declared = {p["hardwareClass"]: (float(p["samplesPerSecond"]), float(p["watts"])) for p in gpu["spec"]["profiles"]}
    assert declared == exported
    assert set(gpu["spec"]["hardware"]["classes"]) == set(declared)


def test_the_demo_refers_only_to_what_it_declares() -> None:
    names = {kind: {i["metadata"]["name"] for i in of_kind(kind)} for kind in SPECS}
    claims = {i["metadata"]["name"] for i in of_kind("PersistentVolumeClaim")}
    for serving in of_kind("ServingWorkload"):
        assert set(serving["spec"]["variants"]) == names["ModelVariant"]
    for variant in of_kind("ModelVariant"):
        assert variant["spec"]["source"]["trainingWorkload"] in names["TrainingWorkload"]
    for training in of_kind("TrainingWorkload"):
        assert set(training["spec"]["hardware"]["classes"]) <= names["HardwareClass"]
        if "checkpoint" in training["spec"]:
            assert training["spec"]["checkpoint"]["claimName"] in claims


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_traces_are_whole_hours_in_order_without_gaps(path: Path) -> None:
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    times = [datetime.fromisoformat(row["Datetime (UTC)"]) for row in rows]
    assert len(rows) == 8 * 7 * 24
    assert {b - a for a, b in itertools.pairwise(times)} == {timedelta(hours=1)}
    assert all(0 < float(row[INTENSITY]) < 1000 for row in rows)


def test_the_replay_starts_dirty_and_becomes_clean_soon() -> None:
    source = next(i for i in of_kind("CarbonSource") if i["spec"]["zone"] == "US-CAL-CISO")
    start = datetime.fromisoformat(source["spec"]["replay"]["start"].replace("Z", "+00:00")).replace(tzinfo=None)
    text = (ROOT / "policies/carbon/traces/US-CAL-CISO.csv").read_text(encoding="utf-8")
    rows = {r["Datetime (UTC)"]: float(r[INTENSITY]) for r in csv.DictReader(text.splitlines())}
    hours = [rows[str(start + timedelta(hours=hour))] for hour in range(48)]
    assert min(hours[:6]) > 300
    assert min(hours[6:12]) < 0.5 * min(hours[:6])
    # The figures in the file's comment.
    comment = (ROOT / "policies/carbon/replayed.yaml").read_text()
    assert f"least {min(hours):.2f}, most {max(hours):.2f}" in comment
