"""HPA on utilization: what `kubectl autoscale --cpu` does, on the resource that serves.

Source: see `hpa`. The metric is the share of time in which a replica's device does anything, averaged over ready
replicas and the last 15 s: what a monitor of the CPU or GPU shows. (A language model's device is busy as soon as one
sequence is decoded, so that this metric says little there. That is the method's, not the simulator's.)
"""

from trimtab.simulate.serving.policies.hpa import Hpa, from_pods
from trimtab.simulate.serving.policy import Observation


def hpa_cpu(option: int, replicas: int, most: int, target_utilization: float) -> Hpa:
    """The policy.

    Args:
        option: The option that is scaled.
        replicas: To begin with.
        most: Replicas at most.
        target_utilization: 0..1.
    """

    def recommend(seen: Observation) -> int:
        state = seen.options[option]
        return from_pods(state.utilization, state.ready, state.starting, target_utilization)

    return Hpa(option, replicas, most, recommend)
