"""The client against a real apiserver: what it sends, and which error comes of which refusal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, Configuration

from trimtab.kube.client import KubeClient
from trimtab.kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Unavailable
from trimtab.kube.paths import CONFIG_MAPS, JOBS, collection, object_path

if TYPE_CHECKING:
    from tests.control_plane.conftest import Api

NAMESPACE = "kube-client"


@pytest.fixture(scope="module")
def kube(control_plane: "Api") -> Iterator[KubeClient]:
    control_plane.kubectl("create", "namespace", NAMESPACE)
    client = KubeClient.from_kubeconfig(str(control_plane.kubeconfig))
    yield client
    client.close()


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def path(name: str) -> str:
    return object_path(CONFIG_MAPS, name, NAMESPACE)


def test_lists_come_whole_in_chunks_and_by_label(kube: KubeClient) -> None:
    for index in range(5):
        kube.apply(path(f"listed-{index}"), config_map(f"listed-{index}", {"listed": "yes"}))
    kube.apply(path("unlisted"), config_map("unlisted"))
    found = kube.list(collection(CONFIG_MAPS, NAMESPACE), label_selector="listed=yes", chunk=2)
    assert [one["metadata"]["name"] for one in found.items] == [f"listed-{index}" for index in range(5)]
    assert int(found.resource_version) > 0
    assert len(kube.list(collection(CONFIG_MAPS, NAMESPACE), chunk=3).items) > 5


def test_apply_creates_then_changes_nothing_and_leaves_others_fields(kube: KubeClient, control_plane: "Api") -> None:
    first = kube.apply(path("applied"), config_map("applied", mine="1"))
    again = kube.apply(path("applied"), config_map("applied", mine="1"))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    control_plane.kubectl("-n", NAMESPACE, "patch", "configmap", "applied", "-p", '{"data":{"theirs":"2","mine":"0"}}')
    assert kube.apply(path("applied"), config_map("applied", mine="3"))["data"] == {"mine": "3", "theirs": "2"}
    # What is no longer applied goes, what never was ours stays.
    assert kube.apply(path("applied"), config_map("applied"))["data"] == {"theirs": "2"}


def test_what_is_not_there(kube: KubeClient) -> None:
    assert kube.get(path("missing")) is None
    assert kube.delete(path("missing")) is False
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "missing", "namespace": NAMESPACE}}
    with pytest.raises(NotFound):
        kube.apply_status(object_path(JOBS, "missing", NAMESPACE), {**job, "status": {"active": 1}})
    with pytest.raises(NotFound):
        kube.create(collection(CONFIG_MAPS, "no-such-namespace"), {**config_map("x"), "metadata": {"name": "x"}})


def test_create_twice_is_a_conflict(kube: KubeClient) -> None:
    kube.create(collection(CONFIG_MAPS, NAMESPACE), config_map("once"))
    with pytest.raises(Conflict) as caught:
        kube.create(collection(CONFIG_MAPS, NAMESPACE), config_map("once"))
    assert caught.value.reason == "AlreadyExists"


def test_a_successor_of_the_same_name_is_not_deleted(kube: KubeClient) -> None:
    made = kube.apply(path("kept"), config_map("kept"))
    with pytest.raises(Conflict):
        kube.delete(path("kept"), uid="00000000-0000-0000-0000-000000000000")
    assert kube.get(path("kept")) is not None
    assert kube.delete(path("kept"), uid=made["metadata"]["uid"]) is True
    assert kube.get(path("kept")) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [({"bad key!": "x"}, "bad key!"), ({"number": 5}, "number"), ({"deep": {"x": "y"}}, "deep")],
)
def test_a_wrong_object_is_invalid_in_the_servers_words(kube: KubeClient, data: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        kube.apply(path("wrong"), {**config_map("wrong"), "data": data})
    assert kube.get(path("wrong")) is None


def test_a_check_judges_and_stores_nothing(kube: KubeClient) -> None:
    kube.check_create(collection(CONFIG_MAPS, NAMESPACE), config_map("only-checked"))
    assert kube.get(path("only-checked")) is None
    with pytest.raises(Invalid):
        kube.check_create(collection(CONFIG_MAPS, NAMESPACE), config_map("Not A Name"))


def test_without_rights_it_is_forbidden(kube: KubeClient, control_plane: "Api") -> None:
    nobody = Configuration()
    kubernetes_config.load_kube_config(str(control_plane.kubeconfig), client_configuration=nobody)
    nobody.cert_file = nobody.key_file = None
    client = KubeClient(ApiClient(nobody))
    with pytest.raises(Forbidden):
        client.get(path("applied"))
    client.close()


def test_a_server_that_is_not_there_is_unavailable_and_says_where(kube: KubeClient) -> None:
    # Port 9 of loopback: nothing listens there.
    nowhere = Configuration(host="http://127.0.0.1:9")
    nowhere.retries = False
    client = KubeClient(ApiClient(nowhere), timeout_seconds=2)
    with pytest.raises(Unavailable, match="GET /api/v1/namespaces/kube-client/configmaps/x") as caught:
        client.get(path("x"))
    assert caught.value.status == 0
    assert isinstance(caught.value, KubeError)
    client.close()
