import pytest

from trimtab.kube.errors import (
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    Unavailable,
    error_from_response,
)
from trimtab.kube.paths import EVENTS, JOBS, NODES, OWN, PODS, collection, object_path, resource_for


def test_paths() -> None:
    assert collection(PODS) == "/api/v1/pods"
    assert collection(PODS, "demo") == "/api/v1/namespaces/demo/pods"
    assert object_path(JOBS, "a", "demo") == "/apis/batch/v1/namespaces/demo/jobs/a"
    assert object_path(NODES, "n", "ignored") == "/api/v1/nodes/n"
    assert object_path(OWN["HardwareClass"], "gpu") == "/apis/trimtab.dev/v1alpha1/hardwareclasses/gpu"
    assert collection(EVENTS, "demo") == "/apis/events.k8s.io/v1/namespaces/demo/events"
    assert resource_for("batch/v1", "Job") is JOBS


def test_a_namespaced_object_needs_its_namespace() -> None:
    with pytest.raises(ValueError, match="Job 'a' is namespaced"):
        object_path(JOBS, "a")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid), (401, Forbidden), (403, Forbidden), (404, NotFound), (409, Conflict), (410, Expired),
        (422, Invalid), (429, Unavailable), (500, Unavailable), (503, Unavailable), (418, KubeError),
    ],
)  # fmt: skip
def test_each_status_has_its_error(status: int, kind: type[KubeError]) -> None:
    error = error_from_response(status, "Phrase", b'{"reason":"Why","message":"the words"}', "GET /x")
    assert type(error) is kind
    assert str(error) == f"GET /x: {status} Why: the words"


@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b"[1]", b"\xff\xfe"])
def test_an_answer_that_is_no_status_still_says_something(body: bytes) -> None:
    error = error_from_response(502, "Bad Gateway", body, "GET /x")
    assert isinstance(error, Unavailable)
    assert error.message


def test_an_unknown_field_is_invalid_although_the_server_says_500() -> None:
    body = b'{"reason":"InternalError","message":"failed to create typed patch object: .spec.x: field not declared"}'
    assert type(error_from_response(500, "", body, "PATCH /x")) is Invalid


def test_a_namespace_that_goes_away_is_no_lack_of_rights() -> None:
    body = b'{"reason":"Forbidden","message":"m","details":{"causes":[{"reason":"NamespaceTerminating"}]}}'
    assert type(error_from_response(403, "", body, "POST /x")) is NotFound
