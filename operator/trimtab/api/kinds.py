"""All custom resources of the group."""

from trimtab.api.carbon import CARBON_SOURCE
from trimtab.api.hardware import HARDWARE_CLASS
from trimtab.api.policy import CLUSTER_EFFICIENCY_POLICY, EFFICIENCY_POLICY
from trimtab.api.schema import Kind
from trimtab.api.serving import SERVING_WORKLOAD
from trimtab.api.training import TRAINING_WORKLOAD
from trimtab.api.variant import MODEL_VARIANT

KINDS: tuple[Kind, ...] = (
    TRAINING_WORKLOAD,
    SERVING_WORKLOAD,
    MODEL_VARIANT,
    EFFICIENCY_POLICY,
    CLUSTER_EFFICIENCY_POLICY,
    HARDWARE_CLASS,
    CARBON_SOURCE,
)
