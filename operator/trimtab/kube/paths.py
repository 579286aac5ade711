"""Where objects live in the Kubernetes API: pure functions from a resource and a name to a URL path."""

from dataclasses import dataclass
from typing import Final

from trimtab.api.kinds import KINDS
from trimtab.api.schema import GROUP, VERSION, Kind


@dataclass(frozen=True)
class Resource:
    """A kind of object, as the API names it."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    namespaced: bool
    kind: str

    @property
    def api_version(self) -> str:
        """As in a manifest's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version


def resource_of(kind: Kind) -> Resource:
    """The resource of one of trimtab's own kinds."""
    return Resource(GROUP, VERSION, kind.plural, kind.namespaced, kind.kind)


OWN: Final[dict[str, Resource]] = {kind.kind: resource_of(kind) for kind in KINDS}
"""trimtab's custom resources, by kind."""

JOBS: Final = Resource("batch", "v1", "jobs", True, "Job")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", True, "Deployment")
PODS: Final = Resource("", "v1", "pods", True, "Pod")
NODES: Final = Resource("", "v1", "nodes", False, "Node")
NAMESPACES: Final = Resource("", "v1", "namespaces", False, "Namespace")
SERVICES: Final = Resource("", "v1", "services", True, "Service")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", True, "ConfigMap")
CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims", True, "PersistentVolumeClaim")
DISRUPTION_BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets", True, "PodDisruptionBudget")
EVENTS: Final = Resource("events.k8s.io", "v1", "events", True, "Event")
SECRETS: Final = Resource("", "v1", "secrets", True, "Secret")
SCALERS: Final = Resource("autoscaling", "v2", "horizontalpodautoscalers", True, "HorizontalPodAutoscaler")
VALIDATING_WEBHOOKS: Final = Resource(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", False, "ValidatingWebhookConfiguration"
)
MUTATING_WEBHOOKS: Final = Resource(
    "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", False, "MutatingWebhookConfiguration"
)
# Kinds of others, which may not be there.
SCALED_OBJECTS: Final = Resource("keda.sh", "v1alpha1", "scaledobjects", True, "ScaledObject")
VERTICAL_SCALERS: Final = Resource("autoscaling.k8s.io", "v1", "verticalpodautoscalers", True, "VerticalPodAutoscaler")

BUILT_IN: Final[tuple[Resource, ...]] = (
    JOBS,
    DEPLOYMENTS,
    PODS,
    NODES,
    NAMESPACES,
    SERVICES,
    CONFIG_MAPS,
    CLAIMS,
    DISRUPTION_BUDGETS,
    EVENTS,
)

_BY_TYPE: Final = {(r.api_version, r.kind): r for r in (*OWN.values(), *BUILT_IN)}


def resource_for(api_version: str, kind: str) -> Resource:
    """The resource of a manifest.

    Raises:
        KeyError: for a type that trimtab does not handle.
    """
    return _BY_TYPE[api_version, kind]


def collection(resource: Resource, namespace: str = "") -> str:
    """Path of all objects of a resource; without a namespace, those of the whole cluster."""
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    if namespace and resource.namespaced:
        return f"{root}/namespaces/{namespace}/{resource.plural}"
    return f"{root}/{resource.plural}"


def object_path(resource: Resource, name: str, namespace: str = "") -> str:
    """Path of one object.

    Raises:
        ValueError: when a namespaced object comes without its namespace.
    """
    if resource.namespaced and not namespace:
        raise ValueError(f"{resource.kind} {name!r} is namespaced, but no namespace was given")
    return f"{collection(resource, namespace)}/{name}"
