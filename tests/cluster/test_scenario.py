"""The scenario of the demo, run to its end on real pods: each test holds one sentence of what it promises."""

import json

import pytest

from tests.cluster.breaking import SAMPLES
from tests.cluster.story import NAMESPACE, SYSTEM, Story, conditions, restarts
from trimtab.demo.shell import Object

KINDS = {"tw": "TrainingWorkload", "sw": "ServingWorkload", "mv": "ModelVariant"}


def reasons(events: list[Object]) -> list[str]:
    return [event["reason"] for event in events]


def test_the_operator_may_do_little_and_has_an_account_of_its_own(story: Story) -> None:
    pod = story.operator_pod()
    name, spec = pod["metadata"]["name"], pod["spec"]
    assert restarts(pod) == 0, "it crashed on the way"
    assert spec["serviceAccountName"] == "trimtab-operator"
    others = [p for p in story.shell.items("pods", "", SYSTEM) if p["metadata"]["name"] != name]
    assert others
    assert "trimtab-operator" not in [p["spec"]["serviceAccountName"] for p in others]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    tried = ["sh", "-c", "id -u; touch /probe 2>&1 || true; grep CapEff /proc/self/status"]
    said = story.shell.query("-n", SYSTEM, "exec", name, "--", *tried).splitlines()
    assert said[0] == "65532"
    assert "Read-only file system" in said[1]
    assert said[2].split() == ["CapEff:", "0" * 16]


def test_prometheus_scrapes_the_operator_triton_and_the_training(story: Story) -> None:
    assert [r["value"][1] for r in story.prometheus('up{job="operator"}')] == ["1"]
    requests = story.prometheus('max_over_time(nv_inference_request_success{workload="digits"}[1h])')
    assert sum(float(r["value"][1]) for r in requests) > 0
    progress = story.prometheus('max_over_time(trimtab_training_progress_samples{workload="digits"}[1h])')
    assert {r["metric"]["workload_kind"] for r in progress} == {"TrainingWorkload"}
    assert max(float(r["value"][1]) for r in progress) > 0


def test_an_edit_of_the_policy_suspends_the_training_and_it_resumes(story: Story) -> None:
    assert story.facts.training["suspensions"] >= 1
    events = story.events("TrainingWorkload", "digits")
    told = [reason for reason in reasons(events) if reason in ("Started", "Suspended", "Resumed", "Completed")]
    # The grid may get dirty once more before the work is done.
    assert told[:3] == ["Started", "Suspended", "Resumed"]
    assert told[-1] == "Completed"
    why = next(event["note"] for event in events if event["reason"] == "Suspended")
    assert "above the ceiling" in why
    assert "carbon-aware" in why


def test_the_resumed_training_goes_on_from_its_checkpoint(story: Story) -> None:
    pods = story.shell.items("pods", "trimtab.dev/workload=digits,batch.kubernetes.io/job-completion-index=0")
    last = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])
    lines = map(json.loads, story.shell.query("logs", "-n", NAMESPACE, last["metadata"]["name"]).splitlines())
    resumed = [line for line in lines if line["event"] == "training_resumed"]
    assert len(resumed) == 1
    assert 0 < resumed[0]["completed_samples"] < story.facts.training["progress"]["totalSamples"]


def test_all_work_is_done_exactly_once(story: Story) -> None:
    progress = story.facts.training["progress"]
    epochs = story.shell.get("tw", "digits")["spec"]["torch"]["epochs"]
    assert progress["completedSamples"] == progress["totalSamples"] == epochs * SAMPLES
    assert (progress["visitsMin"], progress["visitsMax"]) == (epochs, epochs)
    assert (progress["percent"], progress["source"]) == (100, "measured")


def test_the_accuracy_on_held_out_data_is_in_status(story: Story) -> None:
    accuracy = story.facts.training["accuracy"]
    low, value, high = (float(accuracy[key]) for key in ("low", "value", "high"))
    target = float(story.shell.get("tw", "digits")["spec"]["targets"]["minAccuracy"])
    assert target < low < value < high
    assert accuracy["samples"] > 300


def test_time_energy_cost_and_carbon_are_in_status_and_fit_each_other(story: Story) -> None:
    # As it is by now: at the training's end the account is still half a minute behind.
    status, hardware = story.shell.get("tw", "digits")["status"], story.shell.get("hw", "local-cpu")["spec"]
    usage = status["usage"]
    assert usage["source"] == "modelled"
    hours = float(usage["replicaSeconds"]) / 3600
    node = json.loads(story.shell.query("get", "nodes", "-l", "type!=kwok", "-o", "json"))["items"][0]
    share = 0.5 / float(node["status"]["allocatable"]["cpu"])
    cost = float(hardware["price"]["usdPerHour"]) * share * hours
    assert float(usage["costUSD"]) == pytest.approx(cost, rel=0.01)
    idle, peak = (float(hardware["power"][key]) for key in ("idleWatts", "peakWatts"))
    assert idle * share * hours < float(usage["energyWattHours"]) <= peak * hours
    assert float(usage["carbonGrams"]) > 0
    ran = float(status["runningSeconds"])
    # Two replicas; what a pod used after the kubelet last looked at it is the most that can be missing.
    assert 0.6 * 2 * ran < float(usage["replicaSeconds"]) <= 2.05 * ran


def test_three_variants_each_with_what_was_measured_of_it(story: Story) -> None:
    variants = story.facts.variants
    assert set(variants) == {"digits-fp32", "digits-int8", "digits-pruned"}
    for name, status in variants.items():
        assert status["accuracy"]["samples"] > 300, name
        assert float(status["accuracy"]["value"]) > 0.95, name
        assert [point["batch"] for point in status["profile"]] == [1, 8, 32], name
        for point in status["profile"]:
            assert 0 < float(point["p50Milliseconds"]) <= float(point["p95Milliseconds"]), name
            assert float(point["itemsPerSecond"]) > 0, name
        assert len(status["artifact"]["sha256"]) == 64, name
    size = {name: status["artifact"]["sizeBytes"] for name, status in variants.items()}
    speed = {name: float(status["profile"][0]["itemsPerSecond"]) for name, status in variants.items()}
    assert 0 < max(size["digits-int8"], size["digits-pruned"]) < size["digits-fp32"] / 2
    assert min(speed["digits-int8"], speed["digits-pruned"]) > speed["digits-fp32"]


def test_load_above_what_a_pod_carries_brings_more_pods(story: Story) -> None:
    assert story.facts.largest_replicas > 1
    assert story.facts.breach_to_new_pod_seconds is not None
    assert "ScaleUp" in reasons(story.events("ServingWorkload", "digits"))


def test_a_lower_budget_switches_to_a_variant_above_the_accuracy_floor(story: Story) -> None:
    first, *others = story.facts.variants_served
    floor = float(story.shell.get("sw", "digits")["spec"]["targets"]["minAccuracy"])
    assert others, f"only {first} served"
    assert all(float(story.facts.variants[name]["accuracy"]["value"]) >= floor for name in (first, *others))
    switches = [e["note"] for e in story.events("ServingWorkload", "digits") if e["reason"] == "SwitchVariant"]
    because = [note for note in switches if note.startswith(f"{first} -> {others[0]}")]
    assert because, switches
    assert "above the limit" in because[0]


def test_no_request_fails_in_the_switch(story: Story) -> None:
    assert story.facts.requests_in_switch
    assert story.facts.failed_requests_in_switch == 0
    # Both variants answered clients: the switch was under load.
    assert len(story.facts.serving["load"]["byVersion"]) > 1


def test_no_request_fails_over_all_the_load(story: Story) -> None:
    load = story.facts.serving["load"]
    assert story.facts.failed_requests == 0, load["errors"]
    assert load["ok"] == story.facts.requests > 0


def test_it_scales_down_when_the_load_has_fallen(story: Story) -> None:
    item = story.shell.get("sw", "digits")
    assert "ScaleDown" in reasons(story.events("ServingWorkload", "digits"))
    assert item["status"]["readyReplicas"] == item["spec"]["minReplicas"]
    deployment = story.shell.get("deployment", "digits-local-cpu")
    assert deployment["spec"]["replicas"] == item["spec"]["minReplicas"]


def test_the_gpu_training_runs_where_the_work_is_cheapest(story: Story) -> None:
    spec = story.shell.get("tw", "resnet50")["spec"]

    def price_of_a_sample(profile: Object) -> float:
        hardware = story.shell.get("hw", profile["hardwareClass"])["spec"]
        kilowatts = float(profile["watts"]) / 1000 * float(hardware["pue"])
        grids = json.loads(story.shell.query("get", "carbonsources", "-o", "json"))["items"]
        grams = next(float(g["status"]["gramsPerKWh"]) for g in grids if g["spec"]["zone"] == hardware["gridZone"])
        hourly = float(hardware["price"]["usdPerHour"]) + kilowatts * grams / 1e6 * 100
        return hourly / float(profile["samplesPerSecond"])

    cheapest = min(spec["profiles"], key=price_of_a_sample)["hardwareClass"]
    assert story.facts.gpu["decision"]["hardwareClass"] == cheapest
    started = next(e["note"] for e in story.events("TrainingWorkload", "resnet50") if e["reason"] == "Started")
    assert cheapest in started
    assert "carbon priced in" in started


def test_the_scheduler_puts_the_gpu_pods_on_nodes_of_that_class(story: Story) -> None:
    hardware = story.shell.get("hw", story.facts.gpu["decision"]["hardwareClass"])["spec"]
    pods = story.shell.items("pods", "trimtab.dev/workload=resnet50")
    assert len(pods) == 2
    for pod in pods:
        labels = story.shell.get("node", pod["spec"]["nodeName"])["metadata"]["labels"]
        assert hardware["nodeSelector"].items() <= labels.items()
        assert labels["type"] == "kwok"
        placed = [e for e in story.events("Pod", pod["metadata"]["name"]) if e["reason"] == "Scheduled"]
        assert {e["reportingController"] for e in placed} == {"default-scheduler"}
    assert set(story.facts.gpu["nodes"]) == {pod["spec"]["nodeName"] for pod in pods}


def test_every_figure_of_the_gpu_training_says_that_it_is_simulated(story: Story) -> None:
    gpu = story.facts.gpu
    assert {gpu[part]["source"] for part in ("usage", "progress", "decision")} == {"simulated"}
    assert float(gpu["usage"]["energyWattHours"]) > 0
    row = next(row for row in story.columns("tw") if row["NAME"] == "resnet50")
    assert row["FIGURES"] == "simulated"


@pytest.mark.parametrize("kind", KINDS)
def test_the_printed_columns_are_filled(story: Story, kind: str) -> None:
    def empty() -> list[str]:
        # A simulated training trains nothing, so it has no accuracy to show.
        return [
            f"{row['NAME']}: {name}"
            for row in story.columns(kind)
            for name, cell in row.items()
            if not cell and (row["NAME"], name) != ("resnet50", "ACCURACY")
        ]

    # Without load, latency is known only from the probe: every 20 s.
    story.shell.until(f"all columns of {kind}", lambda: not empty(), 60, lambda: ", ".join(empty()))


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("tw", "digits", {"Started", "Suspended", "Resumed", "Completed"}),
        ("sw", "digits", {"ScaleUp", "SwitchVariant", "ScaleDown", "Reasons:"}),
        ("mv", "digits-int8", {"Building", "Ready", "AccuracyGatePassed"}),
    ],
)
def test_describe_tells_reasons_and_events(story: Story, kind: str, name: str, expected: set[str]) -> None:
    described = story.shell.query("describe", kind, name, "-n", NAMESPACE)
    assert expected <= set(described.split())
    assert "trimtab.dev/operator" in described.partition("Events:")[2]


def test_conditions_speak_of_the_objects_as_they_are(story: Story) -> None:
    for kind in KINDS:
        for item in story.shell.items(kind):
            generation, name = item["metadata"]["generation"], item["metadata"]["name"]
            assert item["status"]["observedGeneration"] == generation, name
            found = conditions(item)
            assert found["Ready"]["status"] == "True", name
            assert item["status"]["state"] == found["Ready"]["reason"], name
            assert {c["observedGeneration"] for c in found.values()} == {generation}, name
            assert all(c["reason"] for c in found.values()), name


def test_metrics_and_carbon_data_are_fresh(story: Story) -> None:
    found = conditions(story.shell.get("sw", "digits"))
    for kind in ("MetricsAvailable", "CarbonDataFresh"):
        assert (found[kind]["status"], found[kind]["reason"]) == ("True", "Fresh")
