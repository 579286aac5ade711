"""Small workloads and grids that tests of the training simulation share."""

from pathlib import Path

import numpy as np

from trimtab.simulate.inputs.carbon import CarbonSeries, read_carbon
from trimtab.simulate.inputs.training_jobs import ScalingProfile, rigid
from trimtab.simulate.training.workload import Workload

DATA = Path(__file__).parents[2] / "data"
PAI_1K = DATA / "gaia" / "pai_1k.csv"
NBODY = DATA / "carbonscaler" / "profile_nbody100k.csv"


def ciso() -> CarbonSeries:
    """California, 2022, life-cycle intensity."""
    return read_carbon(DATA / "carbonscaler" / "US-CAL-CISO_2022_hourly.csv.gz")


def series(*grams_per_kwh: float) -> CarbonSeries:
    return CarbonSeries("test", None, np.array(grams_per_kwh, dtype=np.float64))


def workload(
    *jobs: tuple[float, float, float, float],
    scaling: ScalingProfile | None = None,
    switch_hours: float = 0.0,
    expected_hours: float | None = None,
) -> Workload:
    """Jobs of (arrival, length, units, wait) in hours, of 1 kW a unit."""
    arrival, length, units, wait = (np.array(values, dtype=np.float64) for values in zip(*jobs, strict=True))
    scaling = scaling or rigid()
    expected = length.copy() if expected_hours is None else np.full(len(jobs), expected_hours)
    most = np.full(len(jobs), len(scaling.speed), np.int64)
    return Workload(arrival, length, units, wait, expected, most, scaling, 1.0, switch_hours)


def random_workload(rng: np.random.Generator, count: int, scaling: ScalingProfile | None = None) -> Workload:
    """Jobs over two days, short and long, of 1 to 4 units."""
    arrival = np.sort(rng.uniform(0.0, 48.0, count))
    length = rng.lognormal(0.5, 1.0, count).clip(0.1, 24.0)
    units = rng.integers(1, 5, count)
    wait = np.where(length < 2.0, 6.0, 24.0)
    return workload(
        *zip(arrival, length, units, wait, strict=True), scaling=scaling, expected_hours=float(length.mean())
    )
