"""How long a training workload may take: its deadline, the delay that carbon may cost it, and its carbon ceiling."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trimtab.api.budget import BudgetAction
from trimtab.api.common import Reason
from trimtab.plan.intensity import intensity_at, mean_intensity
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.snapshot import IntensityPoint, TrainingState
from trimtab.plan.training.options import SUSPEND_RESUME_SECONDS, TrainingOption, remaining_samples

_PROMPT_USD_PER_HOUR = 1e-3
"""Worth of being done earlier where nothing may be gained by waiting: more than nothing, less than any price."""
_WORTH_WAITING = 0.95
"""A time that is not cleaner than this part of the present is not waited for: forecasts are not that good."""
MARGIN = 0.05
"""Part of the running time that is left free before a deadline: speeds are measured, not known."""


@dataclass(frozen=True)
class Hold:
    """Something that keeps a training from running, or that overrules what would."""

    run: bool
    reason: Reason


@dataclass(frozen=True)
class Slack:
    """Time that the scheduler may use."""

    deadline_hours: float
    """From now; infinite when only a ceiling of carbon intensity keeps it waiting."""
    delay_usd_per_hour: float
    """Worth of being done earlier; 0 when it may be shifted for the sake of cost and carbon."""
    may_shift: bool
    """Whether a policy lets carbon or cost decide when it runs."""

    def patient(self, deadline_hours: float) -> "Slack":
        """Until a later deadline for the sake of a budget, but no later than that needs."""
        return Slack(max(self.deadline_hours, deadline_hours), max(self.delay_usd_per_hour, _PROMPT_USD_PER_HOUR), True)

    def prompt(self) -> "Slack":
        """The same time, but waiting is only for who needs the room more."""
        return replace(self, delay_usd_per_hour=_PROMPT_USD_PER_HOUR)


def waited(state: TrainingState, now: datetime) -> timedelta:
    """Time since creation without pods running."""
    since = state.status.running_since
    ran = timedelta(seconds=state.status.running_seconds) + (now - since if since else timedelta(0))
    return max(timedelta(0), now - state.meta.created_at - ran)


def needed_time(state: TrainingState, option: TrainingOption) -> timedelta | None:
    """Time that the work left takes from a cold start, or None while speed or work is unknown."""
    left = remaining_samples(state)
    if left is None or not option.speed_known or option.samples_per_second <= 0:
        return None
    return timedelta(seconds=left / option.samples_per_second + SUSPEND_RESUME_SECONDS)


def worth_waiting(points: tuple[IntensityPoint, ...], now: datetime, need: timedelta, until: datetime) -> bool:
    """Whether the cleanest time before `until` emits so much less than the present that a person would wait for it.

    Args:
        points: Intensity of the grid, forecast included.
        now: The present.
        need: Running time.
        until: When the work has to be done.
    """
    present = mean_intensity(points, now, now + need)
    if not present:
        return False
    starts = [now, *(p.start for p in points if now < p.start < until)]
    slots = sorted((intensity_at(points, a) or 0.0, b - a) for a, b in zip(starts, [*starts[1:], until], strict=True))
    left, weighed = need, 0.0
    for grams, length in slots:
        taken = min(left, length)
        weighed += grams * taken.total_seconds()
        left -= taken
    cleanest = weighed / max((need - left).total_seconds(), 1e-9)
    return cleanest < _WORTH_WAITING * present


def at_once_slack(at_once_hours: float) -> Slack:
    """No time but what running from now on takes."""
    return Slack(at_once_hours * (1 + 1e-6), _PROMPT_USD_PER_HOUR, may_shift=False)


def latest_hours(state: TrainingState, policy: EffectivePolicy, at_once_hours: float, now: datetime) -> float:
    """Hours from now until which it may take at most: its deadline, and the delay that is allowed; infinite without.

    Args:
        state: The workload.
        policy: What holds for it.
        at_once_hours: Running time from now on, start included.
        now: The instant of the decision.
    """
    complete_within, delay, latest = state.spec.targets.complete_within, policy.allowed_delay, math.inf
    if complete_within is not None:
        left = (state.meta.created_at + complete_within - now).total_seconds() / 3600.0
        latest = left - MARGIN * at_once_hours
    if delay is not None:
        allowed = max(0.0, (delay - waited(state, now)).total_seconds() / 3600.0)
        latest = min(latest, at_once_hours + allowed)
    return latest


def slack(
    state: TrainingState,
    policy: EffectivePolicy,
    at_once_hours: float,
    usd_per_hour: float,
    hold: Hold | None,
    now: datetime,
) -> Slack:
    """Work out the time that the scheduler may use.

    Without a policy that prices carbon, allows a delay or sets a ceiling, a workload runs at once: its deadline is when
    it is done by running from now on. A deadline of its own then only says whether that is early enough.

    Args:
        state: The workload.
        policy: What holds for it.
        at_once_hours: Running time from now on, start included, on the class that is cheapest for it.
        usd_per_hour: What it costs there.
        hold: A carbon ceiling that is overruled now, if one is.
        now: The instant of the decision.
    """
    complete_within, delay = state.spec.targets.complete_within, policy.allowed_delay
    at_once = at_once_slack(at_once_hours)
    if hold is not None and hold.run:
        return at_once
    deadline = latest_hours(state, policy, at_once_hours, now)
    later = policy.saves(BudgetAction.LATER_SLOTS)
    if later and not math.isfinite(deadline) and policy.shift_until is not None:
        deadline = (policy.shift_until - now).total_seconds() / 3600.0
    deadline = max(at_once.deadline_hours, deadline)
    if policy.max_intensity_grams_per_kwh is not None:
        # The policy says what is clean enough: at or below that, an hour earlier is worth an hour's price.
        return Slack(deadline, max(_PROMPT_USD_PER_HOUR, usd_per_hour), may_shift=True)
    if later or delay is not None or (policy.carbon_price_usd_per_gram > 0.0 and complete_within is not None):
        return Slack(deadline, 0.0, may_shift=True)
    return at_once


def carbon_hold(
    state: TrainingState,
    option: TrainingOption,
    policy: EffectivePolicy,
    points: tuple[IntensityPoint, ...],
    now: datetime,
) -> Hold | None:
    """Whether the grid is above the policy's ceiling now, unless the delay or the deadline leaves no choice."""
    ceiling = policy.max_intensity_grams_per_kwh
    if ceiling is None:
        return None
    intensity = intensity_at(points, now)
    zone = option.hardware.spec.grid_zone
    if intensity is None:
        running = state.job is not None and not state.job.suspended
        text = f"carbon intensity of {zone} is unknown: keeps {'running' if running else 'waiting'} as it is"
        return Hold(running, Reason(code="CarbonUnknown", message=text))
    if intensity <= ceiling:
        return None
    deadline, need = state.spec.targets.complete_within, needed_time(state, option)
    if deadline is not None and need is not None and now + need >= state.meta.created_at + deadline:
        text = f"runs although {zone} is at {intensity:.0f} g/kWh: the deadline leaves no more time to wait"
        return Hold(True, Reason(code="DeadlineNear", message=text))
    delay = policy.allowed_delay
    if delay is not None and waited(state, now) >= delay:
        text = f"runs although {zone} is at {intensity:.0f} g/kWh: the allowed delay of {delay} is used up"
        return Hold(True, Reason(code="DelayExhausted", message=text))
    cleaner = next((p for p in points if p.start > now and p.grams_per_kwh <= ceiling), None)
    when = f"; the forecast falls to {cleaner.grams_per_kwh:.0f} in {span(cleaner.start - now)}" if cleaner else ""
    source = ", ".join(policy.names)
    return Hold(
        False,
        Reason(
            code="CarbonAboveCeiling",
            message=f"{zone} is at {intensity:.0f} gCO2e/kWh, above the ceiling of {ceiling} (policy {source}){when}",
            alternative=f"running now costs {option.rate.carbon_grams_per_hour:.3g} gCO2e/h and "
            f"{option.rate.cost_usd_per_hour:.3g} USD/h on {option.name}",
        ),
    )


def span(value: timedelta) -> str:
    """A length of time for a person."""
    seconds = int(value.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
