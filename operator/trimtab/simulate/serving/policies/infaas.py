"""INFaaS: the cheapest variant that fits, scaled by the load against its profiled throughput.

Source: F. Romero, Q. Li, N. J. Yadwadkar, C. Kozyrakis, "INFaaS: Automated Model-less Inference Serving", USENIX ATC
2021, and its published code (`src/worker/autoscaler.cc`).

- A variant fits when it reaches the accuracy and its latency on an idle replica reaches the target.
- Scaling up: when the load comes within a slack of 5 % of what the running replicas carry, replicas are added; the
  paper's model-autoscaler weighs replicating the running variant against changing to another one and takes what costs
  least for the load. Here every fitting variant is weighed so.
- Scaling down: when one replica less would carry the load at 20 checks, a second apart, in a row (the code's delay for
  GPUs).
"""

import math
from collections.abc import Mapping, Sequence

from trimtab.simulate.serving.policy import Desired, Observation

SLACK = 0.05
DOWN_AFTER_SECONDS = 20.0
CHECK_SECONDS = 5.0
"""How often it checks; the code does each second, which decides the same here, as rates are taken over 10 s."""


class Infaas:
    """Scales, and changes variants, by profiled throughput."""

    interval_seconds = CHECK_SECONDS

    def __init__(
        self, throughput: Mapping[int, float], usd_per_hour: Sequence[float], first_rate: float, window_seconds: float
    ) -> None:
        """Prepare the policy.

        Args:
            throughput: Requests a second that a replica carries, for each option that fits.
            usd_per_hour: Price of a replica of each option.
            first_rate: Requests a second that the fleet is to begin with.
            window_seconds: Over which the rate of requests is taken.
        """
        self._throughput = throughput
        self._usd = usd_per_hour
        self._window = window_seconds
        self._option, self._replicas = self._cheapest(first_rate)
        self._low_since: float | None = None

    def start(self) -> Desired:
        """The cheapest fleet for the first rate."""
        return {self._option: self._replicas}

    def decide(self, seen: Observation) -> Desired:
        """The fleet for the present rate."""
        rate = seen.recent_rate(self._window)
        if rate > self._carried(self._replicas) * (1.0 - SLACK):
            option, replicas = self._cheapest(rate)
            own = self._count(self._option, rate)
            if replicas * self._usd[option] < own * self._usd[self._option]:
                self._option, self._replicas = option, replicas
            else:
                self._replicas = max(own, self._replicas)
            self._low_since = None
        elif self._replicas > 1 and rate <= self._carried(self._replicas - 1) * (1.0 - SLACK):
            since = seen.now_seconds if self._low_since is None else self._low_since
            self._low_since = since
            if seen.now_seconds - since >= DOWN_AFTER_SECONDS:
                self._replicas -= 1
                self._low_since = None
        else:
            self._low_since = None
        return {self._option: self._replicas}

    def _carried(self, replicas: int) -> float:
        return replicas * self._throughput[self._option]

    def _count(self, option: int, rate: float) -> int:
        return max(math.ceil(rate / (self._throughput[option] * (1.0 - SLACK)) - 1e-9), 1)

    def _cheapest(self, rate: float) -> tuple[int, int]:
        counts = {option: self._count(option, rate) for option in self._throughput}
        option = min(counts, key=lambda index: (counts[index] * self._usd[index], index))
        return option, counts[option]
