"""The requests of a run as the engine works through them, and what is known of their shape."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.simulate.inputs.arrivals import Arrivals
from trimtab.simulate.inputs.profiles import ServingOption, TokenSpeed

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NOMINAL_PROMPT_TOKENS = 512
NOMINAL_OUTPUT_TOKENS = 128
"""Length of a request to a language model where the trace does not say: those of Splitwise's measurements."""


@dataclass(frozen=True)
class Requests:
    """Requests in order of arrival."""

    seconds: FloatArray
    prompt_tokens: IntArray
    output_tokens: IntArray

    def __len__(self) -> int:
        return len(self.seconds)

    @classmethod
    def of(cls, arrivals: Arrivals) -> "Requests":
        """The requests of a trace; without tokens, nominal ones stand in."""
        count = len(arrivals)
        prompt = arrivals.prompt_tokens
        output = arrivals.output_tokens
        if prompt is None:
            prompt = np.full(count, NOMINAL_PROMPT_TOKENS, dtype=np.int64)
        if output is None:
            output = np.full(count, NOMINAL_OUTPUT_TOKENS, dtype=np.int64)
        return cls(arrivals.seconds, prompt, output)

    def until(self, end_seconds: float) -> "Requests":
        """Those that arrive before a time."""
        n = int(np.searchsorted(self.seconds, end_seconds))
        return Requests(self.seconds[:n], self.prompt_tokens[:n], self.output_tokens[:n])

    def poisson(self, requests_per_second: float, seconds: float, seed: int) -> "Requests":
        """A load test: Poisson arrivals at a rate, of requests drawn from these."""
        rng = np.random.default_rng(seed)
        count = max(int(rng.poisson(requests_per_second * seconds)), 1)
        rows = rng.integers(0, len(self), count)
        times = np.sort(rng.uniform(0.0, seconds, count))
        return Requests(times, self.prompt_tokens[rows], self.output_tokens[rows])


def service_seconds(option: ServingOption, requests: Requests) -> FloatArray:
    """What the engine needs of each request on an option: prefill time, or nothing for a classic server."""
    if isinstance(option.speed, TokenSpeed):
        return option.speed.prefill(requests.prompt_tokens)
    return np.zeros(len(requests))


def idle_latency_seconds(option: ServingOption, requests: Requests, quantile: float) -> float:
    """The quantile of the latency that these requests have on an idle replica."""
    if isinstance(option.speed, TokenSpeed):
        return float(np.quantile(option.speed.prefill(requests.prompt_tokens), quantile))
    return option.speed.table()[1] + option.speed.overhead_seconds
