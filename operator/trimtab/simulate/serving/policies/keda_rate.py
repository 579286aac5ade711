"""KEDA on the request rate: a Prometheus trigger with `sum(rate(requests[1m]))`, carried out by an HPA.

Source: KEDA documentation, "Prometheus scaler" and "Scaling deployments" (the metric becomes an external metric of type
AverageValue for the HPA, which see). At least one replica: a language model takes minutes from zero.
"""

from trimtab.simulate.serving.policies.hpa import Hpa, from_total
from trimtab.simulate.serving.policy import Observation

RATE_WINDOW_SECONDS = 60.0


def keda_rate(option: int, replicas: int, most: int, requests_per_second: float) -> Hpa:
    """The policy.

    Args:
        option: The option that is scaled.
        replicas: To begin with.
        most: Replicas at most.
        requests_per_second: That a replica is to get (the trigger's threshold).
    """

    def recommend(seen: Observation) -> int:
        return from_total(seen.recent_rate(RATE_WINDOW_SECONDS), seen.replicas(option), requests_per_second)

    return Hpa(option, replicas, most, recommend)
