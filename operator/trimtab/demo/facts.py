"""What the demo measured: written as JSON, printed at its end, and what the tests of the scenario assert on."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """Figures of one run. Times are in seconds; None means not reached."""

    model_config = ConfigDict(validate_assignment=True)

    cluster_and_operator_ready_seconds: float | None = None
    """From the start of the command to a Ready node with the operator's pod Ready."""
    first_training_step_seconds: float | None = None
    """From `kubectl apply` of the TrainingWorkload to its first training step."""
    breach_to_new_pod_seconds: float | None = None
    """From the first second in which clients saw the latency target broken to a new Triton pod that is Ready."""
    failed_requests_in_switch: int | None = None
    """Requests that failed while the variant was switched."""
    requests_in_switch: int | None = None
    failed_requests: int | None = None
    """Requests that failed over the whole load, scaling up and down included."""
    requests: int | None = None
    training: dict[str, Any] = {}
    variants: dict[str, dict[str, Any]] = {}
    serving: dict[str, Any] = {}
    gpu: dict[str, Any] = {}
    largest_replicas: int = 0
    variants_served: list[str] = []


def instant(text: str) -> datetime:
    """Parse an instant as Kubernetes and our logs print it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
