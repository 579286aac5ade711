"""The jobs of a simulation, how long each may wait, and what it costs to run."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.simulate.inputs.training_jobs import JobTrace, ScalingProfile

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SHORT_JOB_HOURS = 2.0
"""Jobs below this length are in the short queue of GAIA (Hanafy et al., ASPLOS 2024), the others in the long one."""


@dataclass(frozen=True)
class Workload:
    """Jobs in order of arrival. Arrays have one value a job; times are hours from the start of the simulation."""

    arrival_hours: FloatArray
    length_hours: FloatArray
    """Running time with one replica."""
    units: FloatArray
    """Units that one replica holds."""
    max_wait_hours: FloatArray
    """How long it may wait or stand still, in all."""
    expected_hours: FloatArray
    """Mean length of the jobs of its queue: what policies go by that do not know a job's length."""
    most_replicas: IntArray
    """Of the scaling profile, or as many as fit into the capacity."""
    scaling: ScalingProfile
    """Of every job, by replicas."""
    kilowatts_per_unit: float
    """Of a unit of one replica that runs."""
    switch_hours: float = 0.0
    """Running time that is lost at each start, resumption and change of scale."""

    def __len__(self) -> int:
        return len(self.arrival_hours)

    @property
    def deadline_hours(self) -> FloatArray:
        """When each has to be done: run at once alone, then its wait; both with one start's overhead."""
        return self.arrival_hours + self.alone_hours + self.max_wait_hours

    @property
    def alone_hours(self) -> FloatArray:
        """What each takes when it runs at once, alone, with one replica."""
        return self.length_hours + self.switch_hours

    def subset(self, index: IntArray | slice) -> "Workload":
        """The jobs at these places."""
        return Workload(
            self.arrival_hours[index],
            self.length_hours[index],
            self.units[index],
            self.max_wait_hours[index],
            self.expected_hours[index],
            self.most_replicas[index],
            self.scaling,
            self.kilowatts_per_unit,
            self.switch_hours,
        )


@dataclass(frozen=True)
class Limits:
    """Which jobs take part, and how long they may wait."""

    hours: float
    """Jobs that arrive before this hour take part."""
    series_hours: float
    """Until then the carbon intensity is known."""
    max_wait_short_hours: float
    max_wait_long_hours: float
    capacity_units: float | None = None


def prepare(
    trace: JobTrace, limits: Limits, scaling: ScalingProfile, kilowatts_per_unit: float, switch_hours: float
) -> tuple[Workload, tuple[str, ...]]:
    """The jobs of a trace that can take part, and notes of those that cannot.

    Left out, and said: jobs that need more units than there are, and jobs whose deadline is after the end of the
    carbon series. Queues and their mean lengths are those of the whole trace, as in GAIA.
    """
    short = trace.length_hours < SHORT_JOB_HOURS
    wait = np.where(short, limits.max_wait_short_hours, limits.max_wait_long_hours)
    expected = np.zeros(len(trace))
    for queue in (short, ~short):
        if queue.any():
            expected[queue] = trace.length_hours[queue].mean()
    arrived = trace.arrival_hours < limits.hours
    covered = trace.arrival_hours + trace.length_hours + switch_hours + wait <= limits.series_hours
    fits = np.full(len(trace), True) if limits.capacity_units is None else trace.units <= limits.capacity_units
    notes = list(trace.notes)
    left_out = (
        (arrived & ~covered, "may run until after the last hour of the carbon series"),
        (arrived & ~fits, f"need more than the {limits.capacity_units or 0:g} units there are"),
    )
    for mask, why in left_out:
        if mask.any():
            first = int(trace.lines[np.flatnonzero(mask)[0]])
            notes.append(
                f"{int(mask.sum())} of {int(arrived.sum())} jobs are left out: they {why} (first: line {first})"
            )
    index = np.flatnonzero(arrived & covered & fits)
    most = np.full(len(index), len(scaling.speed), np.int64)
    if limits.capacity_units is not None:
        most = np.minimum(most, (limits.capacity_units // trace.units[index]).astype(np.int64))
    workload = Workload(
        trace.arrival_hours[index],
        trace.length_hours[index],
        trace.units[index],
        wait[index],
        expected[index],
        most,
        scaling,
        kilowatts_per_unit,
        switch_hours,
    )
    return workload, tuple(notes)
