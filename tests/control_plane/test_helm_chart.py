"""The chart on a real apiserver: it installs, upgrades and goes, and its values and roles hold."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from trimtab.handlers.settings import Settings
from trimtab.kube.certificates import renewed
from trimtab.local.binaries import ensure

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/trimtab"
NAMESPACE = "trimtab-system"
EVERYTHING = (
    "operator.priorityClassName=system-cluster-critical",
    "operator.nodeSelector.disk=ssd",
    "operator.tolerations[0].key=gpu,operator.tolerations[0].operator=Exists",
    "operator.extraEnv[0].name=HTTPS_PROXY,operator.extraEnv[0].value=http://proxy:3128",
    "operator.podLabels.team=ml,operator.podAnnotations.team=ml",
    "imagePullSecrets[0].name=regcred",
    "images.registry=registry.example.com/ml",
    "serviceAccount.annotations.team=ml",
    "prometheus.persistence.enabled=true,prometheus.persistence.storageClassName=standard",
    "prometheus.kubeletInsecureSkipVerify=false",
    "networkPolicy.enabled=true,networkPolicy.from[0].namespaceSelector.matchLabels.team=ml",
    "monitoring.grafanaDashboard.enabled=true",
)
MONITORS = ("monitoring.podMonitor.enabled=true", "monitoring.prometheusRule.enabled=true")


@pytest.fixture(scope="session")
def helm_path() -> Path:
    return ensure(["helm"])["helm"]


@pytest.fixture
def helm(helm_path: Path, tmp_path: Path) -> "Helm":
    return Helm(helm_path, tmp_path)


class Helm:
    def __init__(self, path: Path, home: Path) -> None:
        self._path = path
        self._env = {**os.environ, **{f"HELM_{k}_HOME": str(home / k) for k in ("CACHE", "CONFIG", "DATA")}}

    def attempt(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([self._path, *arguments], env=self._env, capture_output=True, text=True)

    def __call__(self, *arguments: str | Path) -> str:
        done = self.attempt(*arguments)
        if done.returncode != 0:
            pytest.fail(f"helm {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def template(self, *settings: str) -> list[dict[str, Any]]:
        options = [part for setting in settings for part in ("--set", setting)]
        text = self("template", "trimtab", CHART, "-n", NAMESPACE, "--kube-version", "1.37.0", *options)
        return [item for item in yaml.safe_load_all(text) if item]


def one(items: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    found = [item for item in items if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind}/{name}: {len(found)} of {[(i['kind'], i['metadata']['name']) for i in items]}"
    return found[0]


@pytest.fixture
def release(control_plane: Any, helm: Helm) -> Iterator[Any]:
    """The chart installed as the embedded cluster does it, and gone afterwards."""
    kubeconfig = ("--kubeconfig", control_plane.kubeconfig, "-n", NAMESPACE)
    values = ("-f", CHART / "values-embedded.yaml")
    # No controllers run here: nothing would become ready, so it is not waited for.
    helm("upgrade", "--install", "trimtab", CHART, *kubeconfig, "--create-namespace", *values)
    yield kubeconfig
    helm.attempt("uninstall", "trimtab", *kubeconfig)


def test_install_upgrade_uninstall(control_plane: Any, helm: Helm, release: Any) -> None:
    installed = control_plane.kubectl("get", "deployments,services,configmaps", "-n", NAMESPACE, "-o", "name")
    assert {
        "deployment.apps/trimtab-operator",
        "deployment.apps/trimtab-prometheus",
        "service/trimtab-operator",
        "service/trimtab-prometheus",
        "configmap/trimtab-prometheus",
    } <= set(installed.split())
    helm("upgrade", "trimtab", CHART, *release, "--set", "operator.loopSeconds=7")
    text = control_plane.kubectl("get", "deployment", "trimtab-operator", "-n", NAMESPACE, "-o", "json")
    env = json.loads(text)["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "TRIMTAB_LOOP_SECONDS", "value": "7"} in env

    helm("uninstall", "trimtab", *release)
    label = "app.kubernetes.io/name=trimtab"
    kinds = "deployments,services,configmaps,serviceaccounts,clusterroles,clusterrolebindings"
    assert control_plane.kubectl("get", kinds, "-n", NAMESPACE, "-l", label, "-o", "name") == ""
    # A user's workloads outlive the chart.
    crds = control_plane.kubectl("get", "crds", "-o", "name").split()
    assert "customresourcedefinition.apiextensions.k8s.io/trainingworkloads.trimtab.dev" in crds


def test_the_apiserver_accepts_every_object_with_every_switch(control_plane: Any, helm: Helm, release: Any) -> None:
    settings = [part for setting in EVERYTHING for part in ("--set", setting)]
    helm("upgrade", "trimtab", CHART, *release, *settings)
    text = control_plane.kubectl("get", "deployment", "trimtab-prometheus", "-n", NAMESPACE, "-o", "json")
    data = next(v for v in json.loads(text)["spec"]["template"]["spec"]["volumes"] if v["name"] == "data")
    # An upgrade that turns persistence on takes the emptyDir away.
    assert data == {"name": "data", "persistentVolumeClaim": {"claimName": "trimtab-prometheus"}}
    made = control_plane.kubectl("get", "networkpolicies,pvc,configmaps", "-n", NAMESPACE, "-o", "name").split()
    assert {
        "networkpolicy.networking.k8s.io/trimtab-operator",
        "networkpolicy.networking.k8s.io/trimtab-prometheus",
        "persistentvolumeclaim/trimtab-prometheus",
        "configmap/trimtab-dashboard",
    } <= set(made)
    container = one(helm.template(*EVERYTHING), "Deployment", "trimtab-operator")["spec"]["template"]["spec"]
    assert container["containers"][0]["image"] == "registry.example.com/ml/trimtab/operator:0.1.0"


def test_what_people_apply_is_accepted(control_plane: Any, release: Any) -> None:
    dry = ("--dry-run=server", "--server-side")
    control_plane.kubectl("apply", *dry, "-n", "default", "-f", ROOT / "policies")
    control_plane.kubectl("apply", *dry, "-f", ROOT / "policies/hardware")
    # A dry run makes no namespace, so what lies in one of its own would be refused.
    control_plane.kubectl("apply", "--server-side", "-f", ROOT / "manifests/simulated")
    control_plane.kubectl("apply", *dry, "-k", ROOT / "policies/carbon")
    control_plane.kubectl("apply", "--server-side", "-f", ROOT / "manifests/demo/00-namespace.yaml")
    control_plane.kubectl("apply", *dry, "-f", ROOT / "manifests/demo")
    control_plane.kubectl("delete", "-f", ROOT / "manifests/simulated", "--wait=false")
    control_plane.kubectl("delete", "-f", ROOT / "manifests/demo/00-namespace.yaml", "--wait=false")


CA_BUNDLE = base64.b64encode(
    renewed(None, ("trimtab-operator.trimtab-system.svc",), datetime(2026, 11, 24, tzinfo=UTC)).authorities
).decode()
OPERATOR = f"system:serviceaccount:{NAMESPACE}:trimtab-operator"


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"),
    [
        ("patch", "trainingworkloads.trimtab.dev --subresource=status", True),
        ("patch", "trainingworkloads.trimtab.dev", False),
        ("delete", "jobs.batch", True),
        ("create", "events.events.k8s.io", True),
        ("delete", "pods", False),
        ("get", "secrets", False),
        ("delete", "configmaps", False),
        ("*", "*", False),
    ],
)
def test_the_operator_may_do_its_work_and_no_more(
    control_plane: Any, release: Any, verb: str, resource: str, allowed: bool
) -> None:
    said = control_plane.try_kubectl("auth", "can-i", verb, *resource.split(), "--as", OPERATOR, "-A").stdout.strip()
    assert said == ("yes" if allowed else "no")


@pytest.mark.parametrize(
    ("verb", "what", "allowed"),
    [
        ("patch", "secrets/trimtab-operator-webhook -n trimtab-system", True),
        ("get", "secrets/trimtab-operator-webhook -n default", False),
        ("get", "secrets/another -n trimtab-system", False),
        ("list", "secrets -n trimtab-system", False),
        ("patch", "validatingwebhookconfigurations/trimtab-operator", True),
        ("patch", "mutatingwebhookconfigurations/another", False),
        ("create", "mutatingwebhookconfigurations", False),
        ("list", "horizontalpodautoscalers.autoscaling -A", True),
        ("patch", "horizontalpodautoscalers.autoscaling -A", False),
    ],
)
def test_its_certificates_and_its_own_webhooks_are_all_that_it_may_touch_of_their_kinds(
    control_plane: Any, release: Any, verb: str, what: str, allowed: bool
) -> None:
    said = control_plane.try_kubectl("auth", "can-i", verb, *what.split(), "--as", OPERATOR).stdout.strip()
    assert said == ("yes" if allowed else "no")


def test_an_upgrade_keeps_the_certificates_and_whom_the_api_server_trusts(
    control_plane: Any, helm: Helm, release: Any
) -> None:
    """What the operator has written is its own: the chart says nothing of these fields."""
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "trimtab-operator"},
        "webhooks": [{"name": "validate.trimtab.dev", "clientConfig": {"caBundle": CA_BUNDLE}}],
    }  # fmt: skip
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "trimtab-operator-webhook", "namespace": NAMESPACE},
        "data": {"ca.crt": "YQ=="},
    }  # fmt: skip
    for body in (configuration, secret):
        apply = ("apply", "--server-side", "--field-manager=trimtab", "--validate=false", "--as", OPERATOR, "-f", "-")
        control_plane.kubectl(*apply, input=json.dumps(body))
    helm("upgrade", "trimtab", CHART, *release, "--set", "admission.timeoutSeconds=5")
    text = control_plane.kubectl("get", "validatingwebhookconfiguration", "trimtab-operator", "-o", "json")
    (webhook,) = json.loads(text)["webhooks"]
    assert (webhook["timeoutSeconds"], webhook["clientConfig"]["caBundle"]) == (5, CA_BUNDLE)
    assert webhook["clientConfig"]["service"]["path"] == "/validate"
    kept = control_plane.kubectl("get", "secret", "trimtab-operator-webhook", "-n", NAMESPACE, "-o", "json")
    assert json.loads(kept)["data"] == {"ca.crt": "YQ=="}


def test_admission_never_stands_in_the_way_unless_it_is_told_to(helm: Helm) -> None:
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        (webhook,) = one(helm.template(), kind, "trimtab-operator")["webhooks"]
        assert (webhook["failurePolicy"], webhook["timeoutSeconds"], webhook["sideEffects"]) == ("Ignore", 3, "None")
        (strict,) = one(helm.template("admission.failurePolicy=Fail"), kind, "trimtab-operator")["webhooks"]
        assert strict["failurePolicy"] == "Fail"


def test_without_admission_there_is_nothing_of_it(helm: Helm) -> None:
    items = helm.template("admission.enabled=false")
    assert not {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"} & {item["kind"] for item in items}
    assert "trimtab-operator-webhook" not in yaml.safe_dump_all(items)
    assert "admissionregistration" not in yaml.safe_dump_all(items)
    container = one(items, "Deployment", "trimtab-operator")["spec"]["template"]["spec"]["containers"][0]
    assert not [env for env in container["env"] if "WEBHOOK" in env["name"] or "ADMISSION" in env["name"]]


def test_cert_manager_takes_the_place_of_the_operators_own_certificate(helm: Helm) -> None:
    items = helm.template("admission.certManager.enabled=true")
    certificate = one(items, "Certificate", "trimtab-operator-webhook")["spec"]
    assert certificate["dnsNames"] == [f"trimtab-operator.{NAMESPACE}.svc"]
    assert certificate["issuerRef"] == {"name": "trimtab-operator-webhook", "kind": "Issuer"}
    webhooks = one(items, "ValidatingWebhookConfiguration", "trimtab-operator")
    inject = webhooks["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
    assert inject == f"{NAMESPACE}/trimtab-operator-webhook"
    pod = one(items, "Deployment", "trimtab-operator")["spec"]["template"]["spec"]
    assert {"name": "TRIMTAB_ADMISSION", "value": "files"} in pod["containers"][0]["env"]
    volume = next(volume for volume in pod["volumes"] if volume["name"] == "webhook")
    assert volume["secret"] == {"secretName": "trimtab-operator-webhook", "optional": True}
    # Then it needs no rights to Secrets and webhooks.
    roles = yaml.safe_dump_all(item for item in items if item["kind"] in ("Role", "ClusterRole", "Secret"))
    assert "webhook" not in roles
    other = helm.template(
        "admission.certManager.enabled=true",
        "admission.certManager.issuerRef.name=ours,admission.certManager.issuerRef.kind=ClusterIssuer",
    )
    assert one(other, "Certificate", "trimtab-operator-webhook")["spec"]["issuerRef"]["name"] == "ours"
    assert not [item for item in other if item["kind"] == "Issuer"]


def test_server_side_apply_creates_with_the_operators_role(control_plane: Any, release: Any) -> None:
    """A patch that creates is authorized for patch and for create: both are in the role, so it works for real."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "active", "namespace": NAMESPACE}}
    apply = ("apply", "--server-side", "--field-manager=trimtab", "--validate=false", "--as", OPERATOR, "-f", "-")
    assert "serverside-applied" in control_plane.kubectl(*apply, input=json.dumps(body))
    control_plane.kubectl("delete", "configmap", "active", "-n", NAMESPACE)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("operator.logLevel=loud", "'/operator/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"),
        ("prometheus.scrapeSecond=5", "additional properties 'scrapeSecond' not allowed"),
        ("operator.loopSeconds=0", "'/operator/loopSeconds': minimum: got 0, want 1"),
        ("prometheus.url=prometheus:9090", "'/prometheus/url'"),
        ("prometheus.url=http://other:9090", "set prometheus.enabled=false to use your own Prometheus"),
    ],
)
def test_wrong_values_are_refused_by_name(helm: Helm, setting: str, says: str) -> None:
    done = helm.attempt("template", "trimtab", CHART, "--set", setting)
    assert done.returncode != 0
    assert says in done.stderr


def test_workloads_with_accelerators_are_served_by_nvidias_triton_where_it_is_set(helm: Helm) -> None:
    def images(*settings: str) -> dict[str, str]:
        env = one(helm.template(*settings), "Deployment", "trimtab-operator")["spec"]["template"]["spec"]
        return {e["name"]: e["value"] for e in env["containers"][0]["env"] if e["name"].endswith("_IMAGE")}

    registry = "images.registry=registry.example.com/ml"
    assert images()["TRIMTAB_SERVE_IMAGE"] == "trimtab/serve:0.1.0"
    assert "TRIMTAB_SERVE_NVIDIA_IMAGE" not in images()
    both = images("images.serveNvidia=trimtab/serve-nvidia", registry)
    assert both["TRIMTAB_SERVE_IMAGE"] == "registry.example.com/ml/trimtab/serve:0.1.0"
    assert both["TRIMTAB_SERVE_NVIDIA_IMAGE"] == "registry.example.com/ml/trimtab/serve-nvidia:0.1.0"
    # What the operator reads is what the chart sets.
    fields = {f"TRIMTAB_{name.upper()}" for name in Settings.__dataclass_fields__}
    assert set(both) <= fields


def test_own_prometheus_takes_the_place_of_the_charts(helm: Helm) -> None:
    items = helm.template("prometheus.enabled=false", "prometheus.url=http://mine.monitoring:9090", *MONITORS)
    assert not [i for i in items if i["metadata"]["name"] == "trimtab-prometheus"]
    env = one(items, "Deployment", "trimtab-operator")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "TRIMTAB_PROMETHEUS_URL", "value": "http://mine.monitoring:9090"} in env
    assert len([i for i in items if i["kind"] == "PodMonitor"]) == 3
    assert one(items, "PrometheusRule", "trimtab-operator")["spec"]["groups"]


def test_scrape_jobs(helm: Helm) -> None:
    config = yaml.safe_load(one(helm.template(), "ConfigMap", "trimtab-prometheus")["data"]["prometheus.yml"])
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert set(jobs) == {"operator", "workloads", "kubelet-resource", "simulated"}
    targets = {rule.get("target_label") for rule in jobs["workloads"]["relabel_configs"]}
    assert {"namespace", "pod", "workload", "workload_kind", "hardware_class"} <= targets
    assert jobs["simulated"]["honor_labels"] is True


def test_every_pod_is_confined(helm: Helm) -> None:
    for item in helm.template(*EVERYTHING):
        if item["kind"] == "Deployment":
            pod = item["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"]
            assert pod["securityContext"]["runAsUser"] == 65532
            for container in pod["containers"]:
                assert container["securityContext"]["readOnlyRootFilesystem"]
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_what_is_derived_from_the_chart_is_up_to_date(helm_path: Path) -> None:
    command = ["bash", ROOT / "manifests/render.sh", "--check"]
    done = subprocess.run(command, env={**os.environ, "HELM": str(helm_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
