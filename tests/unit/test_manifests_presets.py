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
from trimtab.demo.scenario import QUIET_RPS

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "policies",
    "policies/hardware",
    "policies/carbon",
    "policies/carbon-static",
    "manifests/demo",
    "manifests/simulated",
)
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
    assert declared.items() <= exported.items()
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


def replayed_hours(zone: str, hours: int) -> list[float]:
    """Intensity in the first hours after the source is made."""
    source = next(i for i in of_kind("CarbonSource") if i["spec"]["zone"] == zone)
    start = datetime.fromisoformat(source["spec"]["replay"]["start"]).replace(tzinfo=None)
    text = (ROOT / "policies/carbon/traces" / source["spec"]["configMap"]["key"]).read_text(encoding="utf-8")
    rows = {r["Datetime (UTC)"]: float(r[INTENSITY]) for r in csv.DictReader(text.splitlines())}
    return [rows[str(start + timedelta(hours=hour))] for hour in range(hours)]


def test_the_replay_stays_dirty_for_the_demo_and_then_becomes_clean() -> None:
    hours = replayed_hours("US-CAL-CISO", 48)
    # The demo sets the ceiling to 0.9 of the intensity in force; whenever in the evening it does so, that suspends.
    assert min(hours[:15]) > 0.92 * hours[0]
    assert all(min(hours[at:15]) > 0.9 * hours[at] for at in range(15))
    # Then the sun comes up, for longer than the training takes (6 s of the demo are an hour).
    clean = [hour for hour, intensity in enumerate(hours) if 15 <= hour < 24 and intensity < 0.75 * hours[0]]
    assert clean == list(range(16, 24))
    assert max(hours[15:32]) < 0.9 * min(hours[5:15])


def test_all_traces_are_replayed_from_the_same_instant() -> None:
    replays = [i["spec"]["replay"] for i in of_kind("CarbonSource") if "replay" in i["spec"]]
    assert len(replays) == len(TRACES)
    assert all(replay == replays[0] for replay in replays)


@pytest.mark.parametrize("zone", ["US-CAL-CISO", "ES"])
def test_the_hours_in_the_comment_are_those_of_the_trace(zone: str) -> None:
    comments = (ROOT / "policies/carbon/replayed.yaml").read_text(encoding="utf-8")
    for at in range(0, 48, 12):
        figures = " ".join(f"{round(value):3d}" for value in replayed_hours(zone, 48)[at : at + 12])
        assert f"#   {at:02d} h: {figures}\n" in comments


def test_the_demo_policies_reach_the_workloads_that_the_demo_changes_them_for() -> None:
    policies = {i["metadata"]["name"]: i["spec"] for i in of_kind("EfficiencyPolicy") if i["metadata"].get("namespace")}
    reach = {
        name: {
            (item["kind"], item["metadata"]["name"])
            for kind in ("TrainingWorkload", "ServingWorkload")
            for item in of_kind(kind)
            if spec["selector"]["matchLabels"].items() <= item["metadata"]["labels"].items()
        }
        for name, spec in policies.items()
    }
    assert reach == {
        "carbon-aware": {("TrainingWorkload", "digits"), ("TrainingWorkload", "resnet50")},
        "serving-budget": {("ServingWorkload", "digits")},
    }


def test_the_load_generator_reads_its_rate_from_the_config_map_that_the_demo_edits() -> None:
    [job] = of_kind("Job")
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    config = json.loads(next(e["value"] for e in container["env"] if e["name"] == "TRIMTAB_CONFIG"))
    mount = next(m for m in container["volumeMounts"] if config["stagesFile"].startswith(m["mountPath"]))
    volume = next(v for v in pod["volumes"] if v["name"] == mount["name"])
    stages = next(i for i in of_kind("ConfigMap") if i["metadata"]["name"] == volume["configMap"]["name"])
    # With a subPath the kubelet would never update the file.
    assert "subPath" not in mount
    assert json.loads(stages["data"][Path(config["stagesFile"]).name]) == {"requestsPerSecond": QUIET_RPS}
