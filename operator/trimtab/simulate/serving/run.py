"""`trimtab simulate serving`: all policies on the same requests, against the same measured profiles."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from trimtab.simulate.inputs.arrivals import READERS, Arrivals, scaled
from trimtab.simulate.inputs.carbon import CarbonSeries
from trimtab.simulate.inputs.profiles import ServingProfiles
from trimtab.simulate.inputs.read_profiles import read_profiles
from trimtab.simulate.inputs.table import InputError
from trimtab.simulate.progress import track
from trimtab.simulate.results import PolicyResult
from trimtab.simulate.serving.bench import Bench
from trimtab.simulate.serving.contest import BASELINES, Contest, Queues
from trimtab.simulate.serving.engine import Setting
from trimtab.simulate.serving.requests import Requests, idle_latency_seconds

TRIMTAB, OPTIMUM = "trimtab", "optimum"

POLICIES: tuple[str, ...] = (TRIMTAB, OPTIMUM, *BASELINES)
"""Names of the policies, in the order of the report."""

REFERENCE = "fixed-peak"
"""What savings are measured against."""

_DEFAULT_SLO_FACTOR = 2.0
_BEFORE_SECONDS = 300.0
_LENGTHS_KNOWN = 10_000
"""About so many requests, drawn from the trace, are those that were served before it begins."""
_GRAMS_PER_TONNE = 1e6


@dataclass(frozen=True)
class ServingRun:
    """What to simulate."""

    arrivals: Path
    """The trace of requests."""
    profiles: Path
    """How fast, accurate and costly the variants are: YAML or JSON, `perf_model.csv`, or Model Analyzer's CSV."""
    format: Literal["azure", "mooncake", "timestamps"] = "azure"
    scale: float = 1.0
    """Times the load of the trace."""
    slo_ms: float | None = None
    """Target of latency (a language model: of the time to the first token), in milliseconds; None takes twice what an
    idle replica of the most economical option needs."""
    percentile: float = 99.0
    """Share of requests that are to be within the target, in percent."""
    min_accuracy: float = 0.0
    """Variants below it are not used, by any policy (0..1)."""
    carbon: CarbonSeries | None = None
    """Intensity of the grid; None leaves carbon out."""
    start_hour: int = 0
    """Hour of the carbon series at which the trace begins."""
    usd_per_tonne: float = 0.0
    """Price of carbon."""
    interval_seconds: float = 10.0
    """Control interval."""
    queues: Queues = Queues.IN_ORDER
    """In which order servers take what waits."""
    policies: tuple[str, ...] = POLICIES
    seed: int = 0


def run_serving(options: ServingRun) -> tuple[PolicyResult, ...]:
    """Replay the requests under each policy.

    Raises:
        InputError: A file is wrong.
        ValueError: An option is.
    """
    _check(options)
    arrivals = scaled(READERS[options.format](options.arrivals, options.seed), options.scale, options.seed)
    profiles = read_profiles(options.profiles)
    contest = prepare(options, arrivals, profiles)
    results = []
    for name in track(options.policies, "Simulating serving policies"):
        results.append(contest.result(name))
    return contest.with_ratios(tuple(results))


def prepare(options: ServingRun, arrivals: Arrivals, profiles: ServingProfiles) -> Contest:
    """The comparison of policies on a trace.

    Raises:
        ValueError: No variant may be used, the carbon series is too short, or the requests do not fit the profiles.
    """
    candidates = [index for index, way in enumerate(profiles.options) if way.accuracy >= options.min_accuracy]
    if not candidates:
        best = max(way.accuracy for way in profiles.options)
        raise ValueError(f"no variant reaches --min-accuracy {options.min_accuracy:g}; the best has {best:g}")
    requests = Requests.of(arrivals)
    notes = [*arrivals.notes, *profiles.notes]
    if profiles.tokens and arrivals.prompt_tokens is None:
        notes.append("The trace has no tokens: every request has 512 prompt and 128 generated ones.")
    slo_seconds = options.slo_ms / 1e3 if options.slo_ms is not None else _default_slo(requests, profiles, options)
    if options.slo_ms is None:
        notes.append(f"No latency target was given: {slo_seconds * 1e3:.0f} ms, twice an idle replica's, is taken.")
    last = float(requests.seconds[-1])
    setting = Setting(
        slo_seconds=slo_seconds,
        quantile=options.percentile / 100.0,
        interval_seconds=options.interval_seconds,
        seed=options.seed,
        grams_per_kwh=_intensity(options, last),
        served_before=requests.poisson(_LENGTHS_KNOWN, 1.0, options.seed),
        before=_before(len(requests) / max(last, options.interval_seconds), options),
    )
    what = "time to the first token" if profiles.tokens else "latency of a request"
    notes.append(f"Target: {options.percentile:g} % of requests within {slo_seconds * 1e3:g} ms ({what}).")
    bench = Bench(requests, profiles.options, setting, options.usd_per_tonne / _GRAMS_PER_TONNE)
    return Contest(bench, tuple(candidates), tuple(notes), options.queues)


def _before(requests_per_second: float, options: ServingRun) -> np.typing.NDArray[np.float64]:
    """Rates in the intervals before the trace: Poisson at its mean."""
    rng = np.random.default_rng(options.seed)
    count = max(round(_BEFORE_SECONDS / options.interval_seconds), 1)
    counts = rng.poisson(requests_per_second * options.interval_seconds, count)
    rates: np.typing.NDArray[np.float64] = counts / options.interval_seconds
    return rates


def _check(options: ServingRun) -> None:
    unknown = [name for name in options.policies if name not in POLICIES]
    if unknown:
        raise ValueError(f"policy {unknown[0]!r} is unknown; known are {', '.join(POLICIES)}")
    if options.format not in READERS:
        raise ValueError(f"format {options.format!r} is unknown; known are {', '.join(READERS)}")
    if options.slo_ms is not None and not options.slo_ms > 0:
        raise ValueError(f"--slo-ms {options.slo_ms:g} is not above 0; write milliseconds")
    if not 0 < options.percentile < 100:
        raise ValueError(f"--percentile {options.percentile:g} must lie between 0 and 100, such as 99")
    if not 0 <= options.min_accuracy <= 1:
        raise ValueError(f"--min-accuracy {options.min_accuracy:g} must lie between 0 and 1")
    if not options.interval_seconds > 0:
        raise ValueError(f"the control interval {options.interval_seconds:g} is not above 0; write seconds")
    if not options.usd_per_tonne >= 0:
        raise ValueError(f"the price of carbon {options.usd_per_tonne:g} is negative; write US dollars a tonne")


def _default_slo(requests: Requests, profiles: ServingProfiles, options: ServingRun) -> float:
    quantile = options.percentile / 100.0
    bench = Bench(requests, profiles.options, Setting(1.0, quantile, options.interval_seconds))
    economical = min(range(len(profiles.options)), key=bench.least_usd)
    return _DEFAULT_SLO_FACTOR * idle_latency_seconds(profiles.options[economical], requests, quantile)


def _intensity(options: ServingRun, last_seconds: float) -> np.typing.NDArray[np.float64] | None:
    if options.carbon is None:
        return None
    series = options.carbon.grams_per_kwh
    hours = int(last_seconds // 3600) + 1
    if options.start_hour < 0 or options.start_hour + hours > len(series):
        raise ValueError(
            f"the carbon series has {len(series)} hours; the trace needs {hours} from hour {options.start_hour}:"
            " begin earlier or give a longer series"
        )
    return series[options.start_hour : options.start_hour + hours]


__all__ = [
    "OPTIMUM",
    "POLICIES",
    "REFERENCE",
    "TRIMTAB",
    "InputError",
    "Queues",
    "ServingRun",
    "prepare",
    "run_serving",
]
