"""EfficiencyPolicy and ClusterEfficiencyPolicy: what may be spent, and how it is traded."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trimtab.api.budget import Budget as Budget
from trimtab.api.budget import BudgetStatus as BudgetStatus
from trimtab.api.common import Conditions, LabelSelector
from trimtab.api.policy_defaults import WorkloadDefaults
from trimtab.api.policy_rules import EcoMode, EcoModeStatus, SloClass, Window
from trimtab.api.quantity import Amount, Duration, Fraction
from trimtab.api.schema import ApiModel, Column, Kind, ListMap, ListSet, ObjectName, StatusModel


class Mode(StrEnum):
    """How far a policy goes."""

    OFF = "Off"
    """As if it were not there."""
    RECOMMEND = "Recommend"
    """Decide and say so in status, but change nothing."""
    ENFORCE = "Enforce"


class Preference(StrEnum):
    """What to take more of where targets and limits leave a choice."""

    COST = "Cost"
    """The cheapest variant that holds the targets, carbon priced in."""
    ACCURACY = "Accuracy"
    """The most accurate variant that holds the targets and fits the limits."""


class CarbonRules(ApiModel):
    """When carbon keeps training from running, and what a gram is worth."""

    max_intensity_grams_per_kwh: Annotated[int | None, Field(ge=0, le=5000, alias="maxIntensityGramsPerKWh")] = None
    """Training waits, or is suspended after a checkpoint, while the grid is dirtier than this (gCO2e/kWh)."""
    allowed_delay: Duration | None = None
    """Longest that carbon may keep a training waiting in all; then it runs whatever the grid. Unset means as long as
    its deadline allows."""
    price_usd_per_tonne: Amount | None = Field(default=None, alias="priceUSDPerTonne")
    """Internal price of carbon, added to cost when choices are compared (US dollars a tonne CO2e)."""


class RateLimits(ApiModel):
    """What each selected workload may spend for an hour of running."""

    cost_usd_per_hour: Amount | None = Field(default=None, alias="costUSDPerHour")
    """Most that a workload may cost for an hour, in US dollars."""
    carbon_grams_per_hour: Amount | None = None
    """Most that a workload may emit in an hour, in grams of CO2 equivalent."""
    power_watts: Amount | None = None
    """Most power that a workload may draw, in watts."""


class ServingRules(ApiModel):
    """How serving trades accuracy for cost."""

    prefer: Preference | None = None
    """Cost (the default) or Accuracy."""
    min_accuracy: Fraction | None = None
    """Least accuracy of what serves, whatever a workload's own targets say."""


class EfficiencyPolicySpec(ApiModel):
    """Which workloads, how far, and which limits. Where several policies select a workload, the strictest of each
    limit holds.
    """

    selector: LabelSelector = LabelSelector()
    """Workloads by label; empty means all of the namespace."""
    mode: Mode = Mode.ENFORCE
    """Off: as if it were not there. Recommend: decide and say so in status, change nothing. Enforce: do it."""
    carbon: CarbonRules = CarbonRules()
    """When carbon keeps training from running, and what a gram is worth."""
    limits: RateLimits = RateLimits()
    """What each selected workload may spend for an hour of running."""
    serving: ServingRules = ServingRules()
    """How serving trades accuracy for cost."""
    slo_class: SloClass | None = None
    """How much a budget may touch the workloads: latency-critical, standard (the default) or best-effort."""
    budgets: Annotated[tuple[Budget, ...], Field(max_length=8), ListMap(("name",))] = ()
    """What the selected workloads may spend together in a period."""
    eco_mode: EcoMode | None = None
    """Save more than usual for a while."""
    windows: Annotated[tuple[Window, ...], Field(max_length=16), ListMap(("name",))] = ()
    """Working hours: when workloads are scaled down or suspended."""
    defaults: WorkloadDefaults = WorkloadDefaults()
    """What workloads get at their creation where their user says nothing."""


class ClusterEfficiencyPolicySpec(EfficiencyPolicySpec):
    """As EfficiencyPolicy, for the whole cluster or some namespaces."""

    namespaces: Annotated[tuple[ObjectName, ...], Field(max_length=256), ListSet()] = ()
    """Namespaces it holds in; empty means all."""


class EfficiencyPolicyStatus(StatusModel):
    """Whom the policy reaches."""

    observed_generation: int = 0
    """The generation of the object that status speaks of."""
    conditions: Conditions = ()
    """Whether the policy is in force and whom it reaches."""
    workloads: int = 0
    """Workloads that it selects."""
    budgets: Annotated[tuple[BudgetStatus, ...], Field(max_length=8), ListMap(("name",))] = ()
    """How the budgets stand."""
    eco_mode: EcoModeStatus | None = None
    """Who switched eco mode on, and until when."""


_COLUMNS = (
    Column("Mode", ".spec.mode"),
    Column("Workloads", ".status.workloads", "integer"),
    Column("Max-gCO2/kWh", ".spec.carbon.maxIntensityGramsPerKWh", "integer"),
    Column("Max-USD/h", ".spec.limits.costUSDPerHour"),
    Column("Max-gCO2/h", ".spec.limits.carbonGramsPerHour"),
    Column("Spent", ".status.budgets[*].spentShare"),
    Column("Within-Budget", '.status.conditions[?(@.type=="WithinBudget")].reason'),
    Column("Age", ".metadata.creationTimestamp", "date"),
)

EFFICIENCY_POLICY = Kind(
    kind="EfficiencyPolicy",
    plural="efficiencypolicies",
    short_names=("epol",),
    namespaced=True,
    spec=EfficiencyPolicySpec,
    status=EfficiencyPolicyStatus,
    description="Limits of cost, carbon and power for the workloads of a namespace that it selects.",
    columns=_COLUMNS,
)
CLUSTER_EFFICIENCY_POLICY = Kind(
    kind="ClusterEfficiencyPolicy",
    plural="clusterefficiencypolicies",
    short_names=("cepol",),
    namespaced=False,
    spec=ClusterEfficiencyPolicySpec,
    status=EfficiencyPolicyStatus,
    description="Limits of cost, carbon and power for workloads of the whole cluster.",
    columns=_COLUMNS,
)
