"""The manifests that are built: what the runtimes read of them, and what every pod must have."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import worlds
from trimtab.api.hardware import HardwareClassSpec
from trimtab.api.policy import Mode
from trimtab.api.serving import VariantVersion
from trimtab.api.training import TrainingAction
from trimtab.apply.children.names import short_name, spec_hash
from trimtab.apply.children.own_template import checked_template
from trimtab.apply.children.serving import serving_children
from trimtab.apply.children.training import training_children
from trimtab.apply.children.variant import variant_children
from trimtab.apply.children.waker import waker_selector
from trimtab.apply.settings import Images
from trimtab.kube.errors import Invalid
from trimtab.plan.decisions import ServingDecision, TrainingDecision, VariantDecision
from trimtab_workloads.optimize.config import OptimizeConfig
from trimtab_workloads.serve import probe
from trimtab_workloads.serve.config import ServeConfig, Settings
from trimtab_workloads.train.config import TrainConfig

IMAGES = Images(train="train", optimize="optimize", serve="serve")
GPU = worlds.hardware(
    "gpu",
    resourceName="nvidia.com/gpu",
    tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
).spec


def training_decision(action: TrainingAction = TrainingAction.RUN, replicas: int = 2) -> TrainingDecision:
    return TrainingDecision(
        key="demo/digits", mode=Mode.ENFORCE, action=action, replicas=replicas, hardware_class="gpu"
    )


def serving_decision(**changes: Any) -> ServingDecision:
    versions = (VariantVersion(name="fp32", version=1), VariantVersion(name="int8", version=2))
    decision = ServingDecision(
        key="demo/digits-serving", mode=Mode.ENFORCE, variant="fp32", versions=versions, available=("fp32", "int8"),
        hardware_class="gpu", replicas=2,
    )  # fmt: skip
    return decision.model_copy(update=changes)


def serving(decision: ServingDecision, **spec: Any) -> list[dict[str, Any]]:
    found = {name: worlds.variant(name, 0.98, 100).status.artifact for name in decision.available}
    artifacts = {name: artifact for name, artifact in found.items() if artifact is not None}
    return serving_children(worlds.serving(**spec), decision, artifacts, GPU, IMAGES)


def training(hardware: HardwareClassSpec = GPU, decision: TrainingDecision | None = None, **spec: Any) -> Any:
    service, job = training_children(worlds.training(**spec), decision or training_decision(), hardware, IMAGES)
    assert service["kind"] == "Service"
    return job


def variant(**spec: Any) -> dict[str, Any]:
    decision = VariantDecision(key="demo/int8", build=True, spec_hash="abc", hardware_class="gpu", claim_name="models")
    (job,) = variant_children(worlds.variant("int8", 0.9, 100, **spec), decision, GPU, IMAGES)
    return job


def pod_of(manifest: dict[str, Any]) -> Any:
    return manifest["spec"]["template"]["spec"]


def config_text(manifest: dict[str, Any]) -> str:
    (variable,) = pod_of(manifest)["containers"][0]["env"]
    assert variable["name"] == "TRIMTAB_CONFIG"
    return str(variable["value"])


@pytest.mark.parametrize("make", [training, variant, lambda: serving(serving_decision())[2]])
def test_every_pod_of_a_runtime_may_do_little(make: Any) -> None:
    pod = pod_of(make())
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert {pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {65532}
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert container["imagePullPolicy"] == "IfNotPresent"
    tmp = next(volume for volume in pod["volumes"] if volume["name"] == "tmp")
    assert tmp["emptyDir"]["sizeLimit"]
    assert pod["nodeSelector"] == {"class": "gpu"}
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "value": "", "effect": "NoSchedule"}
    ]  # fmt: skip


def test_accelerators_are_asked_for_by_the_resource_of_the_class() -> None:
    limits = pod_of(training(resources={"cpu": "2", "memory": "4Gi", "accelerators": 2}))["containers"][0]["resources"]
    assert limits["limits"] == {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "2"}


def test_the_train_runtime_can_read_its_configuration() -> None:
    torch = {"epochs": 7, "globalBatchSize": 128, "learningRate": "0.01", "seed": 3, "samplesPerSecondLimit": "250"}
    job = training(torch=torch, checkpoint={"claimName": "models", "interval": "45s"})
    config = TrainConfig.model_validate_json(config_text(job))
    assert (config.epochs, config.global_batch_size, config.learning_rate, config.seed) == (7, 128, 0.01, 3)
    assert (config.world_size, config.samples_per_second_limit, config.checkpoint_interval_seconds) == (2, 250, 45)
    assert config.master_address == "digits-0.digits-peers"
    assert pod_of(job)["subdomain"] == "digits-peers"
    assert str(config.directory) == "/models/training/digits"


def test_the_optimize_runtime_can_read_its_configuration() -> None:
    steps = [{"prune": {"amount": "0.25", "finetuneEpochs": 2}}, {"quantize": {"mode": "dynamic"}}]
    config = OptimizeConfig.model_validate_json(config_text(variant(steps=steps, seed=5)))
    prune, quantize = config.steps
    assert prune.prune is not None
    assert quantize.quantize is not None
    assert (prune.prune.amount, prune.prune.finetune_epochs, quantize.quantize.mode) == (0.25, 2, "dynamic")
    assert (str(config.source), str(config.output)) == ("/models/training/digits", "/models/variants/int8")
    assert config.seed == 5


def test_the_optimizer_is_told_of_every_kind_of_step() -> None:
    steps: list[dict[str, Any]] = [
        {"prune": {"method": "2:4"}},
        {"distill": {"width": "0.5", "depth": 2, "epochs": 4, "labelShare": "0.3"}},
        {"factorize": {"energy": "0.8", "finetuneEpochs": 1}},
        {"quantize": {"mode": "weightOnly", "dtype": "int4", "blockSize": 64}},
        {"optimizeGraph": {"simplify": False, "level": "basic"}},
    ]
    config = OptimizeConfig.model_validate_json(config_text(variant(steps=steps, maxSize="100Mi", stepCache="64Mi")))
    told = [step.model_dump(mode="json", by_alias=True, exclude_unset=True) for step in config.steps]
    assert told == [
        {"prune": {"method": "2:4", "finetuneEpochs": 3}},
        {"distill": {"width": 0.5, "depth": 2, "epochs": 4, "labelShare": 0.3}},
        {"factorize": {"energy": 0.8, "finetuneEpochs": 1}},
        {"quantize": {"mode": "weightOnly", "dtype": "int4", "blockSize": 64}},
        {"optimizeGraph": {"simplify": False, "level": "basic"}},
    ]
    assert (config.max_bytes, config.cache_bytes, str(config.cache)) == (100 * 2**20, 64 * 2**20, "/models/steps")
    trained = OptimizeConfig.model_validate_json(config_text(variant(steps=[{"quantize": {"mode": "qat"}}])))
    assert trained.steps[0].quantize is not None
    assert trained.steps[0].quantize.finetune_epochs == 3


def test_a_search_is_told_the_limits_of_the_gate() -> None:
    made = variant(search={"trials": 12, "steps": ["prune", "quantize"]}, gate={"maxAccuracyDrop": "0.03"})
    config = OptimizeConfig.model_validate_json(config_text(made))
    assert config.search is not None
    assert (config.search.trials, config.search.steps, config.search.prefer) == (12, ("prune", "quantize"), "Speed")
    assert (config.search.min_accuracy, config.search.max_accuracy_drop) == (None, 0.03)
    assert OptimizeConfig.model_validate_json(config_text(variant())).search is None


def test_what_makes_a_variant_ends_after_a_day_unless_told() -> None:
    assert variant()["spec"]["activeDeadlineSeconds"] == 86400
    assert variant(timeout="5m")["spec"]["activeDeadlineSeconds"] == 300


def test_the_serve_runtime_can_read_its_configuration() -> None:
    triton = {"maxBatchSize": 16, "maxQueueDelayMicroseconds": 50, "instances": 2, "threads": 3}
    config_map, _, deployment, _ = serving(serving_decision(), triton=triton)
    config = ServeConfig.model_validate_json(config_text(deployment))
    assert [(v.name, v.version, str(v.path)) for v in config.variants] == [
        ("fp32", 1, "/models/variants/fp32/model.onnx"),
        ("int8", 2, "/models/variants/int8/model.onnx"),
    ]
    settings = Settings.model_validate_json(config_map["data"]["settings"])
    sections = settings.model_config_sections
    assert (sections["max_batch_size"], sections["dynamic_batching"]) == (16, {"max_queue_delay_microseconds": 50})
    assert (sections["instance_group"][0]["count"], settings.threads) == (2, 3)
    assert config.settings_file is not None
    assert (config.settings_file.parent, config.settings_file.name) == (config.active_file.parent, "settings")
    mounts = {m["name"]: m for m in pod_of(deployment)["containers"][0]["volumeMounts"]}
    assert str(config.active_file.parent) == mounts["active"]["mountPath"]
    assert mounts["models"]["readOnly"] is True


LIVE: list[dict[str, Any]] = [
    {"maxBatchSize": 64}, {"preferredBatchSizes": [8]}, {"maxQueueDelayMicroseconds": 9}, {"instances": 3},
    {"threads": 2}, {"warmup": {}}, {"logVerbose": 1}, {"queue": {"maxQueueSize": 5}}, {"sequence": {"maxIdle": "5s"}},
]  # fmt: skip
RATE_LIMITER = {"resources": [{"name": "core", "perExecution": 1, "available": 1}]}
REPLACING: list[dict[str, Any]] = [
    {"responseCache": {"size": "64Mi"}}, {"rateLimiter": RATE_LIMITER}, {"image": "own"},
    {"sequence": {"states": [{"input": "h", "output": "next"}]}},
]  # fmt: skip


@pytest.mark.parametrize("triton", [*LIVE, *REPLACING], ids=str)
def test_settings_that_a_running_server_takes_replace_no_pod(triton: dict[str, Any]) -> None:
    config_map, _, deployment, _ = serving(serving_decision(), triton=triton)
    before_map, _, before, _ = serving(serving_decision())
    same = deployment["spec"]["template"] == before["spec"]["template"]
    assert same is (triton in LIVE)
    if same:
        assert config_map["data"]["settings"] != before_map["data"]["settings"]


def test_the_image_is_the_workloads_own_or_the_one_for_what_it_runs_on() -> None:
    def image(images: Images, **spec: Any) -> str:
        artifact = worlds.variant("fp32", 0.98, 100).status.artifact
        assert artifact is not None
        decision = serving_decision(available=("fp32",))
        children = serving_children(worlds.serving(**spec), decision, {"fp32": artifact}, GPU, images)
        return str(pod_of(children[2])["containers"][0]["image"])

    both = Images(train="train", optimize="optimize", serve="serve", serve_nvidia="nvidia")
    accelerated = {"resources": {"cpu": "2", "accelerators": 1}}
    assert (image(both), image(both, **accelerated)) == ("serve", "nvidia")
    assert image(both, **accelerated, triton={"image": "own"}) == "own"
    assert image(IMAGES, **accelerated) == "serve"


def test_a_serving_pod_leaves_the_service_before_it_stops() -> None:
    pod = pod_of(serving(serving_decision())[2])
    config = ServeConfig.model_validate_json(config_text(serving(serving_decision())[2]))
    assert config.exit_timeout_seconds == 20
    drain = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert drain > config.max_connection_age_seconds
    assert drain + config.exit_timeout_seconds < pod["terminationGracePeriodSeconds"]


def test_the_liveness_probe_is_given_the_time_that_it_takes() -> None:
    container = pod_of(serving(serving_decision())[2])["containers"][0]
    longest = 3 * probe.ASK_SECONDS + probe.INFERENCE_SECONDS
    assert container["livenessProbe"]["timeoutSeconds"] > longest


def test_requests_in_flight_get_the_time_that_they_may_take() -> None:
    deployment = serving(serving_decision(), availability={"longestRequest": "5m"})[2]
    config = ServeConfig.model_validate_json(config_text(deployment))
    assert config.exit_timeout_seconds == 300
    assert pod_of(deployment)["terminationGracePeriodSeconds"] > 308


def test_replicas_are_spread_as_asked_and_have_a_priority() -> None:
    deployment = serving(serving_decision())[2]
    constraints = pod_of(deployment)["topologySpreadConstraints"]
    assert [c["topologyKey"] for c in constraints] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {c["whenUnsatisfiable"] for c in constraints} == {"ScheduleAnyway"}
    pods = deployment["spec"]["template"]["metadata"]["labels"]
    assert all(c["labelSelector"] == deployment["spec"]["selector"] for c in constraints)
    assert constraints[0]["labelSelector"]["matchLabels"].items() <= pods.items()
    assert "priorityClassName" not in pod_of(deployment)
    strict = {"availability": {"spread": "Required"}, "priorityClassName": "serving.high"}
    pod = pod_of(serving(serving_decision(), **strict)[2])
    assert {c["whenUnsatisfiable"] for c in pod["topologySpreadConstraints"]} == {"DoNotSchedule"}
    assert pod["priorityClassName"] == "serving.high"
    assert "topologySpreadConstraints" not in pod_of(serving(serving_decision(), availability={"spread": "Off"})[2])


def test_the_disruption_budget_covers_the_pods_of_every_class_and_no_waker() -> None:
    *_, deployment, budget = serving(serving_decision(), availability={"maxUnavailable": 3})
    assert (budget["kind"], budget["spec"]["maxUnavailable"]) == ("PodDisruptionBudget", 3)
    selected = budget["spec"]["selector"]["matchLabels"]
    assert selected.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert "trimtab.dev/hardware-class" not in selected
    assert not selected.items() <= waker_selector(worlds.serving().meta).items()
    assert budget["metadata"]["ownerReferences"] == deployment["metadata"]["ownerReferences"]
    without = serving(serving_decision(), availability={"disruptionBudget": False})
    assert [child["kind"] for child in without] == ["ConfigMap", "Service", "Deployment"]


def test_the_hash_of_a_job_names_its_template_and_replicas_but_not_the_suspension() -> None:
    def label(job: dict[str, Any]) -> str:
        return str(job["metadata"]["labels"]["trimtab.dev/spec-hash"])

    base = training()
    suspended = training(decision=training_decision(TrainingAction.SUSPEND))
    assert (base["spec"]["suspend"], suspended["spec"]["suspend"]) == (False, True)
    assert label(suspended) == label(base)
    others = [
        training(decision=training_decision(replicas=3)),
        training(hardware=worlds.hardware("other").spec),
        training(resources={"cpu": "2"}),
        training(torch={"image": "own"}),
    ]
    assert len({label(base), *map(label, others)}) == 1 + len(others)


def test_the_failure_policy_retries_stops_and_ends_config_errors() -> None:
    rules = training()["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["FailJob", "Ignore", "Ignore"]
    assert [rule["onExitCodes"]["values"] for rule in rules[:2]] == [[2], [143]]
    own = training(torch=None, template={"spec": {"containers": [{"name": "a"}]}}, work={"totalSamples": 1})
    assert "FailJob" not in [rule["action"] for rule in own["spec"]["podFailurePolicy"]["rules"]]


@settings(deadline=None)
@given(st.sampled_from(["fp32", "int8"]), st.integers(1, 9))
def test_the_pod_template_does_not_follow_variant_or_replicas(variant: str, replicas: int) -> None:
    config_map, _, deployment, _ = serving(serving_decision(variant=variant, replicas=replicas))
    _, _, reference, _ = serving(serving_decision())
    assert deployment["spec"]["template"] == reference["spec"]["template"]
    assert deployment["spec"]["replicas"] == replicas
    assert config_map["data"]["version"] == {"fp32": "1", "int8": "2"}[variant]


NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,80}[a-z0-9])?", fullmatch=True)
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@settings(deadline=None)
@given(NAMES, st.sampled_from(["", "peers", "build", "a-class-with-a-long-name"]))
def test_any_name_becomes_one_that_fits_a_service_and_a_pods_host_name(name: str, suffix: str) -> None:
    short = short_name(name, suffix)
    assert len(f"{short}-4095-abcde") <= 63
    assert short == short_name(name, suffix)
    assert SERVICE_NAME.fullmatch(short)


@pytest.mark.parametrize("name", ["digits", "a", "a-1", "x" * 52])
def test_a_name_that_fits_stays_as_it_is(name: str) -> None:
    assert short_name(name) == name


@pytest.mark.parametrize(("one", "other"), [("1a", "w1a"), ("a" * 60 + "x", "a" * 60 + "y")])
def test_names_that_are_changed_are_told_apart(one: str, other: str) -> None:
    assert short_name(one) != short_name(other)
    assert short_name(one, "peers") != short_name(other, "peers")


def test_long_names_are_told_apart() -> None:
    assert short_name("a" * 60 + "x") != short_name("a" * 60 + "y")
    assert short_name("a" * 51, "peers") != short_name("a" * 51, "build")


def test_a_hash_does_not_depend_on_the_order_of_keys() -> None:
    assert spec_hash({"a": 1, "b": 2}) == spec_hash(json.loads('{"b": 2, "a": 1}'))


PARTS = ["metadata", "spec", "labels", "annotations", "containers", "nodeSelector", "tolerations", "x"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PARTS), inner, max_size=4),
    max_leaves=12,
)


def refusal(template: dict[str, Any]) -> str:
    try:
        checked_template(template)
    except Invalid as error:
        return error.message
    return ""


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(PARTS), JSON, max_size=3))
def test_whatever_a_template_holds_it_is_built_or_refused_by_name(template: dict[str, Any]) -> None:
    given_spec = {"torch": None, "template": template, "work": {"totalSamples": 1}}
    if message := refusal(template):
        assert message.startswith("spec.template")
        with pytest.raises(Invalid):
            training(**given_spec)
    else:
        assert training(**given_spec)["spec"]["template"]["spec"]["restartPolicy"] == "Never"
