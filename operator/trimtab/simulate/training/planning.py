"""Makes scheduling problems of the jobs of a simulation: the same types that the operator makes of its cluster."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.plan.intensity import hoped
from trimtab.plan.schedule.problem import Job, Pool, RunMode, SchedulingProblem
from trimtab.simulate.training.account import Prices
from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.workload import Workload

FloatArray = npt.NDArray[np.float64]

_USD_PER_GRAM_ALONE = 1e-3
"""Where only carbon counts, a kilogram is a unit of cost: it keeps the solver's numbers near 1."""


@dataclass(frozen=True)
class Waiting:
    """A job that is not done."""

    place: int
    """In the workload."""
    work_hours: float
    """Left, in hours of one replica."""
    replicas: int = 0
    """With which it runs now; 0 when it does not."""


class Problems:
    """Makes the problem of a moment. What does not change with time is made once."""

    def __init__(self, jobs: Workload, prices: Prices) -> None:
        self._jobs = jobs
        self._prices = prices
        self._modes: dict[tuple[float, int], tuple[RunMode, ...]] = {}
        self._arrival = jobs.arrival_hours.tolist()
        self._deadline = jobs.deadline_hours.tolist()
        self._units = jobs.units.tolist()
        self._most = jobs.most_replicas.tolist()

    def problem(
        self,
        now_hours: float,
        waiting: Sequence[Waiting],
        edges_hours: FloatArray,
        free_units: FloatArray,
        forecast: Intensity,
    ) -> SchedulingProblem:
        """The problem of the jobs at a moment.

        Args:
            now_hours: The moment.
            waiting: The jobs.
            edges_hours: Of the slots, from the start of the simulation; the first is now.
            free_units: For each slot.
            forecast: Intensity; what is beyond it is expected to be as its mean.
        """
        hour = np.floor(edges_hours[:-1] + 1e-9).astype(np.int64) - forecast.first_hour
        known = forecast.grams_per_kwh
        if forecast.low is not None:
            known = np.array([hoped(*each) for each in zip(known.tolist(), forecast.low.tolist(), strict=True)])
        grams = np.where(hour < len(known), known[np.minimum(hour, len(known) - 1)], float(known.mean()))
        priced = self._prices.usd_per_gram > 0
        pool = Pool(
            name="cluster",
            free_units=free_units,
            usd_per_unit_hour=np.full(len(hour), self._prices.usd_per_unit_hour if priced else 0.0),
            grams_per_kwh=grams,
        )
        return SchedulingProblem(
            edges_hours=edges_hours - now_hours,
            pools=(pool,),
            jobs=tuple(self._job(job, now_hours) for job in waiting),
            usd_per_gram=self._prices.usd_per_gram if priced else _USD_PER_GRAM_ALONE,
        )

    def _job(self, waiting: Waiting, now_hours: float) -> Job:
        place = waiting.place
        modes = self._modes_of(self._units[place], self._most[place])
        return Job(
            key=str(place),
            work=waiting.work_hours,
            modes=modes,
            earliest_hours=max(self._arrival[place] - now_hours, 0.0),
            deadline_hours=self._deadline[place] - now_hours,
            switch_hours=self._jobs.switch_hours,
            running=waiting.replicas - 1 if waiting.replicas else None,
        )

    def _modes_of(self, units: float, most: int) -> tuple[RunMode, ...]:
        modes = self._modes.get((units, most))
        if modes is None:
            scaling, kilowatts = self._jobs.scaling, self._jobs.kilowatts_per_unit
            modes = tuple(
                RunMode(
                    pool=0,
                    replicas=replicas,
                    units=units * replicas,
                    work_per_hour=float(scaling.speed[replicas - 1]),
                    kilowatts=float(units * kilowatts * scaling.power[replicas - 1]),
                )
                for replicas in range(1, most + 1)
            )
            self._modes[units, most] = modes
        return modes
