"""The algorithm of the Kubernetes HorizontalPodAutoscaler, which several baselines share.

Source: Kubernetes documentation, "Horizontal Pod Autoscaling" (algorithm details, default behavior), and its controller
(`pkg/controller/podautoscaler/replica_calculator.go`). Defaults: asked every 15 s; no change while the ratio is within
0.1 of 1; up by at most double or by 4 pods, whichever is more, in 15 s; down to the highest recommendation of the last
300 s.
"""

import math
from collections import deque
from collections.abc import Callable

from trimtab.simulate.serving.policy import Desired, Observation

SYNC_SECONDS = 15.0
TOLERANCE = 0.1
STABILIZATION_SECONDS = 300.0

# A product such as 3 * 1.1 / 1.1 must not round up to one replica more.
_ROUNDING = 1e-9


def from_pods(mean: float, ready: int, unready: int, target: float) -> int:
    """The count for a metric of the pods (utilization, or an average value): `ceil(pods * mean / target)`.

    On the way up, pods that are not ready count as pods with a value of 0; where that turns the direction or brings the
    ratio within the tolerance, nothing changes.

    Args:
        mean: Mean value of the metric over ready pods.
        ready: Pods that are ready.
        unready: Pods that have been started and are not.
        target: What the mean is to be.
    """
    current = ready + unready
    if ready == 0:
        return current
    ratio = mean / target
    if unready == 0 or ratio <= 1.0:
        return current if abs(ratio - 1.0) <= TOLERANCE else math.ceil(ratio * ready - _ROUNDING)
    spread = ratio * ready / current
    if spread <= 1.0 + TOLERANCE:
        return current
    return max(math.ceil(spread * current - _ROUNDING), current)


def from_total(total: float, current: int, target: float) -> int:
    """The count for an external metric with a target average value: `ceil(total / target)`.

    Args:
        total: Value of the metric.
        current: Pods there are.
        target: What there is to be of it for each pod.
    """
    if current > 0 and abs(total / (target * current) - 1.0) <= TOLERANCE:
        return current
    return math.ceil(total / target - _ROUNDING)


class Behavior:
    """What of a recommendation is carried out: the default scaling behavior."""

    def __init__(self, replicas: int, stabilization_seconds: float = STABILIZATION_SECONDS) -> None:
        """Begin with a count, which stands as the first recommendation, as in the controller.

        Args:
            replicas: There are to begin with.
            stabilization_seconds: For which the highest recommendation holds.
        """
        self._stabilization = stabilization_seconds
        self._recommended: deque[tuple[float, int]] = deque([(0.0, replicas)])
        self._added: deque[tuple[float, int]] = deque()

    def limit(self, now: float, current: int, recommended: int) -> int:
        """The count that is set, at least 1.

        Args:
            now: Time in seconds.
            current: Pods there are.
            recommended: By the metric.
        """
        self._recommended.append((now, recommended))
        while self._recommended[0][0] < now - self._stabilization:
            self._recommended.popleft()
        while self._added and self._added[0][0] <= now - SYNC_SECONDS:
            self._added.popleft()
        if recommended <= current:
            return max(min(current, max(count for _, count in self._recommended)), 1)
        before = current - sum(count for _, count in self._added)
        allowed = max(min(recommended, max(2 * before, before + 4)), current)
        if allowed > current:
            self._added.append((now, allowed - current))
        return allowed


class Hpa:
    """Scales one Deployment: an option, by what a metric recommends."""

    interval_seconds = SYNC_SECONDS

    def __init__(self, option: int, replicas: int, most: int, recommend: Callable[[Observation], int]) -> None:
        """Scale an option.

        Args:
            option: Index of the option.
            replicas: To begin with.
            most: `maxReplicas`.
            recommend: The count that the metric asks for.
        """
        self._most = max(most, replicas)
        self._option = option
        self._replicas = replicas
        self._recommend = recommend
        self._behavior = Behavior(replicas)

    def start(self) -> Desired:
        """The fleet to begin with."""
        return {self._option: self._replicas}

    def decide(self, seen: Observation) -> Desired:
        """The count by the metric, as far as the behavior lets it."""
        current = seen.replicas(self._option)
        recommended = min(self._recommend(seen), self._most)
        return {self._option: self._behavior.limit(seen.now_seconds, current, recommended)}
