"""How a ServingWorkload's pods are kept from going all at once, and how they go."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trimtab.api.quantity import PositiveDuration
from trimtab.api.schema import ApiModel, Cel


class Spread(StrEnum):
    """How replicas are spread over zones and nodes."""

    PREFERRED = "Preferred"
    """As evenly as there is room for."""
    REQUIRED = "Required"
    """Evenly, or a pod waits. Nodes need the label `topology.kubernetes.io/zone`."""
    OFF = "Off"
    """The scheduler places them as it likes."""


class Availability(ApiModel):
    """How replicas are kept from going all at once, and how they go."""

    disruption_budget: bool = True
    """Keeps a PodDisruptionBudget, so that node drains take replicas away a few at a time. Turn it off where you have
    one of your own: pods with two are never evicted."""
    max_unavailable: Annotated[int, Field(ge=1, le=4096)] = 1
    """Replicas that a drain may take away at once."""
    spread: Spread = Spread.PREFERRED
    """How replicas are spread over zones and nodes."""
    longest_request: Annotated[
        PositiveDuration,
        Cel("duration(self) <= duration('1h')", "longestRequest must be one hour (1h) at most"),
    ] = timedelta(seconds=20)
    """How long requests in flight may go on in a replica that is taken away; what takes longer is cut off."""
