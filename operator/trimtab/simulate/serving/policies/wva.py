"""The queueing model of llm-d's workload-variant-autoscaler (WVA), and its choice of accelerator.

Source: llm-d-incubation/workload-variant-autoscaler, `pkg/analyzer` (queueanalyzer.go, mm1modelstatedependent.go),
`pkg/core/allocation.go` and `pkg/solver`; A. Tantawi et al. A replica is a queue M/M/1/K whose rate of service depends
on how many requests are served together: `n / (prefill(n) + tokens * decode(n))`, with `decode = alpha + beta n` and
`prefill = gamma + delta * prompt * n`, up to the largest batch N, and 10 N more may wait. The highest rate at which the
expected time to the first token is within the target is found by bisection; waiting is taken to be exponential, so that
its mean is multiplied by `-ln(1 - percentile)` (the code's SLOMargin). Replicas are the load over that rate, rounded
up; the accelerator is the one that costs least, a change being penalized by a tenth of both costs.

It looks every 60 s at the mean rate of the last minute, and is carried out by an HPA with default behavior (as its
documentation has it): up at once, down after 300 s. For a classic model, `n` requests served together take the measured
time of a batch of n.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from trimtab.simulate.inputs.profiles import BatchSpeed, ServingOption, TokenSpeed
from trimtab.simulate.serving.policies.hpa import Behavior
from trimtab.simulate.serving.policy import Desired, Observation
from trimtab.simulate.serving.requests import Requests

FloatArray = npt.NDArray[np.float64]

QUEUE_TO_BATCH = 10
CHANGE_PENALTY = 0.1
INTERVAL_SECONDS = 60.0
_BISECTIONS = 40


class StateQueue:
    """M/M/1/K with a service rate that depends on the number in service."""

    def __init__(self, service_seconds: FloatArray) -> None:
        """Prepare the queue.

        Args:
            service_seconds: Time of a request when 1, 2, ... are served together, up to the largest batch.
        """
        self.batch = len(service_seconds)
        together = np.arange(1, self.batch + 1)
        rates = together / service_seconds
        room = self.batch * (1 + QUEUE_TO_BATCH)
        self._log_rates = np.log(np.concatenate([rates, np.full(room - self.batch, rates[-1])]))
        self.most = float(rates[-1])
        """Rate beyond which the queue has no end but its room (requests a second)."""

    def solve(self, rate: float) -> tuple[float, float]:
        """Mean wait (seconds) and mean number in service, at an arrival rate."""
        steps = math.log(rate) - self._log_rates
        logs = np.concatenate([[0.0], np.cumsum(steps)])
        share = np.exp(logs - logs.max())
        share /= share.sum()
        count = np.arange(len(share))
        in_service = float((share * np.minimum(count, self.batch)).sum())
        passed = rate * (1.0 - share[-1])
        wait = max(float((share * count).sum()) - in_service, 0.0) / passed
        return wait, in_service


def highest_rate(
    option: ServingOption, prompt_tokens: float, output_tokens: float, target_seconds: float, quantile: float
) -> float:
    """The highest rate of a replica within the target; 0 when even an idle one is slower.

    Args:
        option: The way to serve.
        prompt_tokens: Mean of the requests.
        output_tokens: Mean of the requests.
        target_seconds: Time to first token (classic models: latency).
        quantile: Share of requests that are to be faster.
    """
    margin = -math.log(1.0 - quantile)
    speed = option.speed
    if isinstance(speed, TokenSpeed):
        gamma, delta, alpha, beta = parameters(speed)
        together = np.arange(1, speed.max_batch + 1, dtype=np.float64)
        queue = StateQueue(
            gamma + delta * prompt_tokens * together + max(output_tokens - 1.0, 0.0) * (alpha + beta * together)
        )

        def latency(rate: float) -> float:
            wait, in_service = queue.solve(rate)
            return wait * margin + gamma + delta * prompt_tokens * max(in_service, 1.0)
    else:
        assert isinstance(speed, BatchSpeed)
        times = np.array(speed.table()[1:])
        queue = StateQueue(times / speed.instances)

        def latency(rate: float) -> float:
            wait, in_service = queue.solve(rate)
            executing = float(np.interp(max(in_service, 1.0), np.arange(1, len(times) + 1), times))
            return wait * margin + executing + speed.overhead_seconds

    low, high = 1e-3 * queue.most, 0.999 * queue.most
    if latency(low) > target_seconds:
        return 0.0
    if latency(high) <= target_seconds:
        return high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if latency(middle) <= target_seconds else (low, middle)
    return low


def parameters(speed: TokenSpeed) -> tuple[float, float, float, float]:
    """Its gamma, delta, alpha and beta, fitted to a profile by least squares (seconds)."""
    delta, gamma = (
        np.polyfit(speed.prompt_tokens, speed.prefill_seconds, 1)
        if len(speed.prompt_tokens) > 1
        else (
            speed.prefill_seconds[0] / speed.prompt_tokens[0],
            0.0,
        )
    )
    if len(speed.decode_batches) > 1:
        beta, alpha = np.polyfit(speed.decode_batches, speed.token_seconds, 1)
    else:
        beta, alpha = 0.0, speed.token_seconds[0]
    return max(float(gamma), 0.0), float(delta), float(alpha), max(float(beta), 0.0)


class Wva:
    """Chooses option and count by that model, each minute."""

    interval_seconds = INTERVAL_SECONDS

    def __init__(
        self,
        options: Sequence[ServingOption],
        candidates: Sequence[int],
        target_seconds: float,
        quantile: float,
        first: Requests,
        first_rate: float,
        headroom: float = 1.0,
    ) -> None:
        """Prepare the policy.

        Args:
            options: The ways to serve.
            candidates: Those that may be used.
            target_seconds: Of latency.
            quantile: Share of requests that are to be faster.
            first: Requests whose lengths are known when the run begins.
            first_rate: Requests a second that the fleet is to begin with.
            headroom: Factor on the model's highest rate.
        """
        self._options = options
        self._candidates = candidates
        self._target = (target_seconds, quantile)
        self._headroom = headroom
        self._option = -1
        self._option, self._replicas = self._choose(first, first_rate)
        self._behavior = Behavior(self._replicas)

    def start(self) -> Desired:
        """The fleet for the first rate."""
        return {self._option: self._replicas}

    def decide(self, seen: Observation) -> Desired:
        """The fleet for the rate of the last minute."""
        option, count = self._choose(seen.recent, seen.recent_rate(INTERVAL_SECONDS))
        if option != self._option:
            self._option, self._replicas, self._behavior = option, count, Behavior(count)
        else:
            self._replicas = self._behavior.limit(seen.now_seconds, seen.replicas(option), count)
        return {self._option: self._replicas}

    def _choose(self, requests: Requests, rate: float) -> tuple[int, int]:
        means = float(requests.prompt_tokens.mean()), float(requests.output_tokens.mean())
        rates: Mapping[int, float] = {
            index: highest_rate(self._options[index], *means, *self._target) * self._headroom
            for index in self._candidates
        }
        counts = {index: max(math.ceil(rate / most - 1e-9), 1) for index, most in rates.items() if most > 0.0}
        if not counts:
            # Out of reach for all: as many as there are, of the one with the most throughput for its price.
            return (self._option, self._replicas) if self._option >= 0 else (min(self._candidates), 1)

        def value(index: int) -> float:
            usd = counts[index] * self._options[index].usd_per_hour
            if self._option < 0 or index == self._option or self._option not in counts:
                return usd
            return usd + CHANGE_PENALTY * (usd + counts[self._option] * self._options[self._option].usd_per_hour)

        chosen = min(counts, key=lambda index: (value(index), index))
        return chosen, counts[chosen]
