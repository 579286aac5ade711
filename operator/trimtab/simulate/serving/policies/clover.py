"""Clover: a mix of variants on a fixed set of accelerators, by an objective of carbon and accuracy.

Source: B. Li, S. Samsi, V. Gadepally, D. Tiwari, "Clover: Toward Sustainable AI with Carbon-Aware Machine Learning
Inference Service", SC 2023, and its published code (`system/clover.py`, `system/system_utils.py`).

- The objective is `lambda * (C_base - C) / C_base - (1 - lambda) * (A_base - A) / A_base`: carbon of a request and mean
  accuracy, against the most accurate variant on all accelerators at a carbon intensity of 250 g/kWh; lambda is 0.5.
- A configuration says how many replicas of each variant there are; all accelerators are used. Neighbours are at most 4
  apart (sum of differences). Simulated annealing: temperature from 100 down by 5 to 10, K = 1e-4; a configuration
  beyond the latency target has its score cut by the ratio; it ends after 5 evaluations without an improvement, or 20.
- It optimizes anew when carbon intensity has changed by more than 5 % of its base since it did so last.

The paper evaluates each configuration on the live service; here it is evaluated in the simulator, beside the service,
by a load test at the peak rate (which only helps it). The accelerators are as many as the fixed best variant needs at
peak (`fixed_peak`). Profiles have no MIG partitions: a replica has the accelerators that its profile says, and a mix of
them is what the partitions are in the paper.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trimtab.simulate.inputs.profiles import ServingOption
from trimtab.simulate.serving.policy import Desired, Observation

BASE_GRAMS_PER_KWH = 250.0
LAMBDA = 0.5
NEIGHBOUR_DISTANCE = 4
NEIGHBOUR_TRIES = 400
FIRST_TEMPERATURE, TEMPERATURE_STEP, LAST_TEMPERATURE = 100.0, 5.0, 10.0
K = 1e-4
MOST_EVALUATIONS = 20
MOST_WITHOUT_IMPROVEMENT = 5
INTENSITY_CHANGE = 0.05

Mix = tuple[int, ...]
"""Replicas by place in the list of candidates."""


@dataclass(frozen=True)
class Evaluation:
    """What a configuration does under load."""

    joules_per_request: float
    accuracy: float
    latency_seconds: float
    """At the target's quantile."""


class Clover:
    """Chooses a mix by simulated annealing, each time that carbon intensity has changed."""

    def __init__(
        self,
        options: tuple[ServingOption, ...],
        candidates: list[int],
        base: tuple[int, int],
        slo_seconds: float,
        evaluate: Callable[[Desired], Evaluation],
        interval_seconds: float,
        grams_per_kwh: float,
        seed: int,
    ) -> None:
        """Prepare the policy.

        Args:
            options: The ways to serve.
            candidates: Those that may be used.
            base: Option and count of the fixed best variant at peak.
            slo_seconds: Target of latency.
            evaluate: Load test of a fleet.
            interval_seconds: How often it looks at carbon intensity.
            grams_per_kwh: Carbon intensity when the run begins; 0 stands for the base's.
            seed: Of the annealing.
        """
        self.interval_seconds = interval_seconds
        hardware = options[base[0]].hardware
        self._options = options
        self._usable = [index for index in candidates if options[index].hardware == hardware]
        self._units = base[1] * options[base[0]].units
        self._slo = slo_seconds
        self._evaluate = evaluate
        self._known: dict[Mix, Evaluation] = {}
        self._rng = np.random.default_rng(seed)
        first = tuple(base[1] if index == base[0] else 0 for index in self._usable)
        self._base = self._of(first)
        self._mix = first
        self._intensity = grams_per_kwh or BASE_GRAMS_PER_KWH
        self._optimize()

    def start(self) -> Desired:
        """The mix for the first intensity."""
        return self._fleet(self._mix)

    def decide(self, seen: Observation) -> Desired:
        """The mix; a new one when carbon intensity has changed."""
        intensity = seen.grams_per_kwh or BASE_GRAMS_PER_KWH
        if abs(intensity - self._intensity) > INTENSITY_CHANGE * BASE_GRAMS_PER_KWH:
            self._intensity = intensity
            self._optimize()
        return self._fleet(self._mix)

    def _fleet(self, mix: Mix) -> dict[int, int]:
        return {index: count for index, count in zip(self._usable, mix, strict=True) if count}

    def _of(self, mix: Mix) -> Evaluation:
        if mix not in self._known:
            self._known[mix] = self._evaluate(self._fleet(mix))
        return self._known[mix]

    def score(self, evaluation: Evaluation) -> float:
        """The objective at the present carbon intensity."""
        base_carbon = self._base.joules_per_request * BASE_GRAMS_PER_KWH
        carbon = evaluation.joules_per_request * self._intensity
        saved = (base_carbon - carbon) / base_carbon
        lost = (self._base.accuracy - evaluation.accuracy) / self._base.accuracy
        return LAMBDA * saved - (1.0 - LAMBDA) * lost

    def _optimize(self) -> None:
        center, center_score = self._mix, -math.inf
        mix: Mix | None = self._mix
        best, best_score = self._mix, -math.inf
        temperature, fruitless = FIRST_TEMPERATURE, 0
        tried: set[Mix] = set()
        while mix is not None and len(tried) < MOST_EVALUATIONS and fruitless < MOST_WITHOUT_IMPROVEMENT:
            tried.add(mix)
            evaluation = self._of(mix)
            score = self.score(evaluation)
            within = evaluation.latency_seconds <= self._slo
            annealed = score if within else score * self._slo / evaluation.latency_seconds
            worse = center_score - annealed
            if worse <= 0 or self._rng.random() <= math.exp(-worse / (K * temperature)):
                center, center_score = mix, annealed
            temperature = max(temperature - TEMPERATURE_STEP, LAST_TEMPERATURE)
            if within and score > best_score:
                best, best_score, fruitless = mix, score, 0
            else:
                fruitless += 1
            mix = self._neighbour(center, tried)
        self._mix = best

    def _neighbour(self, center: Mix, tried: set[Mix]) -> Mix | None:
        for _ in range(NEIGHBOUR_TRIES):
            mix = self._random(center)
            distance = sum(abs(a - b) for a, b in zip(mix, center, strict=True))
            if mix not in tried and 0 < distance <= NEIGHBOUR_DISTANCE:
                return mix
        return None

    def _random(self, center: Mix) -> Mix:
        """Some replicas of the centre given up, their accelerators filled anew: a random neighbour in most cases.

        (The code draws from all configurations and keeps the neighbours, which for more than a few accelerators finds
        none.)
        """
        counts = list(center)
        for _ in range(int(self._rng.integers(1, NEIGHBOUR_DISTANCE))):
            held = [place for place, count in enumerate(counts) if count]
            if held:
                counts[int(self._rng.choice(held))] -= 1
        free = self._units - sum(c * self._options[i].units for c, i in zip(counts, self._usable, strict=True))
        while True:
            fitting = [place for place, index in enumerate(self._usable) if self._options[index].units <= free + 1e-9]
            if not fitting:
                return tuple(counts)
            place = int(self._rng.choice(fitting))
            counts[place] += 1
            free -= self._options[self._usable[place]].units
