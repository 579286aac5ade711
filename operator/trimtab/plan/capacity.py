"""Capacity of the hardware classes as it is given out, workload after workload."""

import math
from collections.abc import Iterable

from trimtab.plan.snapshot import HardwareState


class Capacity:
    """Units left of each class while one plan is made. Local to one call of the planner; nothing outlives it."""

    def __init__(self, hardware: Iterable[HardwareState]) -> None:
        self._left = {h.meta.name: max(0.0, h.capacity_units - h.foreign_units) for h in hardware}

    def left(self, hardware_class: str) -> float:
        """Units that are not given out yet."""
        return self._left.get(hardware_class, 0.0)

    def replicas(self, hardware: HardwareState, units: float) -> int:
        """How many replicas of `units` each still fit, each whole on one node."""
        if units <= 0 or hardware.units_per_node < units:
            return 0
        return math.floor(self.left(hardware.meta.name) / units + 1e-9)

    def take(self, hardware_class: str, units: float) -> None:
        """Give units out."""
        self._left[hardware_class] = max(0.0, self.left(hardware_class) - units)
