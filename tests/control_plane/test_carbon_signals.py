"""Carbon from the network on a real apiserver: real Secrets, and the chart's Role for them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.control_plane.test_helm_chart import NAMESPACE, OPERATOR, Helm, helm, helm_path  # noqa: F401 - fixtures
from tests.unit.signals.servers import ElectricityMapsApi, serving
from tests.unit.worlds import meta

from trimtab.api.carbon import CarbonSourceSpec, CarbonSourceStatus
from trimtab.kube.client import KubeClient
from trimtab.local.process import wait_until
from trimtab.observe.carbon_sources import CarbonSources
from trimtab.observe.facts import KindFact
from trimtab.plan.snapshot import CarbonState

OTHER = "carbon-elsewhere"


def secret(control_plane: Any, name: str, namespace: str, **data: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": data,
    }
    control_plane.kubectl("apply", "-f", "-", input=json.dumps(body))


@pytest.fixture(scope="module")
def namespaces(control_plane: Any) -> Iterator[None]:
    for name in (NAMESPACE, OTHER):
        control_plane.try_kubectl("create", "namespace", name)
        secret(control_plane, "trimtab-carbon", name, token="em-token-1234")
        secret(control_plane, "someone-elses", name, token="x")
    yield
    control_plane.kubectl("delete", "secrets", "-n", NAMESPACE, "trimtab-carbon", "someone-elses")
    control_plane.kubectl("delete", "namespace", OTHER, "--wait=false")


@pytest.fixture
def roles(control_plane: Any, namespaces: None, helm: Helm) -> Iterator[Any]:  # noqa: F811
    """Applies the chart's roles for keys, as values say."""
    made: list[str] = []

    def apply(*settings: str) -> None:
        kinds = ("Role", "RoleBinding")
        items = [
            i for i in helm.template(*settings) if i["kind"] in kinds and i["metadata"]["name"].endswith("carbon-keys")
        ]
        assert items
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        made.append(text)
        control_plane.kubectl("apply", "-f", "-", input=text)

    yield apply
    for text in made:
        control_plane.kubectl("delete", "-f", "-", input=text)


def may(control_plane: Any, verb: str, name: str, namespace: str) -> bool:
    resource = f"secrets/{name}" if name else "secrets"
    done = control_plane.try_kubectl("auth", "can-i", verb, resource, "--as", OPERATOR, "-n", namespace)
    return bool(done.stdout.strip() == "yes")


def test_the_operator_reads_the_one_secret_of_its_own_namespace(control_plane: Any, roles: Any) -> None:
    roles()
    assert may(control_plane, "get", "trimtab-carbon", NAMESPACE)
    assert not may(control_plane, "get", "someone-elses", NAMESPACE)
    assert not may(control_plane, "get", "trimtab-carbon", OTHER)
    assert not any(may(control_plane, verb, "", NAMESPACE) for verb in ("list", "watch", "create", "delete"))


def test_other_namespaces_and_names_are_a_matter_of_values(control_plane: Any, roles: Any) -> None:
    roles(f"carbon.secretNamespaces={{{OTHER}}}", "carbon.secretNames=null")
    assert may(control_plane, "get", "someone-elses", OTHER)
    assert not may(control_plane, "list", "", OTHER)
    assert not may(control_plane, "get", "trimtab-carbon", NAMESPACE)


def test_a_key_out_of_a_real_secret_is_used(control_plane: Any, namespaces: None) -> None:
    kube = KubeClient.from_kubeconfig(str(control_plane.kubeconfig))
    sources = CarbonSources(kube, 0.0)
    now = datetime.now(UTC)

    def look(fact: KindFact, at: datetime) -> CarbonState:
        (state,) = sources.states([fact], at, at)
        return state

    with serving(ElectricityMapsApi(now)) as server:

        def source(namespace: str, key: str) -> KindFact:
            reference = {"namespace": namespace, "name": "trimtab-carbon", "key": key}
            spec = {"zone": "DE", "electricityMaps": {"key": reference, "url": f"{server.url}/v3"}}
            return KindFact(
                meta=meta("em", namespace=""), spec=CarbonSourceSpec.model_validate(spec), status=CarbonSourceStatus()
            )

        wrong, right = source(NAMESPACE, "password"), source(NAMESPACE, "token")
        wait_until(
            lambda: "has no key 'password'; its keys are 'token'" in look(wrong, now).problem,
            timeout_seconds=30,
            failure=lambda: look(wrong, now).problem,
        )
        wait_until(lambda: look(right, now).problem == "", timeout_seconds=30, failure=lambda: look(right, now).problem)
        good = look(right, now + timedelta(minutes=1))
    assert (good.forecast_by, good.reason) == ("Source", "")
    sources.close()
    kube.close()


def test_rows_over_the_tables_reach_the_operator(helm: Helm) -> None:  # noqa: F811
    items = helm.template("operator.tables.intensity_by_country=country\\,grams_per_kwh\nES\\,12\n")
    (tables,) = [i for i in items if i["kind"] == "ConfigMap" and i["metadata"]["name"] == "trimtab-operator-tables"]
    assert tables["data"] == {"intensity_by_country.csv": "country,grams_per_kwh\nES,12\n"}
    (operator,) = [i for i in items if i["kind"] == "Deployment" and i["metadata"]["name"] == "trimtab-operator"]
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    assert {"name": "TRIMTAB_TABLES_DIRECTORY", "value": "/etc/trimtab/tables"} in container["env"]
    assert {"name": "tables", "mountPath": "/etc/trimtab/tables", "readOnly": True} in container["volumeMounts"]
    plain = [i for i in helm.template() if i["kind"] == "Deployment" and i["metadata"]["name"] == "trimtab-operator"]
    assert "tables" not in json.dumps(plain)
