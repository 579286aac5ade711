"""How well a grid's carbon intensity is forecast from its own past: the table in docs/carbon.md.

    python tests/bench/bench_carbon_forecast.py carbon_2022_hourly_open_12zones.csv.gz

The file has a column of hours for each zone (tests/data/carbon/SOURCE.txt says where it comes from; a cut of it lies
there). Every third day of the year, at an hour that changes, each zone is forecast from the days before, and compared
with what came: by trimtab, and as at the same hour of the day before.
"""

import argparse
import csv
import gzip
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from trimtab.plan.intensity_forecast import DAY, FloatArray, own_forecast, yesterday
from trimtab.plan.snapshot import IntensityPoint

START = datetime(2022, 1, 1, tzinfo=UTC)
AHEAD = 2 * DAY


def read(path: Path) -> dict[str, FloatArray]:
    """Hourly gCO2e/kWh by zone."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    values = np.array([[float(cell) for cell in row[1:]] for row in rows])
    return {zone: values[:, index] for index, zone in enumerate(header[1:])}


def points(values: FloatArray, first: int) -> tuple[IntensityPoint, ...]:
    return tuple(
        IntensityPoint(start=START + timedelta(hours=first + i), grams_per_kwh=float(v)) for i, v in enumerate(values)
    )


def measure(values: FloatArray, days: int, origins: list[int]) -> dict[str, float]:
    """Errors in percent of the mean, and the share of hours that lay within the 90 % interval."""
    own, naive, truth, held, said, seconds = [], [], [], [], [], []
    for origin in origins:
        past = values[origin - days * DAY : origin]
        started = time.perf_counter()
        found = own_forecast(points(past, origin - days * DAY), timedelta(hours=AHEAD))
        seconds.append(time.perf_counter() - started)
        assert found is not None
        came = values[origin : origin + AHEAD]
        truth.append(came)
        own.append(np.abs(np.array([p.grams_per_kwh for p in found.points]) - came))
        naive.append(np.abs(yesterday(past, AHEAD) - came))
        held += [
            p.low <= x <= p.high
            for p, x in zip(found.points, came, strict=True)
            if p.low is not None and p.high is not None
        ]
        said += [] if found.error_percent is None else [found.error_percent]
    mean = np.array(truth).mean()
    return {
        "mean": float(mean),
        "naive 24": float(100 * np.array(naive)[:, :DAY].mean() / mean),
        "own 24": float(100 * np.array(own)[:, :DAY].mean() / mean),
        "naive 48": float(100 * np.array(naive).mean() / mean),
        "own 48": float(100 * np.array(own).mean() / mean),
        "said": float(np.mean(said)) if said else float("nan"),
        "held": float(100 * np.mean(held)) if held else float("nan"),
        "milliseconds": float(1000 * np.mean(seconds)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path)
    series = read(parser.parse_args().traces)
    hours = np.random.default_rng(0).integers(0, DAY, 400)
    longest = 28
    origins = [DAY * day + int(hours[day]) for day in range(longest + 1, 362, 3)]
    print(f"{len(origins)} forecasts for each zone, {longest} days of past\n")
    print("| zone | mean g/kWh | yesterday, 24 h | trimtab, 24 h | yesterday, 48 h | trimtab, 48 h | said | held |")
    print("|---|---|---|---|---|---|---|---|")
    found = {zone: measure(values, longest, origins) for zone, values in series.items()}
    found["mean of zones"] = {
        key: float(np.mean([row[key] for row in found.values()])) for key in found[next(iter(found))]
    }
    for zone, row in found.items():
        cells = [row[key] for key in ("naive 24", "own 24", "naive 48", "own 48", "said")]
        print(
            f"| {zone} | {row['mean']:.0f} | " + " | ".join(f"{c:.1f} %" for c in cells) + f" | {row['held']:.0f} % |"
        )
    print("\n| days of past | yesterday, 24 h | trimtab, 24 h | in the interval | time of one forecast |")
    print("|---|---|---|---|---|")
    for days in (3, 5, 7, 14, 28):
        rows = [measure(values, days, origins) for values in series.values()]
        mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        held = "-" if np.isnan(mean["held"]) else f"{mean['held']:.0f} %"
        print(
            f"| {days} | {mean['naive 24']:.1f} % | {mean['own 24']:.1f} % | {held} | {mean['milliseconds']:.0f} ms |"
        )


if __name__ == "__main__":
    main()
