"""Power by utilization: straight lines between what a node draws idle, at 10 %, at 50 % and at full use.

The points are those at which the Teads data set gives the watts of EC2 instances; with only two of them it is the
linear model of Fan, Weber and Barroso ("Power provisioning for a warehouse-sized computer", ISCA 2007).
"""

from bisect import bisect_right
from dataclasses import dataclass

from trimtab.plan.snapshot import HardwareState

MILLION = 1_000_000
BUSY_ACCELERATOR_PPM = 488_000
"""Where an accelerator that nobody meters is taken to stand between idle and its limit, while a pod holds it: what the
trainings of the Zeus tables drew on a V100 and a P100 (`tests/bench/bench_power_model.py` fits it and gives its error).
"""


@dataclass(frozen=True, slots=True)
class PowerCurve:
    """Utilization in millionths, and the milliwatts there."""

    points: tuple[tuple[int, int], ...]

    @property
    def idle(self) -> int:
        """Milliwatts at rest."""
        return self.points[0][1]

    @property
    def peak(self) -> int:
        """Milliwatts at full use."""
        return self.points[-1][1]

    def at(self, use_ppm: int) -> int:
        """Milliwatts at a utilization; one beyond full counts as full."""
        use = max(0, min(MILLION, use_ppm))
        right = min(len(self.points) - 1, max(1, bisect_right(self.points, (use, 1 << 62))))
        (x0, y0), (x1, y1) = self.points[right - 1], self.points[right]
        return y0 + (y1 - y0) * (use - x0) // (x1 - x0)


def _milli(watts: float) -> int:
    return round(watts * 1000)


def curve(idle: float, ten_percent: float | None, half: float | None, peak: float) -> PowerCurve:
    """A curve through watts at rest, at 10 %, at 50 % and at full use; a point that is None is left out."""
    given = ((0, idle), (100_000, ten_percent), (500_000, half), (MILLION, peak))
    return PowerCurve(tuple((use, _milli(watts)) for use, watts in given if watts is not None))


def node_curve(hardware: HardwareState) -> PowerCurve:
    """Of the whole node."""
    power = hardware.spec.power
    return curve(power.idle_watts, power.ten_percent_watts, power.half_watts, power.peak_watts)


def host_curve(hardware: HardwareState) -> PowerCurve | None:
    """Of a node without its accelerators; None where that part of its power is not declared."""
    power = hardware.spec.power
    if hardware.spec.resource_name == "cpu":
        return node_curve(hardware)
    if power.accelerator_idle_watts is None or power.accelerator_peak_watts is None:
        return None
    idle = max(0.0, power.idle_watts - power.accelerator_idle_watts)
    return curve(idle, None, None, max(idle, power.peak_watts - power.accelerator_peak_watts))
