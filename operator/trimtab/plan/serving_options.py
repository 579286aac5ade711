"""The ways to serve a workload: (variant, hardware class, replicas), each with its latency, accuracy and rate."""

from dataclasses import dataclass, replace

from trimtab.api.common import Rate
from trimtab.api.variant import ProfilePoint
from trimtab.plan.capacity import Capacity
from trimtab.plan.latency import ServiceProfile, latency_seconds, replicas_needed, utilization
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import limit_broken, offers, priced, rate_of, units_per_replica
from trimtab.plan.snapshot import HardwareState, ServingState, VariantState

LATENCY_MARGIN = 0.8
"""Part of the latency target that is planned for; the rest is for what the model does not know."""


def _scale(state: ServingState, variant: VariantState, hardware: HardwareState) -> float:
    """Speed of a replica against the one that was profiled: by class, and by CPU where that does the work."""
    if state.spec.resources.accelerators:
        return hardware.spec.speed
    cores = variant.status.cpu_cores or state.spec.resources.cpu
    usable = min(state.spec.resources.cpu, float(state.spec.triton.threads * state.spec.triton.instances))
    return hardware.spec.speed * usable / cores


def _point(variant: VariantState) -> ProfilePoint | None:
    """The profile at the smallest batch: single requests."""
    return min(variant.status.profile, key=lambda p: p.batch, default=None)


def profiled_items_per_second(state: ServingState, variant: VariantState, hardware: HardwareState) -> float | None:
    """Capacity of one replica for single requests, by the variant's profile; None without one."""
    point = _point(variant)
    return max(1e-6, point.items_per_second * _scale(state, variant, hardware)) if point else None


def service_profile(
    state: ServingState, variant: VariantState, hardware: HardwareState, correction: float
) -> ServiceProfile | None:
    """Service time of one replica of a variant on a class: profiled at the smallest batch, scaled, corrected live."""
    point, capacity = _point(variant), profiled_items_per_second(state, variant, hardware)
    if point is None or capacity is None:
        return None
    seconds = 1.0 / (capacity * correction)
    tail_seconds = point.p95_milliseconds / 1000.0 / _scale(state, variant, hardware)
    return ServiceProfile(seconds=seconds, tail_seconds=max(seconds, tail_seconds))


@dataclass(frozen=True)
class ServingOption:
    """One way to serve."""

    variant: str
    accuracy: float
    replicas: int
    latency_ms: float
    """Predicted, at the target's percentile; infinite when it cannot keep up."""
    rate: Rate
    score_usd_per_hour: float
    """Cost plus priced carbon."""
    over_limit: str
    """Which limit of the policy it breaks; empty when none."""
    too_slow: str
    """By how much it misses the latency target; empty when it holds."""
    candidate: "Candidate"
    held_back: str = ""
    """Which limit keeps it from having the replicas that the target needs; empty when none does."""

    @property
    def holds(self) -> bool:
        """Whether it keeps to all limits and targets."""
        return not self.over_limit and not self.too_slow

    @property
    def hardware_class(self) -> str:
        """Name of the class."""
        return self.candidate.hardware.meta.name

    def for_load(self, requests_per_second: float, most: int) -> "ServingOption":
        """The same variant and class under another load."""
        return replace(self.candidate, requests_per_second=requests_per_second).best(
            self.replicas, max(self.replicas, most)
        )

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.replicas} x {self.variant} on {self.hardware_class}"


@dataclass(frozen=True)
class Candidate:
    """A variant on a class, before the number of replicas is chosen."""

    state: ServingState
    variant: VariantState
    hardware: HardwareState
    profile: ServiceProfile
    requests_per_second: float
    policy: EffectivePolicy
    intensity_grams_per_kwh: float | None

    def with_replicas(self, count: int) -> ServingOption:
        """What it comes to with so many replicas."""
        target = self.state.spec.targets.latency
        load = self.requests_per_second / count
        latency_ms = latency_seconds(self.profile, load, target.percentile) * 1000.0
        units = units_per_replica(self.state.spec.resources, self.hardware) * count
        busy = min(1.0, utilization(self.profile, load))
        rate = rate_of(self.hardware, units, busy, self.intensity_grams_per_kwh)
        over = limit_broken(rate, self.policy)
        slow = f"{target.percentile} would be {latency_ms:.0f} ms, the target is {target.milliseconds} ms"
        accuracy = self.variant.status.accuracy
        return ServingOption(
            variant=self.variant.meta.name,
            accuracy=accuracy.value if accuracy else 0.0,
            replicas=count,
            latency_ms=latency_ms,
            rate=rate,
            score_usd_per_hour=priced(rate, self.policy),
            over_limit=over,
            too_slow=slow if latency_ms > target.milliseconds else "",
            candidate=self,
        )

    def best(self, least: int, most: int) -> ServingOption:
        """The fewest replicas in [least, most] that hold the latency target, or as many as the limits allow."""
        target = self.state.spec.targets.latency
        bound = target.milliseconds / 1000.0 * LATENCY_MARGIN
        needed = replicas_needed(self.profile, self.requests_per_second, target.percentile, bound, most)
        option = self.with_replicas(max(least, needed or most))
        held_back = f"{option.replicas} replicas would be needed: {option.over_limit}" if option.over_limit else ""
        while option.over_limit and option.replicas > least:
            option = self.with_replicas(option.replicas - 1)
        return replace(option, held_back=held_back)


def serving_options(
    state: ServingState,
    variants: list[VariantState],
    hardware: tuple[HardwareState, ...],
    requests_per_second: float,
    least_replicas: int,
    policy: EffectivePolicy,
    intensity_by_zone: dict[str, float],
    capacity: Capacity,
    correction: float,
) -> list[ServingOption]:
    """Every (variant, class) with the fewest replicas that hold the target.

    Args:
        state: The workload.
        variants: Those that may serve: artifact there, gate passed, accuracy at or above the floor.
        hardware: All classes.
        requests_per_second: Load to carry.
        least_replicas: Never fewer than this.
        policy: Limits and preference.
        intensity_by_zone: gCO2e/kWh now.
        capacity: What is left of each class.
        correction: Real over profiled capacity of a replica.
    """
    allowed = set(state.spec.hardware.classes)
    options: list[ServingOption] = []
    for candidate in hardware:
        if (allowed and candidate.meta.name not in allowed) or not offers(state.spec.resources, candidate):
            continue
        room = capacity.replicas(candidate, units_per_replica(state.spec.resources, candidate))
        most = min(state.spec.max_replicas, room)
        least = min(least_replicas, most)
        if state.spec.replicas is not None:
            least = most = min(state.spec.replicas, room)
        intensity = intensity_by_zone.get(candidate.spec.grid_zone)
        for variant in variants:
            profile = service_profile(state, variant, candidate, correction)
            if profile is None or most < 1:
                continue
            choice = Candidate(state, variant, candidate, profile, requests_per_second, policy, intensity)
            options.append(choice.best(least, most))
    return options
