"""HPA on concurrency: requests in flight for each replica, as a custom metric of the pods.

Source: see `hpa`; the metric is that of Knative's autoscaler (KPA, "concurrency") and of vLLM's and Triton's deployment
guides (running and queued requests).
"""

from trimtab.simulate.serving.policies.hpa import Hpa, from_pods
from trimtab.simulate.serving.policy import Observation


def hpa_concurrency(option: int, replicas: int, most: int, target_concurrency: float) -> Hpa:
    """The policy.

    Args:
        option: The option that is scaled.
        replicas: To begin with.
        most: Replicas at most.
        target_concurrency: Requests in flight, waiting ones included, that a replica is to have.
    """

    def recommend(seen: Observation) -> int:
        state = seen.options[option]
        mean = seen.concurrency / max(state.ready, 1)
        return from_pods(mean, state.ready, state.starting, target_concurrency)

    return Hpa(option, replicas, most, recommend)
