"""PromQL of the meter: always the same number of queries for a window, however many workloads and pods there are."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final

from trimtab.observe.facts import SERVING, TRAINING
from trimtab.observe.meter_windows import Window
from trimtab.observe.prometheus import seconds
from trimtab.observe.series import Series

POD_CPU: Final = "pod_cpu_usage_seconds_total"
NODE_CPU: Final = "node_cpu_usage_seconds_total"
POD_WATTS: Final = "trimtab_power_watts"
TRAINED: Final = "trimtab_training_samples_total"
INFERRED: Final = "nv_inference_count"
REQUESTS: Final = "kube_pod_container_resource_requests"
KEPLER_NODE: Final = (
    "kepler_node_cpu_joules_total",
    "kepler_node_package_joules_total",
    "kepler_node_dram_joules_total",
)
"""Kepler since 0.10 (zones by label), and before (a metric for each zone, idle and dynamic by label `mode`)."""
RAPL_NODE: Final = ("node_rapl_package_joules_total", "node_rapl_dram_joules_total")
DCGM_ENERGY: Final = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
DCGM_POWER: Final = "DCGM_FI_DEV_POWER_USAGE"
DCGM_ACTIVE: Final = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"


@dataclass(frozen=True)
class Queries:
    """To be evaluated at the end of what a window reads."""

    pods: str
    """Which pods there were: one that is gone is still known by having been scraped."""
    starts: str
    """When containers started."""
    cpu: str
    own: str
    """What workloads' pods publish of themselves: power, samples, inferences."""
    nodes: str
    """Whole nodes: CPU time, and energy by Kepler or node-exporter."""
    devices: str
    """Accelerators by dcgm-exporter."""
    requests: str
    """What pods hold, by kube-state-metrics."""

    def all(self) -> tuple[str, ...]:
        """In the order of `Results`."""
        return tuple(astuple(self))


@dataclass(frozen=True)
class Results:
    """What the queries of a window gave."""

    pods: Sequence[Series] = ()
    starts: Sequence[Series] = ()
    cpu: Sequence[Series] = ()
    own: Sequence[Series] = ()
    nodes: Sequence[Series] = ()
    devices: Sequence[Series] = ()
    requests: Sequence[Series] = ()


def queries(window: Window) -> Queries:
    """The queries of a window, for all its accounts together."""
    span = seconds((window.read_end - window.read_start).total_seconds())
    namespaces = "|".join(window.namespaces)
    inside = f'namespace=~"{namespaces}"' if namespaces else 'namespace!=""'
    kinds = f'workload!="",workload_kind=~"{TRAINING}|{SERVING}"'
    return Queries(
        pods=f"last_over_time(up{{{kinds},{inside}}}[{span}])",
        starts=f'min by (namespace, pod) (last_over_time(container_start_time_seconds{{pod!="",{inside}}}[{span}]))',
        cpu=f"{POD_CPU}{{{inside}}}[{span}]",
        own=f'{{__name__=~"{POD_WATTS}|{TRAINED}|{INFERRED}",{kinds},{inside}}}[{span}]',
        nodes=f'{{__name__=~"{"|".join((NODE_CPU, *KEPLER_NODE, *RAPL_NODE))}"}}[{span}]',
        devices=f'{{__name__=~"{DCGM_ENERGY}|{DCGM_POWER}|{DCGM_ACTIVE}"}}[{span}]',
        requests=f'{REQUESTS}{{resource=~"cpu|nvidia_com_.*",{inside}}}[{span}]',
    )
