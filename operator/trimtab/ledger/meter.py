"""What the meters say of a stretch of time, joined to nodes, devices, pods and workloads: the input of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trimtab.ledger.cumulative import Cumulative

WHOLE_DEVICE = 8400
"""Parts of a device: divisible by the slices of every MIG layout and by the usual numbers of time slices."""


@dataclass(frozen=True, slots=True)
class PodMeter:
    """One pod of a workload."""

    account: str
    """`Kind/namespace/name` of its workload."""
    pod: str
    """`namespace/name`."""
    node: str
    """Empty where nothing says it."""
    hardware_class: str
    cpu: Cumulative | None = None
    """CPU time in nanoseconds (`pod_cpu_usage_seconds_total` of the kubelet)."""
    energy: Cumulative | None = None
    """Energy in microjoules, where something publishes the pod's own power (`trimtab_power_watts`)."""
    work: Cumulative | None = None
    """Thousandths of samples trained or inferences made, by its own counter."""
    started: int | None = None
    """When its first container started (ms), where that is known."""
    units: tuple[tuple[int, int], ...] = ()
    """Thousandths of the class's resource that it holds, from each instant (ms) on, where it was scraped; empty means
    what its workload declares."""
    simulated: bool = False

    @property
    def presence(self) -> Cumulative | None:
        """The series whose samples say that it was there."""
        return self.cpu or self.energy


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """What one pod, or nobody, holds of a device."""

    pod: str
    """`namespace/name`; empty for a part that nobody is said to hold."""
    parts: int
    """Of `WHOLE_DEVICE` (for MIG by slices of compute)."""
    seen: Cumulative
    """Its series: the samples say from when to when it was held."""
    use: Cumulative | None = None
    """Integral of how busy this part was, where the device tells its parts apart."""


@dataclass(frozen=True, slots=True)
class DeviceMeter:
    """An accelerator that measures itself."""

    uuid: str
    energy: Cumulative
    """In microjoules."""
    source: str
    shares: tuple[DeviceShare, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeMeter:
    """One node."""

    node: str
    hardware_class: str
    cpu: Cumulative | None = None
    """CPU time of the whole node in nanoseconds."""
    host: Cumulative | None = None
    """Energy of CPUs and memory in microjoules."""
    host_source: str = ""
    devices: tuple[DeviceMeter, ...] = ()

    @property
    def meters(self) -> tuple[Cumulative, ...]:
        """All its series."""
        own = (self.cpu, self.host, *(device.energy for device in self.devices))
        return tuple(one for one in own if one is not None)


@dataclass(frozen=True, slots=True)
class ExpectedPod:
    """A pod that runs now, by what the cluster says."""

    pod: str
    """`namespace/name`."""
    node: str
    started: int
    """ms."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything metered from `start` to `end`, and the samples around it."""

    start: int
    """ms: no sample before it was asked for."""
    end: int
    """ms: every sample up to here that there is was asked for."""
    pulse: Cumulative | None
    """When anything at all was scraped; None when nothing was."""
    nodes: tuple[NodeMeter, ...] = ()
    pods: tuple[PodMeter, ...] = ()
    expected: Mapping[str, tuple[ExpectedPod, ...]] = field(default_factory=dict)
    """By account."""
    expected_nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Ready nodes by hardware class."""
    patience_ms: int = 45_000
    """How long after a series ended its next sample would have come, if there were one."""
    revisit: bool = False
    """Whether samples that are missing at its beginning were never there: it reaches back far enough to tell."""
