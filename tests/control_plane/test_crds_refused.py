"""Bad manifests are refused by `kubectl apply` with one line that names the field and says what would be right."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.control_plane.crds import LEAST, Resources, manifest

CHANGED = "cannot be changed after creation: delete the"
SHARE = 'must be a share between 0 and 1, such as "0.95"'
DURATION = 'such as "90s", "15m" or "1h30m"'
MEMORY = 'must be a memory size of at least 64Mi, such as "512Mi" or "2Gi"'
AMOUNT = 'such as 2, "0.5" or "250m"'
NAME = "must be the name of an object: lower case letters, digits and '-', at most 63 characters"
NOTE = "some validation rules were not checked because the object was invalid"
"""The API server's own remark, beside an error of type: no second error."""


@pytest.fixture(scope="module")
def resources(crds) -> Iterator[Resources]:
    with Resources.of(crds, __name__) as resources:
        yield resources


def _with(kind: str, path: str, value: Any) -> dict[str, Any]:
    """The least manifest of the kind, with a value put at the path (`targets.minAccuracy`) or, for None, taken away."""
    body: dict[str, Any] = json.loads(json.dumps(manifest(kind, name="wrong")))
    *parents, last = path.split(".")
    at = body["spec"]
    for parent in parents:
        at = at.setdefault(parent, {})
    if value is None:
        del at[last]
    else:
        at[last] = value
    return body


def _complaints(resources: Resources, body: dict[str, Any]) -> list[str]:
    """What kubectl says is wrong, a line for each."""
    refused = resources.try_kubectl("apply", "-f-", input=json.dumps(body))
    assert refused.returncode != 0, f"accepted: {body}"
    lines = [line.removeprefix("* ") for line in refused.stderr.splitlines() if NOTE not in line]
    return [line for line in lines if not line.endswith("is invalid: ")]


TW, SW, MV, EP, HW, CS = (
    "TrainingWorkload", "ServingWorkload", "ModelVariant", "EfficiencyPolicy", "HardwareClass", "CarbonSource",
)  # fmt: skip
STEPS = {"prune": {"amount": "0.5"}, "quantize": {}}
BLOCKS = {"quantize": {"mode": "weightOnly", "blockSize": 33}}
PROFILE = {"hardwareClass": "gpu", "samplesPerSecond": 10}
EXPRESSION = {"key": "team", "operator": "In"}
BUDGET = {"name": "b", "costUSD": 5}
ECO = {"enabledBy": "ana", "maxDuration": "8h"}
WINDOW = {"name": "day", "start": "08:00", "end": "20:00", "action": "Suspend"}
TRACE = {"namespace": "default", "name": "trace", "key": "de.csv"}

BAD: list[tuple[str, str, Any, str, str]] = [
    # Unknown fields: kubectl's strict decoding names them.
    (TW, "torch.epoch", 3, 'unknown field "spec.torch.epoch"', "strict decoding error"),
    (SW, "minreplicas", 3, 'unknown field "spec.minreplicas"', "strict decoding error"),
    (HW, "power.watts", 3, 'unknown field "spec.power.watts"', "strict decoding error"),
    # Missing fields.
    (TW, "checkpoint", None, "spec.checkpoint", "checkpoint.claimName must be set with torch"),
    (SW, "targets", None, "spec.targets", "Required value"),
    (SW, "targets.latency", None, "spec.targets.latency", "Required value"),
    (HW, "price", None, "spec.price", "price.usdPerHour must be given"),
    (HW, "gridZone", None, "spec.gridZone", "Required value"),
    (MV, "source", None, "spec.source", "Required value"),
    # Wrong units.
    (TW, "resources.memory", "5GB", "spec.resources.memory", MEMORY),
    (TW, "resources.memory", "1Mi", "spec.resources.memory", MEMORY),
    (TW, "resources.memory", 5, "spec.resources.memory", MEMORY),
    (SW, "resources.memory", "2 GiB", "spec.resources.memory", MEMORY),
    (TW, "resources.cpu", "2 cores", "spec.resources.cpu", AMOUNT),
    (TW, "resources.cpu", "0", "spec.resources.cpu", "must be a number above zero"),
    (TW, "resources.cpu", 0.5, "spec.resources.cpu", "must be of type integer,string"),
    (TW, "torch.learningRate", "-0.1", "spec.torch.learningRate", "must be a number above zero"),
    (TW, "targets.completeWithin", "3 hours", "spec.targets.completeWithin", DURATION),
    (TW, "targets.completeWithin", "1d", "spec.targets.completeWithin", DURATION),
    (TW, "targets.completeWithin", 3600, "spec.targets.completeWithin", DURATION),
    (TW, "targets.completeWithin", "0s", "spec.targets.completeWithin", "must be a duration above zero"),
    (TW, "checkpoint.interval", "30", "spec.checkpoint.interval", DURATION),
    (SW, "scaling.scaleDownStabilization", "5min", "spec.scaling.scaleDownStabilization", DURATION),
    (SW, "scaling.loadWindow", "-1m", "spec.scaling.loadWindow", DURATION),
    (MV, "timeout", "1,5h", "spec.timeout", DURATION),
    (EP, "carbon.allowedDelay", "half a day", "spec.carbon.allowedDelay", DURATION),
    (CS, "forecastHorizon", "2 days", "spec.forecastHorizon", DURATION),
    (TW, "targets.minAccuracy", "95", "spec.targets.minAccuracy", SHARE),
    (TW, "targets.minAccuracy", 95, "spec.targets.minAccuracy", SHARE),
    (TW, "targets.minAccuracy", "95%", "spec.targets.minAccuracy", SHARE),
    (TW, "targets.minAccuracy", 0.95, "spec.targets.minAccuracy", "must be of type integer,string"),
    (SW, "targets.minAccuracy", "-0.1", "spec.targets.minAccuracy", SHARE),
    (MV, "gate.maxAccuracyDrop", "2%", "spec.gate.maxAccuracyDrop", SHARE),
    (MV, "gate.significance", "5%", "spec.gate.significance", SHARE),
    (MV, "gate.significance", "0", "spec.gate.significance", 'must be above 0 and at most 0.5, such as "0.05"'),
    (MV, "gate.significance", "0.95", "spec.gate.significance", "must be above 0 and at most 0.5"),
    (MV, "steps", [{"prune": {"amount": "50"}}], "spec.steps[0].prune.amount", SHARE),
    (SW, "targets.latency.milliseconds", "50ms", "spec.targets.latency.milliseconds", "must be of type integer"),
    (SW, "targets.latency.milliseconds", 0, "spec.targets.latency.milliseconds", "greater than or equal to 1"),
    (SW, "targets.latency.percentile", "p96", "spec.targets.latency.percentile", '"p50", "p90", "p95", "p99"'),
    (EP, "limits.powerWatts", "3 kW", "spec.limits.powerWatts", AMOUNT),
    (EP, "limits.costUSDPerHour", "-1", "spec.limits.costUSDPerHour", "must be a number that is not negative"),
    (HW, "price.usdPerHour", "-0.5", "spec.price.usdPerHour", "must be a number that is not negative"),
    (HW, "price.usdPerHour", -1, "spec.price.usdPerHour", "must be a number that is not negative"),
    (HW, "price.usdPerHour", "$5", "spec.price.usdPerHour", AMOUNT),
    (HW, "pue", "0", "spec.pue", "must be a number above zero"),
    (CS, "static.gramsPerKWh", -3, "spec.static.gramsPerKWh", "greater than or equal to 0"),
    # Wrong references and names.
    (TW, "checkpoint.claimName", "My_Claim", "spec.checkpoint.claimName", NAME),
    (TW, "torch.model", "Digits CNN", "spec.torch.model", "lower case letters, digits and '-', such as"),
    (TW, "hardware.classes", ["cpu", "GPU!"], "spec.hardware.classes[1]", NAME),
    (SW, "variants", ["ok", "not/ok"], "spec.variants[1]", NAME),
    (SW, "model", "-digits", "spec.model", NAME),
    (MV, "source.trainingWorkload", "Digits", "spec.source.trainingWorkload", NAME),
    # Impossible ranges and combinations.
    (TW, "torch", None, "spec.torch", "exactly one of torch and template must be set"),
    (TW, "minReplicas", 3, "spec.minReplicas", "must not be above maxReplicas (1 unless set)"),
    (TW, "replicas", 3, "spec.replicas", "must lie between minReplicas and maxReplicas"),
    (TW, "torch.epochs", 0, "spec.torch.epochs", "greater than or equal to 1"),
    (SW, "minReplicas", 11, "spec.minReplicas", "must not be above maxReplicas (10 unless set)"),
    (SW, "fallback", {"replicas": 11}, "spec.fallback.replicas", "must not be above maxReplicas"),
    (SW, "triton.preferredBatchSizes", [64], "spec.triton.preferredBatchSizes", "not be above maxBatchSize (32 unless"),
    (SW, "triton.warmup.batch", 64, "spec.triton.warmup.batch", "must not be above maxBatchSize (32 unless set)"),
    (SW, "triton.queue.priorityLevels", 2, "spec.triton.queue.defaultPriority", "between 1 and priorityLevels"),
    (SW, "triton.queue.defaultPriority", 2, "spec.triton.queue.defaultPriority", "be left out where not"),
    (SW, "triton.queue.timeoutAction", "Delay", "spec.triton.queue.timeoutAction", "Delay needs a timeout"),
    (SW, "triton.queue.timeoutAction", "DELAY", "spec.triton.queue.timeoutAction", '"Reject", "Delay"'),
    (SW, "triton", {"queue": {}, "sequence": {}}, "spec.triton.queue", "set one of them"),
    (SW, "triton", {"responseCache": {"size": "64Mi"}, "sequence": {}}, "spec.triton.responseCache", "exclude each"),
    (
        SW,
        "triton",
        {"preferredBatchSizes": [8], "sequence": {"strategy": "Direct"}},
        "spec.triton.preferredBatchSizes",
        "need the sequence strategy Oldest",
    ),
    (SW, "triton.responseCache.size", "1Gi", "spec.triton.responseCache.size", "must be less than resources.memory"),
    (SW, "triton.responseCache.size", "5MB", "spec.triton.responseCache.size", MEMORY),
    (SW, "triton.rateLimiter", {"resources": []}, "spec.triton.rateLimiter.resources", "at least 1 items"),
    (
        SW,
        "triton.rateLimiter",
        {"resources": [{"name": "gpu", "perExecution": 3, "available": 2}]},
        "spec.triton.rateLimiter.resources[0].perExecution",
        "perExecution must not be above available",
    ),
    (SW, "triton.sequence.maxIdle", "0s", "spec.triton.sequence.maxIdle", DURATION),
    (
        SW,
        "triton.sequence.controls",
        [{"kind": "CorrelationId", "input": "who"}],
        "spec.triton.sequence.controls[0].dataType",
        "dataType must be UINT64 or INT64 for a CorrelationId",
    ),
    (
        SW,
        "triton.sequence.states",
        [{"input": "h 0", "output": "hn"}],
        "spec.triton.sequence.states[0].input",
        "the name of a tensor",
    ),
    (SW, "triton.logVerbose", 10, "spec.triton.logVerbose", "less than or equal to 9"),
    (SW, "repository.image", "registry/ml/digits:7", "spec.repository.image", "must be an OCI image by digest"),
    (SW, "availability.longestRequest", "2h", "spec.availability.longestRequest", "must be one hour (1h) at most"),
    (SW, "availability.maxUnavailable", 0, "spec.availability.maxUnavailable", "greater than or equal to 1"),
    (SW, "availability.spread", "Hard", "spec.availability.spread", '"Preferred", "Required", "Off"'),
    (SW, "priorityClassName", "High", "spec.priorityClassName", "must be a name of a PriorityClass"),
    (SW, "rollout.minDuration", "30m", "spec.rollout.minDuration", "minDuration must be shorter than maxDuration"),
    (SW, "rollout.share", "0.6", "spec.rollout.share", "share must be a share between 0.01 and 0.5"),
    (SW, "rollout.significance", 0, "spec.rollout.significance", "a share between 0.0001 and 0.2"),
    (SW, "rollout.maxErrorIncrease", "0.9", "spec.rollout.maxErrorIncrease", "a share between 0.0001 and 0.5"),
    (SW, "rollout.strategy", "canary", "spec.rollout.strategy", '"Switch", "Canary"'),
    (HW, "power.peakWatts", 5, "spec.power.peakWatts", "must not be below idleWatts"),
    (HW, "power.idleWatts", "1k", "spec.power.peakWatts", "must not be below idleWatts"),
    (HW, "nodeSelector", {}, "spec.nodeSelector", "at least 1 properties"),
    (MV, "steps", [{}], "spec.steps[0]", "each step must be exactly one of prune, distill"),
    (MV, "steps", [STEPS], "spec.steps[0]", "each step must be exactly one of prune, distill"),
    (MV, "steps", [{"quantize": {"mode": "dynamically"}}], "spec.steps[0].quantize.mode", '"static", "dynamic"'),
    (MV, "steps", [{"quantize": {"dtype": "int4"}}], "spec.steps[0].quantize.dtype", "int4 is for mode weightOnly"),
    (MV, "steps", [{"quantize": {"blockSize": 32}}], "spec.steps[0].quantize.blockSize", "for mode weightOnly only"),
    (MV, "steps", [BLOCKS], "spec.steps[0].quantize.blockSize", 'supported values: "16", "32"'),
    (MV, "steps", [{"quantize": {"finetuneEpochs": 3}}], "spec.steps[0].quantize.finetuneEpochs", "for mode qat only"),
    (MV, "steps", [{"prune": {}}], "spec.steps[0].prune.amount", "amount must be given, and not with method 2:4"),
    (MV, "steps", [{"prune": {"method": "2:4", "amount": "0.5"}}], "spec.steps[0].prune.amount", "not with method 2:4"),
    (MV, "steps", [{"prune": {"amount": "1"}}], "spec.steps[0].prune.amount", "must be above 0 and below 1"),
    (MV, "steps", [{"distill": {"width": "0"}}], "spec.steps[0].distill.width", "must be above 0 and at most 1"),
    (MV, "steps", [{"distill": {"depth": 0}}], "spec.steps[0].distill.depth", "greater than or equal to 1"),
    (MV, "steps", [{"factorize": {"energy": "0"}}], "spec.steps[0].factorize.energy", "must be above 0 and at most 1"),
    (MV, "steps", [{"optimizeGraph": {"level": "all"}}], "spec.steps[0].optimizeGraph.level", '"basic", "extended"'),
    (
        MV,
        "steps",
        [{"quantize": {}}, {"prune": {"amount": "0.5"}}],
        "spec.steps",
        "must be in this order: prune",
    ),
    (MV, "steps", [{"quantize": {}}, {"quantize": {}}], "spec.steps", "must be in this order"),
    (MV, "steps", [{"factorize": {}}, {"distill": {}}], "spec.steps", "must be in this order"),
    (MV, "steps", [{"optimizeGraph": {}}, {"quantize": {}}], "spec.steps", "must be in this order"),
    (MV, "search", {"trials": 1}, "spec.search.trials", "greater than or equal to 2"),
    (MV, "search", {"steps": ["export"]}, "spec.search.steps[0]", '"prune", "distill", "factorize", "quantize"'),
    (MV, "search", {"prefer": "Price"}, "spec.search.prefer", 'supported values: "Speed", "Size"'),
    (MV, "maxSize", "10", "spec.maxSize", MEMORY),
    (MV, "stepCache", "1 GB", "spec.stepCache", MEMORY),
    (CS, "static", None, "spec", "exactly one of static, table, configMap, prometheus"),
    (CS, "configMap", TRACE, "spec", "exactly one of static, table, configMap, prometheus"),
    (CS, "replay", {"start": "2024-01-01T00:00:00Z"}, "spec.replay", "replay needs configMap"),
    (EP, "mode", "enforce", "spec.mode", 'supported values: "Off", "Recommend", "Enforce"'),
    (EP, "serving.prefer", "Speed", "spec.serving.prefer", 'supported values: "Cost", "Accuracy"'),
    (
        EP,
        "selector.matchExpressions",
        [EXPRESSION],
        "spec.selector.matchExpressions[0].values",
        "In and NotIn need values",
    ),
    # Budgets, windows, eco mode.
    (EP, "budgets", [{"name": "b"}], "spec.budgets[0]", "exactly one of costUSD, energyKWh and carbonKilograms"),
    (EP, "budgets", [BUDGET | {"energyKWh": 1}], "spec.budgets[0]", "exactly one of costUSD, energyKWh and carbon"),
    (EP, "budgets", [BUDGET, BUDGET], "spec.budgets[1]", "Duplicate value"),
    (EP, "budgets", [BUDGET | {"costUSD": "0"}], "spec.budgets[0].costUSD", "must be a number above zero"),
    (EP, "budgets", [BUDGET | {"period": "Year"}], "spec.budgets[0].period", '"Day", "Week", "Month", "Total"'),
    (EP, "budgets", [BUDGET | {"rollOver": "2"}], "spec.budgets[0].rollOver", SHARE),
    (EP, "budgets", [BUDGET | {"timeZone": "Spain"}], "spec.budgets[0].timeZone", "unknown time zone Spain"),
    (EP, "budgets", [BUDGET | {"timeZone": "+02:00"}], "spec.budgets[0].timeZone", "must be an IANA time zone"),
    (EP, "budgets", [BUDGET | {"actions": ["Spot", "Spot"]}], "spec.budgets[0].actions", "may stand in the order once"),
    (EP, "budgets", [BUDGET | {"actions": ["Stop"]}], "spec.budgets[0].actions[0]", '"CheaperVariant"'),
    (EP, "sloClass", "gold", "spec.sloClass", '"latency-critical", "standard", "best-effort"'),
    (EP, "serving.minAccuracy", "95", "spec.serving.minAccuracy", SHARE),
    (EP, "ecoMode", {"maxDuration": "8h"}, "spec.ecoMode.enabledBy", "Required value"),
    (EP, "ecoMode", ECO | {"maxDuration": "169h"}, "spec.ecoMode.maxDuration", "lasts a week (168h) at most"),
    (EP, "ecoMode", ECO | {"actions": ["Suspend"]}, "spec.ecoMode.actions", "eco mode does not suspend"),
    (EP, "windows", [WINDOW | {"start": "8:00"}], "spec.windows[0].start", 'from "00:00" to "24:00"'),
    (EP, "windows", [WINDOW | {"end": "08:00"}], "spec.windows[0].end", "a window needs some length"),
    (EP, "windows", [WINDOW | {"days": ["Monday"]}], "spec.windows[0].days[0]", '"Mon", "Tue"'),
    (EP, "windows", [WINDOW | {"replicas": 1}], "spec.windows[0].replicas", "has to be set for the action ScaleDownTo"),
    (EP, "windows", [WINDOW | {"action": "ScaleDownTo"}], "spec.windows[0].replicas", "has to be set for the action"),
    (HW, "tolerations", [{"operator": "Is"}], "spec.tolerations[0].operator", 'supported values: "Exists", "Equal"'),
    # Duplicates.
    (SW, "variants", ["a", "a"], "spec.variants[1]", "Duplicate value"),
    (SW, "variants", [], "spec.variants", "at least 1 items"),
    (TW, "profiles", [PROFILE, PROFILE], "spec.profiles[1]", "Duplicate value"),
    (MV, "benchmark.batches", [8, 8], "spec.benchmark.batches[1]", "Duplicate value"),
]


@pytest.mark.parametrize(("kind", "path", "value", "field", "right"), BAD, ids=lambda part: str(part)[:40])
def test_a_bad_manifest_is_refused_with_one_line(
    resources: Resources, kind: str, path: str, value: Any, field: str, right: str
) -> None:
    lines = _complaints(resources, _with(kind, path, value))
    assert len(lines) == 1, lines
    line = lines[0]
    assert field in line
    assert right in line


def test_torch_and_template_exclude_each_other(resources: Resources) -> None:
    body = _with(TW, "template", {"spec": {}})
    body["spec"]["work"] = {"totalSamples": 5}
    (line,) = _complaints(resources, body)
    assert "spec.torch: " in line
    assert "exactly one of torch and template must be set" in line


def test_a_template_needs_the_total_work(resources: Resources) -> None:
    (line,) = _complaints(resources, manifest(TW, {"template": {"spec": {}}}))
    assert "spec.work: " in line
    assert "work.totalSamples must be set with a template" in line


def test_a_search_and_steps_exclude_each_other(resources: Resources) -> None:
    body = _with(MV, "search", {"trials": 5})
    body["spec"]["steps"] = [{"quantize": {}}]
    (line,) = _complaints(resources, body)
    assert "spec.search: " in line
    assert "search finds the steps itself: give one of search and steps" in line


def test_all_mistakes_are_told_at_once(resources: Resources) -> None:
    body = _with(TW, "resources", {"memory": "5GB"})
    body["spec"]["targets"] = {"completeWithin": "3 hours", "minAccuracy": "95"}
    lines = _complaints(resources, body)
    assert sorted(line.split(":")[0] for line in lines) == [
        "spec.resources.memory",
        "spec.targets.completeWithin",
        "spec.targets.minAccuracy",
    ]


def test_a_replay_needs_a_moment(resources: Resources) -> None:
    body = manifest(CS, {"zone": "DE", "configMap": TRACE, "replay": {"start": "last winter"}})
    (line,) = _complaints(resources, body)
    assert "spec.replay.start" in line
    assert "date-time" in line


@pytest.mark.parametrize("name", ["a.b", "x" * 64])
def test_a_name_that_no_label_could_carry_is_refused(resources: Resources, name: str) -> None:
    (line,) = _complaints(resources, manifest(TW, name=name))
    assert "metadata.name" in line
    assert "at most 63 characters" in line


TEMPLATE = {"template": {"spec": {}}, "work": {"totalSamples": 5}, "checkpoint": LEAST[TW]["checkpoint"]}
EDITS: list[tuple[str, dict[str, Any], str, str]] = [
    (
        TW,
        {"torch": {"epochs": 99}},
        "spec.torch",
        f"torch {CHANGED} TrainingWorkload and create it anew, or use another name",
    ),
    (TW, {"torch": {"seed": 1}}, "spec.torch", f"torch {CHANGED} TrainingWorkload"),
    (TW, {"torch": None} | TEMPLATE, "spec.torch", f"torch {CHANGED} TrainingWorkload"),
    (TW, {"checkpoint": {"claimName": "other"}}, "spec.checkpoint", f"checkpoint.claimName {CHANGED} TrainingWorkload"),
    (MV, {"source": {"trainingWorkload": "other"}}, "spec.source", f"{CHANGED} ModelVariant and create it anew"),
]


@pytest.mark.parametrize(("kind", "edit", "field", "right"), EDITS)
def test_what_a_running_object_rests_on_cannot_be_edited(
    resources: Resources, kind: str, edit: dict[str, Any], field: str, right: str
) -> None:
    resources.apply(manifest(kind))
    spec = {key: value for key, value in (LEAST[kind] | edit).items() if value is not None}
    (line,) = _complaints(resources, manifest(kind, spec))
    assert field in line
    assert right in line


def test_the_rest_can_be_edited(resources: Resources) -> None:
    resources.apply(manifest(TW, name="resized"))
    checkpoint = LEAST[TW]["checkpoint"] | {"interval": "1m"}
    edit = {"maxReplicas": 4, "suspend": True, "checkpoint": checkpoint, "targets": {"completeWithin": "2h"}}
    stored = resources.apply(manifest(TW, LEAST[TW] | edit, name="resized"))
    assert stored["spec"]["maxReplicas"] == 4
    assert stored["metadata"]["generation"] == 2
    template = {key: value for key, value in TEMPLATE.items() if key != "checkpoint"}
    resources.apply(manifest(TW, template, name="own"))
    assert resources.apply(manifest(TW, TEMPLATE, name="own"))["spec"]["checkpoint"]["claimName"] == "state"
