"""Budgets of cost, energy and carbon: what a policy's workloads may spend together in a period, and what then."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.api.common import Usage
from trimtab.api.quantity import Fraction, Measured, PositiveAmount
from trimtab.api.schema import ApiModel, Cel, ObjectName, ShortText, StatusModel
from trimtab.api.timezone import TimeZone


class BudgetPeriod(StrEnum):
    """After what time a budget begins anew."""

    DAY = "Day"
    """At midnight."""
    WEEK = "Week"
    """On Monday at midnight."""
    MONTH = "Month"
    """On the first of the month at midnight."""
    TOTAL = "Total"
    """Never: it is for the life of the policy."""


class BudgetAction(StrEnum):
    """What may be done so that a budget holds, before it is exhausted."""

    CHEAPER_VARIANT = "CheaperVariant"
    """Services take a cheaper variant that holds their targets and accuracy floor."""
    FEWER_REPLICAS = "FewerReplicas"
    """Trainings run narrower; services go down to the fewest replicas that hold their targets, and below that where
    their SLO class lets them."""
    LATER_SLOTS = "LaterSlots"
    """Trainings wait for cheaper or cleaner hours, as far as their deadlines reach."""
    SPOT = "Spot"
    """Trainings go to classes that are offered as spot capacity."""
    SUSPEND = "Suspend"
    """Trainings are suspended after a checkpoint, then services go to no replicas."""


ACTION_ORDER = tuple(BudgetAction)
"""The order that holds where a budget declares none: the least harm first."""


class Budget(ApiModel):
    """What the workloads that a policy selects may spend together in a period."""

    cel_rules: ClassVar = (
        Cel(
            "[has(self.costUSD), has(self.energyKWh), has(self.carbonKilograms)].filter(x, x).size() == 1",
            "exactly one of costUSD, energyKWh and carbonKilograms has to be set",
        ),
    )
    name: ObjectName
    """Names it in status, messages and metrics."""
    cost_usd: PositiveAmount | None = Field(default=None, alias="costUSD")
    """Most money for a period, in US dollars."""
    energy_kwh: PositiveAmount | None = Field(default=None, alias="energyKWh")
    """Most energy for a period, in kilowatt-hours, the site's overhead (PUE) included."""
    carbon_kilograms: PositiveAmount | None = None
    """Most carbon for a period, in kilograms of CO2 equivalent, embodied carbon included."""
    period: BudgetPeriod = BudgetPeriod.MONTH
    """Day, Week (from Monday), Month, or Total (the life of the policy). Periods begin at midnight of the time zone."""
    time_zone: TimeZone = "UTC"
    """Where midnight is, such as Europe/Madrid."""
    roll_over: Fraction = 0.0
    """Share of what a period leaves unused that is added to the next period; at most one period's limit."""
    actions: Annotated[
        tuple[BudgetAction, ...],
        Field(max_length=5),
        Cel(
            "self.all(a, self.filter(b, b == a).size() == 1)",
            "each action may stand in the order once",
        ),
    ] = ACTION_ORDER
    """What may be done, in this order, so that the budget holds. The next is taken only when those before are not
    enough. Without Suspend, what runs goes on when the budget is exhausted."""


class DeletedWorkload(StatusModel):
    """A workload that was deleted before all that it spent was metered."""

    name: Annotated[str, Field(max_length=320)]
    """`Kind/namespace/name`."""
    since: datetime
    """When it was seen to be gone."""


class BudgetStatus(StatusModel):
    """How a budget stands. Limit and spending are in its own unit: USD, kWh or kilograms."""

    name: Annotated[str, Field(max_length=63)]
    """Of the budget in spec."""
    period_start: datetime
    """When the period began."""
    period_end: datetime | None = None
    """When it ends; unset for a Total."""
    usage: Usage = Usage()
    """What was spent in this period by the budget's own account; it ends at `usage.accountedUntil`."""
    carried_over: Measured = 0.0
    """Unused part of the last period, in the budget's unit."""
    limit: Measured = 0.0
    """What may be spent in this period, with what was carried over."""
    spent: Measured = 0.0
    """What was metered, in the budget's unit."""
    spent_share: Measured = 0.0
    """Spent over limit."""
    forecast_spent: Measured | None = None
    """What will have been spent at the end of the period by the present plan; unset for a Total."""
    forecast_exhaustion: datetime | None = None
    """When the limit is reached by the present plan, if it is before the period ends."""
    action: Annotated[str, Field(max_length=32)] = ""
    """How far down its order of actions the budget is; empty while none is needed."""
    action_since: datetime | None = None
    """When this action was taken."""
    message: ShortText = ""
    """What is done about it and why, with the figures."""
    services_per_hour: Annotated[tuple[Measured, ...], Field(max_length=6)] = ()
    """Mean rate that services ask for, by the number of actions taken (none first), in the budget's unit an hour."""
    trainings_per_hour: Annotated[tuple[Measured, ...], Field(max_length=6)] = ()
    """The same for trainings."""
    demand_at: datetime | None = None
    """When these means were carried on last."""
    demand_since: datetime | None = None
    """From when on what was asked for is known."""
    demand_spread: Measured = 0.0
    """Standard deviation of the rate that is asked for without any action, in the budget's unit an hour."""
    members: Annotated[tuple[Annotated[str, Field(max_length=320)], ...], Field(max_length=1000)] = ()
    """Of a policy with a selector: the workloads that count and may run, as `Kind/namespace/name`. They count to their
    last second when they are deleted, and their labels with them."""
    deleted: Annotated[tuple[DeletedWorkload, ...], Field(max_length=1000)] = ()
    """Members that were deleted and are not metered to their end yet."""
