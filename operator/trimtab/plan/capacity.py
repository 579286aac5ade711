"""Capacity of the hardware classes as it is given out, workload after workload."""

import math
from collections.abc import Iterable

from trimtab.api.common import Resources
from trimtab.plan.node_fit import most_replicas
from trimtab.plan.rates import units_per_replica
from trimtab.plan.snapshot import HardwareState


class Capacity:
    """Units left of each class while one plan is made. Local to one call of the planner; nothing outlives it."""

    def __init__(self, hardware: Iterable[HardwareState]) -> None:
        hardware = tuple(hardware)
        self._total = {h.meta.name: h.capacity_units for h in hardware}
        self._left = {h.meta.name: max(0.0, h.capacity_units - h.foreign_units) for h in hardware}

    def left(self, hardware_class: str) -> float:
        """Units that are not given out yet."""
        return self._left.get(hardware_class, 0.0)

    def held(self) -> dict[str, float]:
        """Units of each class that others hold, or that were given out."""
        return {name: max(0.0, total - self._left[name]) for name, total in self._total.items()}

    def replicas(self, hardware: HardwareState, resources: Resources) -> int:
        """How many replicas still fit: of the units that are left, and each whole on one ready node."""
        units = units_per_replica(resources, hardware)
        if units <= 0:
            return 0
        of_units = math.floor(self.left(hardware.meta.name) / units + 1e-9)
        return min(of_units, most_replicas(resources, hardware, ready=True))

    def take(self, hardware_class: str, units: float) -> None:
        """Give units out."""
        self._left[hardware_class] = max(0.0, self.left(hardware_class) - units)
