"""The options of `trimtab simulate`."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

REPEATED_UP_TO = 2000
"""Up to so many jobs a run is repeated for its sensitivities unless it is asked otherwise: that takes seconds."""

_JOBS = "Jobs"
_LOAD = "Load and targets"
_GRID = "Grid"
_HARDWARE = "Hardware and prices"


class JobFormat(StrEnum):
    """Formats of job traces."""

    gaia = "gaia"
    philly = "philly"
    pollux = "pollux"


class TimeUnit(StrEnum):
    """Units of time of a GAIA trace."""

    auto = "auto"
    hours = "hours"
    seconds = "seconds"


class ArrivalFormat(StrEnum):
    """Formats of request traces."""

    azure = "azure"
    mooncake = "mooncake"
    timestamps = "timestamps"


class QueueOrder(StrEnum):
    """In which order servers take the requests that wait."""

    in_order = "in-order"
    late_last = "late-last"


def _finite(value: float | None) -> float | None:
    """Click's ranges let NaN and infinity pass."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


Out = Annotated[Path, typer.Option(help="Folder for result.json and report.html.")]
Policies = Annotated[str | None, typer.Option(help="Names, separated by commas; all by default.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all that is drawn at random.")]

Carbon = Annotated[Path | None, typer.Option(help="Hourly carbon intensity (CSV).", rich_help_panel=_GRID)]
CarbonColumn = Annotated[
    str | None, typer.Option(help="Its column of g/kWh; by default the life-cycle one.", rich_help_panel=_GRID)
]
Start = Annotated[int, typer.Option(min=0, help="Hour of the carbon series where it begins.", rich_help_panel=_GRID)]
ForecastError = Annotated[
    float,
    typer.Option(min=0, callback=_finite, help="Mean error of the intensity's forecast (%).", rich_help_panel=_GRID),
]
OwnForecast = Annotated[
    bool,
    typer.Option(
        "--own-forecast",
        help="Forecast the intensity from the hours before it, as the operator does.",
        rich_help_panel=_GRID,
    ),
]
CarbonPrice = Annotated[
    float | None,
    typer.Option(min=0, callback=_finite, help="Price of carbon (US dollars a tonne).", rich_help_panel=_HARDWARE),
]

Jobs = Annotated[Path, typer.Option(help="Trace of the jobs (CSV).", rich_help_panel=_JOBS)]
Format = Annotated[
    JobFormat,
    typer.Option(help="gaia, philly: jobs on a grid trace; pollux: elastic jobs on a cluster.", rich_help_panel=_JOBS),
]
Unit = Annotated[
    TimeUnit, typer.Option(help="Unit of time of a gaia trace; auto tells it from the lengths.", rich_help_panel=_JOBS)
]
Hours = Annotated[
    float,
    typer.Option(min=0.01, callback=_finite, help="Jobs that arrive by then take part (h).", rich_help_panel=_JOBS),
]
MaxWaitShort = Annotated[
    float, typer.Option(min=0, callback=_finite, help="Longest wait of jobs under 2 hours (h).", rich_help_panel=_JOBS)
]
MaxWaitLong = Annotated[
    float, typer.Option(min=0, callback=_finite, help="Longest wait of the others (h).", rich_help_panel=_JOBS)
]
Scaling = Annotated[
    Path | None,
    typer.Option(help="Profile (CSV: nodes, throughput, power) by which jobs can run wider.", rich_help_panel=_JOBS),
]
SwitchHours = Annotated[
    float | None,
    typer.Option(min=0, callback=_finite, help="Lost at each start and change of width (h).", rich_help_panel=_JOBS),
]
Capacity = Annotated[
    float | None,
    typer.Option(min=0.01, callback=_finite, help="Units for all jobs together.", rich_help_panel=_HARDWARE),
]
WattsPerUnit = Annotated[
    float | None,
    typer.Option(min=0.01, callback=_finite, help="Of a unit that runs (W).", rich_help_panel=_HARDWARE),
]
UsdPerUnitHour = Annotated[
    float | None,
    typer.Option(min=0, callback=_finite, help="Price of a unit hour (USD).", rich_help_panel=_HARDWARE),
]
Traces = Annotated[
    Path | None,
    typer.Option(
        help="pollux: folder of the applications' traces; by default traces beside the folder of the jobs.",
        rich_help_panel=_JOBS,
    ),
]
GpusPerNode = Annotated[int | None, typer.Option(min=1, help="pollux: GPUs of a node.", rich_help_panel=_HARDWARE)]
DelayPrice = Annotated[
    float | None,
    typer.Option(
        min=0, callback=_finite, help="pollux: worth of a job's end an hour sooner (USD).", rich_help_panel=_HARDWARE
    ),
]
Sensitivity = Annotated[
    bool | None,
    typer.Option(
        "--sensitivity/--no-sensitivity",
        help=f"Repeat with other forecast errors and waits. By default up to {REPEATED_UP_TO} jobs.",
    ),
]

Arrivals = Annotated[Path, typer.Option(help="Trace of the requests (CSV or JSON lines).", rich_help_panel=_LOAD)]
RequestFormat = Annotated[ArrivalFormat, typer.Option(help="Format of the trace.", rich_help_panel=_LOAD)]
Scale = Annotated[
    float, typer.Option(min=0, callback=_finite, help="Times the load of the trace.", rich_help_panel=_LOAD)
]
SloMs = Annotated[
    float | None,
    typer.Option(min=0, callback=_finite, help="Latency target; by default twice an idle one.", rich_help_panel=_LOAD),
]
Percentile = Annotated[
    float,
    typer.Option(min=0, max=100, callback=_finite, help="Share of requests within it (%).", rich_help_panel=_LOAD),
]
MinAccuracy = Annotated[
    float, typer.Option(min=0, max=1, callback=_finite, help="Least accuracy of a variant.", rich_help_panel=_LOAD)
]
Profiles = Annotated[
    Path,
    typer.Option(
        help="Speed, accuracy, power and price of the variants: YAML or JSON, Splitwise's perf_model.csv, or a CSV of "
        "Triton Model Analyzer.",
        rich_help_panel=_HARDWARE,
    ),
]
Queues = Annotated[
    QueueOrder,
    typer.Option(
        help="in-order: servers take requests as they came; late-last: what if those that are late already went last.",
        rich_help_panel=_LOAD,
    ),
]
IntervalSeconds = Annotated[
    float, typer.Option(min=0.1, callback=_finite, help="Policies decide so often.", rich_help_panel=_LOAD)
]
