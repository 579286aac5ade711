"""The generated CRDs on a real apiserver: established, defaulted, explained, scaled, printed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.control_plane.crds import LEAST, Resources, manifest

from trimtab.api.common import Condition, Usage
from trimtab.api.kinds import KINDS
from trimtab.api.quantity import parse_quantity
from trimtab.api.schema import API_VERSION
from trimtab.api.serving import ServingWorkloadSpec
from trimtab.api.training import TrainingWorkloadSpec, TrainingWorkloadStatus
from trimtab.api.variant import ModelVariantSpec


@pytest.fixture
def resources(crds, request: pytest.FixtureRequest) -> Iterator[Resources]:
    with Resources.of(crds, request.node.name) as resources:
        yield resources


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_definition_is_established_and_found_by_its_short_name(crds, kind) -> None:
    definition = json.loads(crds.kubectl("get", "crd", f"{kind.plural}.trimtab.dev", "-ojson"))
    held = {condition["type"]: condition["status"] for condition in definition["status"]["conditions"]}
    assert held["Established"] == "True"
    assert held["NamesAccepted"] == "True"
    assert held.get("NonStructuralSchema", "False") == "False"
    found = crds.try_kubectl("get", kind.short_names[0], "--all-namespaces", "-oname")
    assert found.returncode == 0
    assert found.stderr.strip() in ("", "No resources found"), "the short name must not be one that a core kind has"


def test_all_kinds_are_one_category(crds) -> None:
    listed = crds.kubectl("api-resources", "--categories=trimtab", "-oname").split()
    assert sorted(listed) == sorted(f"{kind.plural}.trimtab.dev" for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_least_manifest_is_accepted_and_means_the_same_to_python(resources: Resources, kind) -> None:
    least = manifest(kind.kind)
    stored = resources.apply(least)
    assert kind.spec.model_validate(stored["spec"]) == kind.spec.model_validate(least["spec"])


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("TrainingWorkload", "minReplicas", 1),
        ("TrainingWorkload", "resources", {"cpu": "1", "memory": "1Gi", "accelerators": 0}),
        ("TrainingWorkload", "checkpoint.interval", "30s"),
        ("TrainingWorkload", "torch.learningRate", "0.001"),
        ("TrainingWorkload", "suspend", False),
        ("ServingWorkload", "maxReplicas", 10),
        ("ServingWorkload", "targets.latency.percentile", "p95"),
        ("ServingWorkload", "scaling.scaleDownStabilization", "5m"),
        ("ServingWorkload", "scaling.loadWindow", "0s"),
        ("ServingWorkload", "triton.maxBatchSize", 32),
        ("ServingWorkload", "triton.instances", 1),
        ("ServingWorkload", "triton.logVerbose", 0),
        ("ServingWorkload", "availability.disruptionBudget", True),
        ("ServingWorkload", "availability.longestRequest", "20s"),
        ("ModelVariant", "benchmark.batches", [1, 8, 32]),
        ("EfficiencyPolicy", "mode", "Enforce"),
        ("ClusterEfficiencyPolicy", "mode", "Enforce"),
        ("HardwareClass", "pue", "1"),
        ("HardwareClass", "resourceName", "cpu"),
        ("CarbonSource", "forecastHorizon", "48h"),
    ],
)
def test_defaults_are_filled_in(resources: Resources, name: str, path: str, value: object) -> None:
    found = resources.apply(manifest(name))["spec"]
    for step in path.split("."):
        found = found[step]
    assert found == value


def test_every_setting_of_triton_is_accepted_and_filled_in(resources: Resources) -> None:
    serving = manifest("ServingWorkload", name="full")
    serving["spec"]["triton"] = {
        "preferredBatchSizes": [4, 8],
        "queue": {"priorityLevels": 2, "defaultPriority": 2, "allowTimeoutOverride": True, "timeoutAction": "Delay"},
        "responseCache": {"size": "512Mi"},
        "rateLimiter": {"resources": [{"name": "core", "perExecution": 1, "available": 2}]},
        "warmup": {},
    }
    triton = resources.apply(serving)["spec"]["triton"]
    assert triton["warmup"] == {"requests": 1, "batch": 1}
    assert triton["queue"]["maxQueueSize"] == triton["queue"]["defaultTimeoutMicroseconds"] == 0
    states = [{"input": "h", "output": "next"}]
    controls = [{"kind": "Start", "input": "first"}, {"kind": "CorrelationId", "input": "who", "dataType": "UINT64"}]
    serving["metadata"]["name"] = "recurrent"
    serving["spec"]["triton"] = {"sequence": {"states": states, "controls": controls}, "preferredBatchSizes": [8]}
    sequence = resources.apply(serving)["spec"]["triton"]["sequence"]
    assert (sequence["strategy"], sequence["maxIdle"], sequence["maxCandidateSequences"]) == ("Oldest", "1m", 1024)
    assert sequence["controls"][0] == {"kind": "Start", "input": "first", "dataType": "FP32"}


def test_a_pod_template_is_kept_as_it_is(resources: Resources) -> None:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "own", "image": "i", "x": [1, {"y": 2}]}]},
    }
    spec = {"template": template, "work": {"totalSamples": 10}}
    assert resources.apply(manifest("TrainingWorkload", spec))["spec"]["template"] == template


@pytest.mark.parametrize(
    "amount", ["0.5", "250m", "1e-3", "1E3", "5.", ".5", "2E", "1Ei", "+3", "1e300", "1e-300", "100n", "7", 7, 0]
)
def test_any_amount_that_the_apiserver_takes_is_read_by_python(resources: Resources, amount: str | int) -> None:
    spec = manifest("HardwareClass")["spec"] | {"price": {"usdPerHour": amount}}
    stored = resources.apply(manifest("HardwareClass", spec))
    assert parse_quantity(stored["spec"]["price"]["usdPerHour"]) >= 0


@pytest.mark.parametrize("memory", ["64Mi", "1Gi", "0.5G", 67108864, "1e9"])
def test_any_memory_that_the_apiserver_takes_is_read_by_python(resources: Resources, memory: str | int) -> None:
    spec = manifest("TrainingWorkload")["spec"] | {"resources": {"memory": memory}}
    stored = resources.apply(manifest("TrainingWorkload", spec))
    assert TrainingWorkloadSpec.model_validate(stored["spec"]).resources.memory == str(memory)


def _explained_fields(text: str) -> dict[str, str]:
    """Field name to description, from `kubectl explain`."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.split("FIELDS:")[1].splitlines():
        if line.startswith("  ") and "\t<" in line:
            name = line.split()[0]
            fields[name] = ""
        elif name and not line.strip().startswith("enum:"):
            fields[name] += line.strip()
    return fields


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@pytest.mark.parametrize("part", ["spec", "status"])
def test_explain_describes_every_field(crds, kind, part: str) -> None:
    fields = _explained_fields(crds.kubectl("explain", f"{kind.plural}.trimtab.dev.{part}"))
    model = getattr(kind, part)
    assert fields.keys() == {field.alias for field in model.model_fields.values()}
    assert all(fields.values()), [name for name, text in fields.items() if not text]


def test_explain_recursive_lists_the_tree_and_a_leaf_says_how_it_is_written(crds) -> None:
    tree = crds.kubectl("explain", "tw.spec", "--recursive")
    assert "What to train" in tree
    assert "claimName" in tree
    assert 'such as "90s", "15m" or "1h30m"' in " ".join(
        crds.kubectl("explain", "tw.spec.targets.completeWithin").split()
    )


def test_scale_writes_the_count_within_its_bounds(resources: Resources) -> None:
    spec = manifest("ServingWorkload")["spec"] | {"minReplicas": 2, "maxReplicas": 6}
    resources.apply(manifest("ServingWorkload", spec))
    resources.kubectl("scale", "sw/servingworkload", "--replicas=5")
    assert resources.kubectl("get", "sw", "servingworkload", "-o=jsonpath={.spec.replicas}") == "5"
    for beyond in (7, 1):
        refused = resources.try_kubectl("scale", "sw/servingworkload", f"--replicas={beyond}")
        assert "replicas must lie between minReplicas and maxReplicas" in refused.stderr
    assert resources.kubectl("get", "sw", "servingworkload", "-o=jsonpath={.spec.replicas}") == "5"


def test_the_scale_subresource_shows_status(resources: Resources) -> None:
    # The apiserver can only show a scale whose count is set: an autoscaler needs spec.replicas to begin with.
    resources.apply(manifest("TrainingWorkload", LEAST["TrainingWorkload"] | {"replicas": 2, "maxReplicas": 4}))
    resources.apply_status("TrainingWorkload", {"replicas": 2, "selector": "trimtab.dev/workload=t"})
    path = f"/apis/{API_VERSION}/namespaces/{resources.namespace}/trainingworkloads/trainingworkload/scale"
    scale = json.loads(resources.kubectl("get", "--raw", path))
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 2, "selector": "trimtab.dev/workload=t"}


def test_status_is_applied_apart_from_spec_and_by_field(resources: Resources) -> None:
    before = resources.apply(manifest("TrainingWorkload"))
    usage = Usage(cost_usd=0.000000123, carbon_grams=1.5, accounted_until="2026-01-01T00:00:00Z")
    condition = Condition(type="Ready", status="False", reason="Training", last_transition_time="2026-01-01T00:00:00Z")
    status = TrainingWorkloadStatus(state="Training", usage=usage, conditions=(condition,))
    resources.apply_status("TrainingWorkload", status.to_manifest())
    other = {"conditions": [condition.model_copy(update={"type": "Other"}).to_manifest()]}
    stored = resources.apply_status("TrainingWorkload", other, manager="somebody-else")
    read = TrainingWorkloadStatus.model_validate(stored["status"])
    assert read.usage == usage
    assert [condition.type for condition in read.conditions] == ["Ready", "Other"], "conditions merge by type"
    assert stored["metadata"]["generation"] == before["metadata"]["generation"]
    assert stored["spec"] == before["spec"]


def test_a_status_of_the_wrong_form_is_refused(resources: Resources) -> None:
    resources.apply(manifest("TrainingWorkload"))
    wrong = manifest("TrainingWorkload") | {"status": {"usage": {"costUSD": 1.5}}}
    refused = resources.try_kubectl("apply", "--server-side", "--subresource=status", "-f-", input=json.dumps(wrong))
    assert "status.usage.costUSD" in refused.stderr


COLUMNS = {
    "TrainingWorkload": "NAME STATE PROGRESS REPLICAS CLASS ACCURACY COST-USD CARBON-G FIGURES AGE",
    "ServingWorkload": "NAME STATE VARIANT READY WANT RPS LATENCY-MS TARGET-MS ACCURACY USD/H GCO2/H AGE",
    "ModelVariant": "NAME STATE SOURCE ACCURACY BYTES P95-MS ITEMS/S AGE",
    "EfficiencyPolicy": "NAME MODE WORKLOADS MAX-GCO2/KWH MAX-USD/H MAX-GCO2/H SPENT WITHIN-BUDGET AGE",
    "HardwareClass": "NAME RESOURCE NODES CAPACITY USD/H ZONE GCO2/KWH SIMULATED",
    "CarbonSource": "NAME ZONE GCO2/KWH TRACE-TIME FRESH IN-FORCE",
}


@pytest.mark.parametrize("name", COLUMNS)
def test_get_prints_the_columns(resources: Resources, name: str) -> None:
    resources.apply(manifest(name))
    kind = next(kind for kind in KINDS if kind.kind == name)
    head = resources.kubectl("get", f"{kind.plural}.trimtab.dev", name.lower()).splitlines()[0]
    assert head.split() == COLUMNS[name].split()


def test_get_prints_what_status_says(resources: Resources) -> None:
    resources.apply(manifest("TrainingWorkload"))
    reason = {"code": "DeadlineBinds", "message": "The deadline needs two replicas."}
    status = {
        "state": "Training",
        "progress": {"percent": 40},
        "replicas": 2,
        "decision": {
            "action": "Run",
            "hardwareClass": "cpu-small",
            "reasons": [reason],
        },
        "usage": {"costUSD": "0.12", "carbonGrams": "3.4", "source": "measured", "energyWattHours": "9"},
    }
    resources.apply_status("TrainingWorkload", status)
    row = resources.kubectl("get", "tw", "trainingworkload", "--no-headers", "-owide").split()
    assert row[:-1] == [
        "trainingworkload", "Training", "40", "2", "cpu-small", "0.12", "3.4", "measured", "9", "DeadlineBinds",
    ]  # fmt: skip


def test_the_presets_and_samples_of_the_repository_are_accepted(crds) -> None:
    """Every manifest of our kinds that people are told to apply passes the rules."""
    repository = Path(__file__).parents[2]
    kinds = {kind.kind for kind in KINDS}
    checked = 0
    for folder in ("policies", "manifests"):
        for path in sorted((repository / folder).rglob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text()):
                if isinstance(document, dict) and document.get("kind") in kinds:
                    document["metadata"].pop("namespace", None)
                    crds.kubectl("create", "--dry-run=server", "-f-", input=json.dumps(document))
                    checked += 1
    if not checked:
        pytest.fail("no manifest of our kinds under policies/ or manifests/")


def test_python_reads_a_serving_workload_as_it_is_stored(resources: Resources) -> None:
    stored = resources.apply(manifest("ServingWorkload"))
    assert ServingWorkloadSpec.model_validate(stored["spec"]).targets.latency.milliseconds == 50


def test_a_chain_of_every_step_is_accepted_and_means_the_same_to_python(resources: Resources) -> None:
    chain = manifest("ModelVariant")
    chain["spec"]["steps"] = [
        {"prune": {"method": "2:4"}},
        {"prune": {"amount": "0.5"}},
        {"distill": {"depth": 2}},
        {"factorize": {}},
        {"quantize": {"mode": "weightOnly", "dtype": "int4", "blockSize": 16}},
        {"optimizeGraph": {}},
    ]
    stored = resources.apply(chain)
    assert ModelVariantSpec.model_validate(stored["spec"]) == ModelVariantSpec.model_validate(chain["spec"])
