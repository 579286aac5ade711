"""What can be known of the lengths of requests while they are served: outputs only when they have ended."""

import numpy as np
import numpy.typing as npt

from trimtab.simulate.serving.requests import Requests

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

RECENT_REQUESTS = 10_000
_COMPLETE = 0.98
"""Share of an interval's requests that must have ended for their mean to be taken: the short ones end first."""
_LAST_INTERVALS = 12
"""Where an interval is not complete, so many complete ones before it stand in."""


class LengthWatch:
    """Lengths of the requests of a run, as far as they are known."""

    def __init__(self, requests: Requests, bins: IntArray, intervals: int, before: Requests) -> None:
        """Prepare the watch.

        Args:
            requests: Of the run.
            bins: The control interval in which each arrives.
            intervals: How many there are.
            before: Requests that ended before the run.
        """
        self._bins: list[int] = bins.tolist()
        self._outputs: list[int] = requests.output_tokens.tolist()
        self._known = [0] * intervals
        self._sum = [0] * intervals
        self._arrived = np.bincount(bins, minlength=intervals)
        prompts = np.bincount(bins, requests.prompt_tokens, minlength=intervals)
        self._before = (float(before.prompt_tokens.mean()), float(before.output_tokens.mean()))
        self._prompt_means = np.where(self._arrived > 0, prompts / np.maximum(self._arrived, 1), self._before[0])
        self._prompts = np.concatenate((before.prompt_tokens, requests.prompt_tokens))
        self._all_outputs = np.concatenate((before.output_tokens, requests.output_tokens))
        self._first = len(before)
        self._order: list[int] = list(range(len(before)))
        self.ended = 0

    def end(self, requests: list[int]) -> None:
        """These requests ended."""
        self.ended += len(requests)
        for request in requests:
            place = self._bins[request]
            self._known[place] += 1
            self._sum[place] += self._outputs[request]
            self._order.append(self._first + request)

    def recent(self) -> Requests:
        """The last requests that ended, in that order."""
        rows = np.array(self._order[-RECENT_REQUESTS:], dtype=np.int64)
        return Requests(np.zeros(len(rows)), self._prompts[rows], self._all_outputs[rows])

    def by_interval(self, before: int, closed: int) -> tuple[FloatArray, FloatArray]:
        """Mean prompt and output tokens by interval.

        Args:
            before: Intervals before the run.
            closed: Intervals of the run.
        """
        known = np.array(self._known[:closed], dtype=np.float64)
        complete = known >= _COMPLETE * self._arrived[:closed]
        sums = np.array(self._sum[:closed], dtype=np.float64)
        means = np.where(complete & (known > 0), sums / np.maximum(known, 1.0), np.nan)
        whole = np.flatnonzero(np.isfinite(means))[-_LAST_INTERVALS:]
        stand_in = float(sums[whole].sum() / known[whole].sum()) if len(whole) else self._before[1]
        outputs = np.where(np.isfinite(means), means, stand_in)
        prompts = self._prompt_means[:closed]
        return (
            np.concatenate((np.full(before, self._before[0]), prompts)),
            np.concatenate((np.full(before, self._before[1]), outputs)),
        )
