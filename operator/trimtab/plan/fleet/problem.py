"""The serving problem: workloads with their load, their targets and the ways to serve them, and the pools they share.

The operator builds it from a Snapshot, `trimtab simulate` from a trace; what decides cannot tell the two apart. Times
are seconds on any one clock.
"""

import math
from dataclasses import dataclass, field

from trimtab.api.common import Reason
from trimtab.plan.fleet.profiles import Profile


@dataclass(frozen=True)
class Pool:
    """A hardware class as the workloads share it."""

    name: str
    free_units: float = math.inf
    """Units of its resource that all workloads of the problem may hold together."""
    grams_per_kwh: float = 0.0
    """Carbon intensity of its grid (gCO2e/kWh)."""


@dataclass(frozen=True)
class Option:
    """A variant on a pool: one way to serve. All figures are of one replica."""

    variant: str
    pool: str
    """Name of the pool."""
    accuracy: float
    profile: Profile
    usd_per_hour: float
    idle_watts: float = 0.0
    """Power of a replica that waits, the site's overhead (PUE) included."""
    peak_watts: float = 0.0
    """Power of a replica that works all the time, the site's overhead included."""
    embodied_grams_per_hour: float = 0.0
    units: float = 1.0
    """Units of the pool's resource."""
    start_seconds: float = 30.0
    """From the decision until a new replica serves."""


@dataclass(frozen=True)
class Target:
    """What is promised: so much of the requests faster than a bound, by a variant that is accurate enough."""

    bound_seconds: float
    quantile: float = 0.95
    """Share of requests that must be faster."""
    min_accuracy: float = 0.0
    label: str = "p95"
    """Name of the quantile, for messages."""


@dataclass(frozen=True)
class Limits:
    """What a workload may spend at most. None is no limit."""

    usd_per_hour: float | None = None
    grams_per_hour: float | None = None
    watts: float | None = None


@dataclass(frozen=True)
class Settings:
    """How a workload is to be scaled, and what is preferred."""

    min_replicas: int = 1
    max_replicas: int = 10
    fixed_replicas: int | None = None
    """The count is somebody else's to choose."""
    prefer_accuracy: bool = False
    """The most accurate within limits, in place of the cheapest that holds the targets."""
    usd_per_gram: float = 0.0
    """Carbon price."""
    scale_down_stabilization_seconds: float = 300.0
    """Time for which fewer replicas must have been enough before one is taken away."""
    pooled: bool = False
    """The balancer sends a request to the replica that has least to do; if not, at random (a Kubernetes Service)."""
    latency_margin: float = 0.8
    """Part of the bound that is planned for; the rest is for what the model does not know."""
    confidence: float = 0.9
    """Quantile of the forecast of the load that replicas are made ready for."""
    interval_seconds: float = 10.0
    """Time until the next decision."""
    load_window_seconds: float = 0.0
    """The load is forecast as its mean over this time: what is shorter, queues and slots absorb. 0: one interval."""
    drain_seconds: float = 10.0
    """A backlog is to be worked off within this time: it counts as load."""
    weight: float = 1.0
    """How much a shortage counts against that of others where capacity does not suffice for all."""


@dataclass(frozen=True)
class Load:
    """What is known of the load."""

    requests_per_second: tuple[float, ...]
    """Rate of each of the last intervals, the newest last; the operator may know only one."""
    interval_seconds: float = 10.0
    """Length of one of these intervals."""
    pending_requests: float = 0.0
    """Backlog now."""
    fresh: bool = True
    """False: the metrics are missing or stale; nothing is guessed down."""
    breached: bool = False
    """The latency target is broken now."""
    latency_seconds: float | None = None
    """The target's percentile as measured; None while idle or unknown."""
    late_share: float | None = None
    """Share of the requests of the last hour (or so) that missed the target: how much of the error budget is spent.
    None: unknown, and taken as just what is allowed."""


@dataclass(frozen=True)
class Placement:
    """Replicas in one pool."""

    pool: str
    replicas: int


@dataclass(frozen=True)
class Running:
    """What serves now, and what was decided before."""

    variant: str = ""
    """The one decided on last."""
    pool: str = ""
    replicas: int = 0
    """Replicas asked for in that pool."""
    also: tuple[Placement, ...] = ()
    """Replicas asked for in other pools, while it moves from one to another or is spread over two."""
    ready: int = 0
    """Replicas that serve."""
    settled: bool = True
    """All replicas are there, and for long enough that the metrics show what they do."""
    loaded: tuple[str, ...] = ()
    """Variants that ready replicas serve at present: more than the wanted one while a switch goes on."""
    changed_seconds: float = -math.inf
    """When the variant was changed last."""
    low_since_seconds: float | None = None
    """Since when fewer replicas would have been enough: `Decision.low_since_seconds` of the decision before."""
    low_most: int | None = None
    """Most that were needed since then: `Decision.low_most` of the decision before; None where nobody kept it."""
    correction: float = 1.0
    """Real over profiled speed of a replica, as learned."""


@dataclass(frozen=True)
class Workload:
    """One workload."""

    key: str
    options: tuple[Option, ...]
    """Variants whose accuracy is below the floor are left out by the solver."""
    target: Target
    load: Load
    settings: Settings = Settings()
    limits: Limits = Limits()
    running: Running = Running()
    fallback_replicas: int = 0
    """To hold at least while metrics are missing."""


@dataclass(frozen=True)
class Fleet:
    """All workloads and all pools at one instant."""

    now_seconds: float
    pools: tuple[Pool, ...]
    workloads: tuple[Workload, ...]
    allow_split: bool = False
    """A workload may be spread over two pools where none has room for all of it."""


@dataclass(frozen=True)
class Spending:
    """What a decision costs for each hour."""

    usd_per_hour: float = 0.0
    watts: float = 0.0
    grams_per_hour: float = 0.0
    priced_usd_per_hour: float = 0.0
    """Cost plus priced carbon."""


@dataclass(frozen=True)
class Decision:
    """What shall serve a workload, and why."""

    key: str
    variant: str = ""
    """Empty when nothing can serve."""
    placements: tuple[Placement, ...] = ()
    """More than one only under `Fleet.allow_split`."""
    latency_seconds: float = math.inf
    """Predicted, at the target's quantile, under the load that is planned for."""
    accuracy: float = 0.0
    spending: Spending = Spending()
    load_requests_per_second: float = 0.0
    """The load that is planned for: the forecast's quantile, the backlog counted in."""
    low_since_seconds: float | None = None
    """Since when fewer replicas would have been enough; to be handed back as `Running.low_since_seconds`."""
    low_most: int | None = None
    """Most that were needed since then; to be handed back as `Running.low_most`."""
    reasons: tuple[Reason, ...] = ()
    holds: bool = False
    """Whether limits and target are kept."""
    over_limit: str = ""
    """Which limit it breaks; empty when none."""
    bound_by: str = ""
    """Code of what keeps it from being better: Capacity, Limits, Target, Accuracy; empty when nothing does."""
    replicas: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "replicas", sum(p.replicas for p in self.placements))
