"""trimtab itself: `trimtab.plan.fleet.control`, the function that the operator calls in each pass of its loop.

This module only says to it what can be observed, and carries out what it decides. Nothing is known of the future; the
lengths of requests are those of the last ten thousand.
"""

import math
from dataclasses import replace

import numpy as np

from trimtab.plan.fleet.control import control
from trimtab.plan.fleet.problem import Decision, Fleet, Load, Option, Pool, Running, Settings, Target, Workload
from trimtab.plan.fleet.profiles import BatchProfile, Profile, TokenProfile
from trimtab.simulate.inputs.profiles import BatchSpeed, ServingOption
from trimtab.simulate.serving.engine import Setting
from trimtab.simulate.serving.policy import Desired, Observation
from trimtab.simulate.serving.requests import Requests

_MOST_REPLICAS = 1000
_NORMAL_P99 = 2.3263478740408408

SETTINGS = Settings(
    pooled=True,
    max_replicas=_MOST_REPLICAS,
    latency_margin=1.0,
    confidence=0.5,
    scale_down_stabilization_seconds=180.0,
    load_window_seconds=60.0,
    drain_seconds=90.0,
)


class Trimtab:
    """Asks the planner in each control interval."""

    def __init__(
        self,
        options: tuple[ServingOption, ...],
        candidates: list[int],
        setting: Setting,
        first: Requests,
        settings: Settings = SETTINGS,
        usd_per_gram: float = 0.0,
    ) -> None:
        """Prepare the policy.

        Args:
            options: The ways to serve.
            candidates: Those that may be used.
            setting: Target and control interval.
            first: Requests whose lengths are known when the run begins.
            settings: Of the planner.
            usd_per_gram: Price of carbon.
        """
        self.interval_seconds = setting.interval_seconds
        self._options = options
        self._candidates = candidates
        self._setting = setting
        self._first = first
        self._settings = _with(settings, setting, usd_per_gram)
        self._running = Running()
        self._wanted: int | None = None
        self.decisions: list[Decision] = []

    def start(self) -> Desired:
        """What the planner asks for when nothing runs yet, at the mean rate of before."""
        load = Load((float(np.mean(self._setting.before)),), self.interval_seconds)
        return self._ask(0.0, load, Running(), self._first, self._setting.intensity(0.0))

    def decide(self, seen: Observation) -> Desired:
        """What the planner asks for."""
        running = self._running
        assert self._wanted is not None
        state = seen.options[self._wanted]
        loaded = tuple({self._options[i].variant for i, other in enumerate(seen.options) if other.ready})
        now_running = Running(
            variant=running.variant,
            pool=running.pool,
            replicas=running.replicas,
            ready=state.ready,
            settled=state.ready >= running.replicas,
            loaded=loaded,
            changed_seconds=running.changed_seconds,
            low_since_seconds=running.low_since_seconds,
        )
        latency = seen.latency_seconds
        load = Load(
            tuple(seen.rates.tolist()),
            seen.interval_seconds,
            pending_requests=float(seen.waiting),
            breached=latency is not None and latency > self._setting.slo_seconds and seen.waiting > 0,
            latency_seconds=latency,
        )
        return self._ask(seen.now_seconds, load, now_running, seen.recent, seen.grams_per_kwh)

    def _ask(self, now: float, load: Load, running: Running, recent: Requests, grams_per_kwh: float) -> Desired:
        options = [self._options[index] for index in self._candidates]
        planned = tuple(_option(option, recent, self._setting.quantile) for option in options)
        pools = tuple(Pool(name, grams_per_kwh=grams_per_kwh) for name in dict.fromkeys(o.hardware for o in options))
        target = Target(self._setting.slo_seconds, self._setting.quantile, label=f"p{self._setting.quantile * 100:g}")
        workload = Workload("served", planned, target, load, self._settings, running=running)
        decision = control(Fleet(now, pools, (workload,)))[0]
        self.decisions.append(decision)
        if not decision.placements:
            # Nothing can serve: hold what runs.
            return {} if self._wanted is None else {self._wanted: running.replicas}
        placement = decision.placements[0]
        self._wanted = next(
            index
            for index in self._candidates
            if (self._options[index].variant, self._options[index].hardware) == (decision.variant, placement.pool)
        )
        changed = (decision.variant, placement.pool) != (running.variant, running.pool) and running.variant != ""
        self._running = Running(
            variant=decision.variant,
            pool=placement.pool,
            replicas=placement.replicas,
            changed_seconds=now if changed else running.changed_seconds,
            low_since_seconds=decision.low_since_seconds,
        )
        return {self._wanted: placement.replicas}


def _with(settings: Settings, setting: Setting, usd_per_gram: float) -> Settings:
    return replace(settings, interval_seconds=setting.interval_seconds, usd_per_gram=usd_per_gram)


def _option(option: ServingOption, recent: Requests, quantile: float) -> Option:
    return Option(
        variant=option.variant,
        pool=option.hardware,
        accuracy=option.accuracy,
        profile=profile_of(option, recent, quantile),
        usd_per_hour=option.usd_per_hour,
        idle_watts=option.idle_watts,
        peak_watts=(option.busy_watts + option.decode_watts) / 2.0,
        units=option.units,
        start_seconds=option.start_seconds,
    )


def profile_of(option: ServingOption, recent: Requests, quantile: float) -> Profile:
    """An option's speed in the planner's terms, for requests such as these."""
    speed = option.speed
    if isinstance(speed, BatchSpeed):
        sigma = math.sqrt(math.log1p(speed.variability))
        tail = math.exp(_NORMAL_P99 * sigma - sigma**2 / 2.0)
        return BatchProfile(
            batches=speed.batches,
            seconds=speed.seconds,
            max_batch=speed.max_batch,
            queue_delay_seconds=speed.queue_delay_seconds + speed.overhead_seconds,
            instances=speed.instances,
            variability=speed.variability,
            tail_ratio=max(tail, 1.0),
        )
    prefill = speed.prefill(recent.prompt_tokens)
    mean = float(prefill.mean())
    return TokenProfile(
        prefill_seconds=mean,
        prefill_tail_seconds=float(np.quantile(prefill, quantile)),
        prefill_variability=float(prefill.var()) / mean**2,
        decode_batches=speed.decode_batches,
        token_seconds=speed.token_seconds,
        tokens_per_request=float(recent.output_tokens.mean()),
        max_batch=speed.max_batch,
    )
