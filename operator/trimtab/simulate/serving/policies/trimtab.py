"""trimtab itself: `trimtab.plan.fleet.control`, the function that the operator calls in each pass of its loop.

This module only says to it what can be observed, and carries out what it decides. Nothing is known of the future; the
lengths of requests are those of the last ten thousand.
"""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from trimtab.plan.fleet.control import control
from trimtab.plan.fleet.problem import Decision, Fleet, Load, Option, Pool, Running, Settings, Target, Workload
from trimtab.plan.fleet.profiles import BatchProfile, Profile, TokenProfile
from trimtab.simulate.inputs.profiles import BatchSpeed, ServingOption
from trimtab.simulate.serving.engine import Setting
from trimtab.simulate.serving.policy import Desired, Observation
from trimtab.simulate.serving.requests import Requests

FloatArray = npt.NDArray[np.float64]

_MOST_REPLICAS = 1000
_ORDINARY_OCCUPANCY = 0.9
"""Share of its slots up to which a replica is in ordinary work."""
_LENGTH_SECONDS = 180.0
"""The mean length of requests is that of so long; its spread, of all that are known."""
_NORMAL_P99 = 2.3263478740408408

SETTINGS = Settings(
    pooled=True,
    max_replicas=_MOST_REPLICAS,
    latency_margin=1.0,
    confidence=0.6,
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
        """What the planner asks for when nothing runs yet, for what is known of before."""
        load = Load(tuple(self._setting.before.tolist()), self.interval_seconds)
        return self._ask(0.0, load, Running(), self._first, len(self._first), self._setting.intensity(0.0))

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
            low_most=running.low_most,
        )
        latency = seen.latency_seconds
        load = Load(
            tuple(self._alike(seen).tolist()),
            seen.interval_seconds,
            pending_requests=self._backlog(seen),
            breached=latency is not None and latency > self._setting.slo_seconds and seen.waiting > 0,
            latency_seconds=latency,
            late_share=seen.late_share,
        )
        count = seen.recent_count(_LENGTH_SECONDS)
        return self._ask(seen.now_seconds, load, now_running, seen.recent, count, seen.grams_per_kwh)

    def _backlog(self, seen: Observation) -> float:
        """Requests that are more than the ready replicas hold in ordinary work: those that wait, and full slots.

        A language model's slots fill up before anything waits; what fills them has to be worked off too.
        """
        held = 0.0
        for state, option in zip(seen.options, self._options, strict=True):
            if not isinstance(option.speed, BatchSpeed):
                held += state.ready * option.speed.max_batch * _ORDINARY_OCCUPANCY
        return max(float(seen.waiting), seen.concurrency - held) if held else float(seen.waiting)

    def _alike(self, seen: Observation) -> FloatArray:
        """Past rates in requests of the present length: one that takes twice as long counts as two.

        Rate and length of requests change against each other, so that the work they make is steadier than either.
        """
        assert self._wanted is not None
        speed = self._options[self._wanted].speed
        if isinstance(speed, BatchSpeed):
            return seen.rates
        prompts, outputs = seen.lengths
        step = speed.table()[-1] / speed.max_batch
        work = speed.prefill(prompts.astype(np.int64)) + np.maximum(outputs - 1.0, 0.0) * step
        now = seen.recent_count(_LENGTH_SECONDS)
        present = float(
            np.mean(speed.prefill(seen.recent.prompt_tokens[-now:]))
            + np.mean(np.maximum(seen.recent.output_tokens[-now:] - 1.0, 0.0)) * step
        )
        alike: FloatArray = seen.rates * work / present
        return alike

    def _ask(self, now: float, load: Load, running: Running, recent: Requests, count: int, grams: float) -> Desired:
        options = [self._options[index] for index in self._candidates]
        planned = tuple(_option(option, recent, count, self._setting.quantile) for option in options)
        pools = tuple(Pool(name, grams_per_kwh=grams) for name in dict.fromkeys(o.hardware for o in options))
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
            low_most=decision.low_most,
        )
        return {self._wanted: placement.replicas}


def _with(settings: Settings, setting: Setting, usd_per_gram: float) -> Settings:
    return replace(settings, interval_seconds=setting.interval_seconds, usd_per_gram=usd_per_gram)


def _option(option: ServingOption, recent: Requests, count: int, quantile: float) -> Option:
    return Option(
        variant=option.variant,
        pool=option.hardware,
        accuracy=option.accuracy,
        profile=profile_of(option, recent, count, quantile),
        usd_per_hour=option.usd_per_hour,
        idle_watts=option.idle_watts,
        peak_watts=(option.busy_watts + option.decode_watts) / 2.0,
        units=option.units,
        start_seconds=option.start_seconds,
    )


def profile_of(option: ServingOption, recent: Requests, count: int, quantile: float) -> Profile:
    """An option's speed in the planner's terms, for requests such as these.

    Args:
        option: The way to serve.
        recent: Requests; their spread is that of all of them.
        count: So many of the last have the mean length that is taken.
        quantile: Of the target.
    """
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
    mean, present = float(prefill.mean()), float(prefill[-count:].mean())
    return TokenProfile(
        prefill_seconds=present,
        prefill_tail_seconds=float(np.quantile(prefill, quantile)),
        prefill_variability=float(prefill.var()) / mean**2,
        decode_batches=speed.decode_batches,
        token_seconds=speed.token_seconds,
        tokens_per_request=float(recent.output_tokens[-count:].mean()),
        max_batch=speed.max_batch,
    )
