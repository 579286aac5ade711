"""Reads the pods on simulated nodes, and marks those that are done."""

from __future__ import annotations

from kubernetes import client, config

from trimtab_workloads.common.log import log
from trimtab_workloads.simulated.progress import SimulatedPod

WORKLOAD_LABEL = "trimtab.dev/workload"
HARDWARE_LABEL = "trimtab.dev/hardware-class"
MODEL_ANNOTATION = "trimtab.dev/model"
TOTAL_ANNOTATION = "trimtab.dev/total-samples"
UID_ANNOTATION = "trimtab.dev/workload-uid"
GANG_ANNOTATION = "trimtab.dev/gang-size"
DONE_ANNOTATION = "trimtab.dev/simulated-done"
_TIMEOUT_SECONDS = 10
_PAGE = 500


class Cluster:
    """The cluster's simulated part."""

    def __init__(self, api: client.CoreV1Api, node_selector: str, pod_selector: str) -> None:
        self._api = api
        self._node_selector = node_selector
        self._pod_selector = pod_selector
        self._complained: set[str] = set()

    @classmethod
    def connect(cls, node_selector: str, pod_selector: str) -> Cluster:
        """Connects with the pod's service account, or with the kubeconfig outside a cluster."""
        try:
            config.load_incluster_config()
        except config.ConfigException:
            config.load_kube_config()
        return cls(client.CoreV1Api(), node_selector, pod_selector)

    def running_pods(self) -> list[SimulatedPod]:
        """The workload pods that run on simulated nodes and are not marked done.

        Raises:
            kubernetes.client.ApiException: The API server refused.
            urllib3.exceptions.HTTPError: It could not be reached.
        """
        listed = self._api.list_node(label_selector=self._node_selector, _request_timeout=_TIMEOUT_SECONDS)
        nodes = {node.metadata.name for node in listed.items}
        pods = []
        token = None
        while True:
            page = self._api.list_pod_for_all_namespaces(
                label_selector=self._pod_selector,
                field_selector="status.phase=Running",
                limit=_PAGE,
                _continue=token,
                _request_timeout=_TIMEOUT_SECONDS,
            )
            pods += [pod for pod in page.items if pod.spec.node_name in nodes]
            token = page.metadata._continue
            if not token:
                break
        return [known for pod in pods if (known := self._project(pod)) is not None]

    def mark_done(self, pod: SimulatedPod) -> None:
        """Annotates a pod, upon which its kwok stage completes it. One that is gone is done as well."""
        patch = {"metadata": {"annotations": {DONE_ANNOTATION: "true"}}}
        try:
            self._api.patch_namespaced_pod(pod.name, pod.namespace, patch, _request_timeout=_TIMEOUT_SECONDS)
        except client.ApiException as error:
            if error.status != 404:
                raise
        log("simulated_done", namespace=pod.namespace, pod=pod.name, workload=pod.workload)

    def _project(self, pod: client.V1Pod) -> SimulatedPod | None:
        labels, notes = pod.metadata.labels or {}, pod.metadata.annotations or {}
        if pod.metadata.deletion_timestamp or notes.get(DONE_ANNOTATION) == "true":
            return None
        workload = labels[WORKLOAD_LABEL]
        try:
            return SimulatedPod(
                namespace=pod.metadata.namespace,
                name=pod.metadata.name,
                workload=workload,
                workload_uid=notes.get(UID_ANNOTATION) or f"{pod.metadata.namespace}/{workload}",
                model=notes[MODEL_ANNOTATION],
                hardware_class=labels[HARDWARE_LABEL],
                total_samples=float(notes[TOTAL_ANNOTATION]),
                gang_size=int(notes.get(GANG_ANNOTATION, "1")),
            )
        except (KeyError, ValueError) as error:
            self.complain(f"{pod.metadata.namespace}/{pod.metadata.name}", f"label or annotation: {error}")
            return None

    def complain(self, pod: str, message: str) -> None:
        """Says once what is wrong with a pod."""
        if pod not in self._complained:
            self._complained.add(pod)
            log("pod_unusable", pod=pod, message=message)
