"""What was decided: the Plan. `apply/` makes it so, `simulate/` replays it, `explain` prints it."""

from datetime import datetime

from trimtab.api.budget import BudgetStatus
from trimtab.api.common import ConditionStatus, Rate, Reason
from trimtab.api.policy import Mode
from trimtab.api.policy_rules import EcoModeStatus
from trimtab.api.rollout import RejectedVariant, RolloutStatus
from trimtab.api.serving import VariantVersion
from trimtab.api.training import MeasuredScaling, ScheduleSlot, TrainingAction
from trimtab.api.variant import GateFigures
from trimtab.plan.fact import Fact


class ConditionValue(Fact):
    """A condition to be shown; when it last changed is worked out where it is written."""

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""


class EventNote(Fact):
    """Something that a person should find in `kubectl describe`; written once for each change of decision."""

    reason: str
    message: str
    warning: bool = False


class TrainingDecision(Fact):
    """What shall become of a training workload."""

    key: str
    """`namespace/name`."""
    mode: Mode
    action: TrainingAction
    """RUN: the Job exists, unsuspended. SUSPEND: its pods end after a checkpoint. WAIT: nothing runs yet. NONE: it is
    over, or waits for its user."""
    replicas: int
    hardware_class: str
    schedule: tuple[ScheduleSlot, ...] = ()
    scaling: tuple[MeasuredScaling, ...] = ()
    """Speed by class and replicas as learned so far."""
    rate: Rate | None = None
    simulated: bool = False
    reasons: tuple[Reason, ...] = ()
    conditions: tuple[ConditionValue, ...] = ()
    events: tuple[EventNote, ...] = ()
    message: str = ""


class ServingDecision(Fact):
    """What shall serve, with how much."""

    key: str
    mode: Mode
    variant: str
    """Name of the ModelVariant to serve; empty when none may."""
    versions: tuple[VariantVersion, ...]
    """Version of the Triton model for each variant that is (or was) in the list; only those in `available` can be
    loaded."""
    available: tuple[str, ...]
    """Variants whose artifact exists and whose gate passed."""
    hardware_class: str
    replicas: int
    """0 only when nothing can serve yet, or a policy says so."""
    stopped: bool = False
    """A window or a budget has it at no replicas, or nobody asks: what runs is taken away."""
    holds_requests: bool = False
    """What holds requests while no replica is ready shall exist."""
    led_to_waker: bool = False
    """Requests go there now."""
    predicted_latency_ms: float | None = None
    rate: Rate | None = None
    simulated: bool = False
    capacity_correction: float | None = None
    """Measured over profiled capacity of a replica, as learned so far; None before anything was learned."""
    low_most: int = 0
    """Most replicas that were needed since `low_since`."""
    low_since: datetime | None = None
    """Since when fewer replicas would have been enough."""
    rollout: RolloutStatus | None = None
    """The roll-out in progress, or the last one; `variant` is then the stable one."""
    canary_pods: tuple[str, ...] = ()
    """Pods that serve the roll-out's candidate."""
    rejected: tuple[RejectedVariant, ...] = ()
    """Candidates that were sent back and are not tried yet."""
    reasons: tuple[Reason, ...] = ()
    conditions: tuple[ConditionValue, ...] = ()
    events: tuple[EventNote, ...] = ()
    message: str = ""


class VariantDecision(Fact):
    """What shall be done to make a variant."""

    key: str
    build: bool
    """The Job that makes it shall exist."""
    spec_hash: str
    """Names the Job that makes it: spec, and digest of the source."""
    hardware_class: str = ""
    claim_name: str = ""
    """Claim with the source model; the artifact goes there too."""
    accepted: bool = False
    """The result is in, and the gate passed."""
    gate: GateFigures | None = None
    """How the figures in status stand the gate's tests; None without figures or without a gate."""
    conditions: tuple[ConditionValue, ...] = ()
    events: tuple[EventNote, ...] = ()
    message: str = ""


class ObjectConditions(Fact):
    """Conditions of an object about which nothing is decided (a policy, a class, a source)."""

    key: str
    conditions: tuple[ConditionValue, ...]


class PolicyDecision(ObjectConditions):
    """What a policy shows, and how its budgets stand."""

    budgets: tuple[BudgetStatus, ...] = ()
    """With what was decided about them; their accounts as they stood before this pass."""
    eco_mode: EcoModeStatus | None = None
    events: tuple[EventNote, ...] = ()


class Plan(Fact):
    """All decisions from one Snapshot."""

    taken_at: datetime
    training: tuple[TrainingDecision, ...] = ()
    serving: tuple[ServingDecision, ...] = ()
    variants: tuple[VariantDecision, ...] = ()
    policies: tuple[PolicyDecision, ...] = ()
    policy_workloads: dict[str, int] = {}
    """How many workloads each policy selects, by key."""
    hardware: tuple[ObjectConditions, ...] = ()
    carbon: tuple[ObjectConditions, ...] = ()
    intensity_by_zone: dict[str, float] = {}
    """gCO2e/kWh in force now."""
    wake_at: datetime | None = None
    """When something known will change (an intensity slot ends, a delay runs out): plan again then, at the latest."""
