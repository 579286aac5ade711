"""A small synchronous client of the Kubernetes API over the official one: typed errors, bounded waits.

Objects stay plain dicts: server-side apply must send exactly the fields that are meant, and typed models would
drop those that they do not know.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import urllib3
import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, ApiException, Configuration
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from trimtab.kube.errors import Expired, KubeError, NotFound, Unavailable, error_from_response

Object = dict[str, Any]

FIELD_MANAGER: Final = "trimtab"
STATUS_FIELD_MANAGER: Final = "trimtab-status"

_ATTEMPTS: Final = 4
_MAX_RETRY_SECONDS: Final = 20.0


@dataclass(frozen=True)
class ListResult:
    """The objects of a collection at one resource version."""

    items: list[Object]
    resource_version: str


class KubeClient:
    """Calls the API server. Safe to share between threads."""

    def __init__(self, api: ApiClient, timeout_seconds: float = 15.0) -> None:
        """Wrap a configured client.

        Args:
            api: Says where the server is and who we are.
            timeout_seconds: Longest wait for one answer; nothing waits for ever.
        """
        self._api = api
        self._timeout_seconds = timeout_seconds

    @classmethod
    def from_environment(cls, timeout_seconds: float = 15.0, connections: int = 16) -> "KubeClient":
        """Use the pod's service account where there is one, else KUBECONFIG (or ~/.kube/config).

        Raises:
            kubernetes.config.ConfigException: when there is neither, or the file is none.
        """
        configuration = Configuration()
        try:
            kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except kubernetes_config.ConfigException:
            try:
                kubernetes_config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            except yaml.YAMLError as error:
                raise kubernetes_config.ConfigException(f"the kubeconfig is no YAML: {error}") from error
        return cls._configured(configuration, timeout_seconds, connections)

    @classmethod
    def from_kubeconfig(cls, path: str, timeout_seconds: float = 15.0, connections: int = 16) -> "KubeClient":
        """Use a kubeconfig file, whatever the environment says."""
        configuration = Configuration()
        kubernetes_config.load_kube_config(path, client_configuration=configuration)  # type: ignore[no-untyped-call]
        return cls._configured(configuration, timeout_seconds, connections)

    @classmethod
    def _configured(cls, configuration: Configuration, timeout_seconds: float, connections: int) -> "KubeClient":
        configuration.retries = False  # Retries are this class's own: it knows which calls may be repeated.
        configuration.connection_pool_maxsize = connections
        return cls(ApiClient(configuration), timeout_seconds)

    def close(self) -> None:
        """Close the connections."""
        self._api.rest_client.close()

    def list(self, path: str, label_selector: str = "", chunk: int = 500) -> ListResult:
        """Read a whole collection, `chunk` objects at a time.

        Raises:
            KubeError: when it cannot be read.
        """
        for _ in range(2):
            try:
                return self._list_chunks(path, label_selector, chunk)
            except Expired:
                continue  # The collection changed too much between two chunks: begin again.
        return self._list_chunks(path, label_selector, 0)

    def _list_chunks(self, path: str, label_selector: str, chunk: int) -> ListResult:
        items: list[Object] = []
        token = ""
        while True:
            query = {"limit": str(chunk) if chunk else "", "continue": token, "labelSelector": label_selector}
            answer = self._call("GET", path, query={k: v for k, v in query.items() if v})
            items.extend(answer.get("items") or ())
            token = answer["metadata"].get("continue", "")
            if not token:
                return ListResult(items, answer["metadata"]["resourceVersion"])

    def get(self, path: str) -> Object | None:
        """Read one object; None when there is none."""
        try:
            return self._call("GET", path)
        except NotFound:
            return None

    def apply(self, path: str, body: Object, *, force: bool = True) -> Object:
        """Make the object so by server-side apply: our fields become ours, those of others stay.

        Args:
            path: The object.
            body: The fields that are meant.
            force: Whether to take fields over that somebody else has set to something else.

        Raises:
            Conflict: without force, when somebody else has; the message names them and the fields.
            Invalid: when the server refuses the object for what it says.
            KubeError: for anything else.
        """
        return self._apply(path, body, FIELD_MANAGER, force=force)

    def apply_status(self, path: str, body: Object) -> Object:
        """Write the status by server-side apply on the subresource.

        Raises:
            NotFound: when the object is gone: a status never creates one.
            KubeError: for anything else.
        """
        return self._apply(f"{path}/status", body, STATUS_FIELD_MANAGER)

    def _apply(self, path: str, body: Object, manager: str, *, force: bool = True) -> Object:
        return self._call(
            "PATCH",
            path,
            query={"fieldManager": manager, "force": str(force).lower()},
            body=json.dumps(body),
            content_type="application/apply-patch+yaml",
        )

    def create(self, path: str, body: Object) -> Object:
        """Create an object in a collection.

        Raises:
            Conflict: when it is there already.
            KubeError: for anything else.
        """
        return self._call("POST", path, body=body, content_type="application/json", retriable=_is_throttled)

    def check_create(self, path: str, body: Object) -> None:
        """Let the server judge an object as if it were created in a collection; nothing is stored.

        Raises:
            Invalid: when the server would refuse the object for what it says.
            KubeError: for anything else.
        """
        self._call("POST", path, query={"dryRun": "All"}, body=body, content_type="application/json")

    def delete(self, path: str, propagation: str = "Background", uid: str = "") -> bool:
        """Ask for an object's deletion.

        Args:
            path: The object.
            propagation: `Background`, `Foreground` or `Orphan`.
            uid: When given, only the object with this uid: never a successor of the same name.

        Returns:
            False when there was nothing to delete.
        """
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._call("DELETE", path, body=options, content_type="application/json")
        except NotFound:
            return False
        return True

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Object | str | None = None,
        content_type: str = "",
        retriable: Callable[[BaseException], bool] | None = None,
    ) -> Object:
        retrying = Retrying(
            retry=retry_if_exception(retriable or _is_unavailable),
            stop=stop_after_attempt(_ATTEMPTS) | stop_after_delay(_MAX_RETRY_SECONDS),
            wait=wait_random_exponential(multiplier=0.2, max=3.0),
            reraise=True,
        )
        return retrying(self._call_once, method, path, query or {}, body, content_type)

    def _call_once(
        self, method: str, path: str, query: dict[str, str], body: Object | str | None, content_type: str
    ) -> Object:
        headers = {"Accept": "application/json", "User-Agent": "trimtab"}
        if content_type:
            headers["Content-Type"] = content_type
        call = f"{method} {path}"
        request = self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._api.call_api(*request, _request_timeout=self._timeout_seconds)
            data = answer.read()  # type: ignore[no-untyped-call]
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            raise Unavailable(0, type(error).__name__, str(error), call) from error
        if not 200 <= answer.status < 300:
            raise error_from_response(answer.status, answer.reason or "", data, call)
        parsed = json.loads(data)
        if not isinstance(parsed, dict):
            raise KubeError(answer.status, "UnexpectedAnswer", f"expected an object, got {data[:200]!r}", call)
        return parsed


def _is_unavailable(error: BaseException) -> bool:
    return isinstance(error, Unavailable)


def _is_throttled(error: BaseException) -> bool:
    """The server said that it did nothing: only then may a create be sent again."""
    return isinstance(error, Unavailable) and error.status == 429
