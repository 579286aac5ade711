"""`trimtab policy explain` asks a real API server, and tells the person who reads it what is wrong."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.control_plane.admission_world import workload
from tests.control_plane.conftest import Api
from tests.control_plane.operator_process import TORCH, free_port

from trimtab.api.schema import GROUP, VERSION
from trimtab.local.control_plane import ControlPlane

TRIMTAB = Path(sys.executable).with_name("trimtab")
SPACE = "explained"


def explain(kubeconfig: Path, *words: str, succeeds: bool = False) -> str:
    """What it prints on a wide screen, where nothing is cut into lines."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "COLUMNS": "1000", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run([TRIMTAB, "policy", "explain", *words], capture_output=True, text=True, env=environment)
    assert done.returncode == (0 if succeeds else 2), (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout + done.stderr).split())


def policy(kind: str, name: str, namespace: str = "", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def explained(crds: Api) -> Iterator[Api]:
    """A training under two policies, one of them the cluster's."""
    made = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        workload("TrainingWorkload", "digits", TORCH, SPACE, team="vision"),
        policy("EfficiencyPolicy", "thrifty", SPACE, selector={"matchLabels": {"team": "vision"}},
               limits={"costUSDPerHour": "2"}, budgets=[{"name": "month", "costUSD": "100"}]),
        policy("ClusterEfficiencyPolicy", "explained", namespaces=[SPACE], limits={"costUSDPerHour": "5"}),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": SPACE}},
    ]  # fmt: skip
    crds.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(made))
    yield crds
    crds.kubectl("delete", "clusterefficiencypolicy", "explained")
    crds.kubectl("delete", "namespace", SPACE, "--wait=false")


def test_it_names_who_decided_and_who_lost(explained: Api, tmp_path: Path) -> None:
    for name in ("tw/digits", "digits", "TrainingWorkload/digits"):
        said = explain(explained.kubeconfig, name, "-n", SPACE, succeeds=True)
        assert f"policies of TrainingWorkload {SPACE}/digits" in said
        assert f"<- EfficiencyPolicy {SPACE}/thrifty: spec.limits.costUSDPerHour" in said
        assert "lost: ClusterEfficiencyPolicy explained: spec.limits.costUSDPerHour = 5" in said
    file = tmp_path / "thrifty.yaml"
    spec = {"limits": {"costUSDPerHour": "2"}}
    file.write_text(yaml.safe_dump(policy("EfficiencyPolicy", "thrifty", SPACE, **spec), sort_keys=False))
    said = explain(explained.kubeconfig, "tw/digits", "-n", SPACE, "-f", str(file), succeeds=True)
    assert f"({file}:8)" in said


def test_a_name_that_is_not_there_or_cannot_be(explained: Api) -> None:
    assert f"there is no TrainingWorkload 'letters' in namespace '{SPACE}'" in explain(
        explained.kubeconfig, "tw/letters", "-n", SPACE
    )
    assert "there is no TrainingWorkload or ServingWorkload 'digits' in namespace 'default'" in explain(
        explained.kubeconfig, "digits"
    )
    assert "there is no ServingWorkload 'digits'" in explain(explained.kubeconfig, "sw/digits", "-n", SPACE)
    assert "write KIND/NAME with KIND one of" in explain(explained.kubeconfig, "pod/digits", "-n", SPACE)
    for wrong in ("tw/Digits", "tw/a/b", "..", "tw/digits?watch=1"):
        assert "in Kubernetes: it has lower-case letters" in explain(explained.kubeconfig, wrong, "-n", SPACE)
    assert "'no such' is no namespace in Kubernetes" in explain(explained.kubeconfig, "digits", "-n", "no such")


def as_account(api: Api, directory: Path, token: str) -> Path:
    """A kubeconfig that shows a token in place of the administrator's certificate."""
    config = yaml.safe_load(api.kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path = directory / "account.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def test_who_lacks_the_right_is_told_which(explained: Api, tmp_path: Path) -> None:
    token = explained.kubectl("create", "token", "nobody", "-n", SPACE).strip()
    nobody = as_account(explained, tmp_path, token)
    said = explain(nobody, "tw/digits", "-n", SPACE)
    assert f'User "system:serviceaccount:{SPACE}:nobody" cannot get resource "trainingworkloads"' in said
    assert "It takes get on trainingworkloads and servingworkloads, and list on efficiencypolicies" in said
    rules = [("get", "trainingworkloads"), ("list", "efficiencypolicies")]
    for verb, resource in rules:
        explained.kubectl("create", "role", f"{verb}-{resource}", f"--verb={verb}",
                          f"--resource={resource}.{GROUP}", "-n", SPACE)  # fmt: skip
        explained.kubectl("create", "rolebinding", f"{verb}-{resource}", f"--role={verb}-{resource}",
                          f"--serviceaccount={SPACE}:nobody", "-n", SPACE)  # fmt: skip
    # The policies of the whole cluster are still out of reach.
    said = explain(nobody, "tw/digits", "-n", SPACE)
    assert 'cannot list resource "clusterefficiencypolicies"' in said
    assert "you may not read this" in explain(as_account(explained, tmp_path, "expired"), "tw/digits", "-n", SPACE)


def test_a_cluster_without_trimtab_and_one_that_does_not_answer(tmp_path: Path) -> None:
    with ControlPlane("explain-bare") as bare:
        said = explain(bare.kubeconfig, "tw/digits")
        assert "the cluster does not know trimtab's kinds" in said
        assert "are the CRDs not installed?" in said
        config = yaml.safe_load(bare.kubeconfig.read_text())
    for cluster in config["clusters"]:
        cluster["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    silent = tmp_path / "silent.kubeconfig"
    silent.write_text(yaml.safe_dump(config))
    assert "the API server does not answer" in explain(silent, "tw/digits")
    silent.write_text("clusters: [")
    assert "cannot ask the cluster" in explain(silent, "tw/digits")
    assert "cannot ask the cluster" in explain(tmp_path / "none", "tw/digits")
