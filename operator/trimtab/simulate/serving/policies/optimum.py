"""The offline optimum: the cheapest fleet over time for arrivals that are known in advance.

The model: time is cut into control intervals; in each, one option runs with one count of replicas. A replica costs its
price (and its carbon, where carbon has one) while it is ready and for its start time before. How many requests of an
interval miss the target at a count is measured in the engine, by replaying the trace in blocks at that count (each
block begins a minute earlier with an empty service). The schedule that costs least plus a price for each miss is found
by dynamic programming over (option, count), exactly; the price of a miss is searched so that the schedule, replayed as
a whole through the engine, attains the target. Then single replicas are taken out of the schedule, longest stretches
first, as long as the replay still attains it.

It is a schedule that exists: it attains the target under the engine's physics, start times included, and what it costs
is what the engine says. It is not proven to be the best of all (fleets of several options at once are not tried);
`fluid_bound_usd` is proven, as a bound below every policy: no replica ever waits, and every request is batched as well
as the profile allows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.simulate.serving.bench import Bench
from trimtab.simulate.serving.engine import Run, attainment, misses_by_interval, simulate
from trimtab.simulate.serving.policies.static import Static
from trimtab.simulate.serving.policy import Desired, Observation
from trimtab.simulate.serving.requests import Requests
from trimtab.simulate.serving.sizing import smallest_constant

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BLOCK_SECONDS = 120.0
_WARM_SECONDS = 60.0
_MISS_PRICE_STEPS = 10
_REPLAYED_REQUESTS = 1_500_000
"""How many requests the improvement may replay in all: it bounds the time it takes."""


@dataclass(frozen=True)
class Schedule:
    """What is ready in each control interval."""

    option: IntArray
    count: IntArray


@dataclass(frozen=True)
class Optimum:
    """The best schedule that was found, and its run."""

    schedule: Schedule
    run: Run
    attained: bool
    options: tuple[int, ...]
    """Options that were tried; of the others it is proven that they cost more."""


class Planned:
    """Carries out a schedule: new replicas are ordered as long before they are needed as they take to start."""

    def __init__(self, bench: Bench, schedule: Schedule) -> None:
        self.interval_seconds = bench.setting.interval_seconds
        self._fleets = [dict(fleet) for fleet in _held(bench, schedule)]
        self._next = 0

    def start(self) -> Desired:
        """The fleet of the first interval."""
        return self._fleets[0]

    def decide(self, seen: Observation) -> Desired:
        """The fleet of the interval that begins."""
        self._next = min(self._next + 1, len(self._fleets) - 1)
        return self._fleets[self._next]


def find_optimum(bench: Bench, candidates: list[int]) -> Optimum:
    """Find the cheapest schedule that attains the target; where none does, the one that comes nearest.

    Args:
        bench: The comparison.
        candidates: Options that may be used.
    """
    known = _best_constant(bench, candidates)
    options = tuple(index for index in candidates if bench.feasible(index) and _priced_least(bench, index) < known[0])
    if not options:
        options = (known[1],)
    states = [(index, count) for index in options for count in _counts(bench, index)]
    misses = np.stack([_misses(bench, *state) for state in states])
    costs = _Costs(bench, states)
    best: tuple[float, Schedule, Run] | None = None
    nearest: tuple[float, Schedule, Run] | None = None
    low, high = -3.0, 3.0
    unit = float(costs.hold.min())
    for _ in range(_MISS_PRICE_STEPS):
        price = unit * 10.0 ** ((low + high) / 2.0)
        schedule = _schedule(states, costs, misses * price)
        run = bench.run(Planned(bench, schedule))
        objective = bench_objective(bench, run)
        share = attainment(run, bench.setting.slo_seconds)
        if nearest is None or share > nearest[0]:
            nearest = (share, schedule, run)
        if bench.attained(run):
            high = (low + high) / 2.0
            if best is None or objective < best[0]:
                best = (objective, schedule, run)
        else:
            low = (low + high) / 2.0
    if known[0] < (best[0] if best else np.inf):
        option, count = known[1], known[2]
        length = len(bench.constant(option, count).usd)
        constant = Schedule(np.full(length, option), np.full(length, count))
        best = (known[0], constant, bench.constant(option, count))
    if best is None:
        assert nearest is not None
        return Optimum(nearest[1], nearest[2], False, options)
    schedule, run = _improve(bench, best[1], best[2])
    return Optimum(schedule, run, True, options)


def bench_objective(bench: Bench, run: Run) -> float:
    """Cost plus priced carbon of a run (US dollars)."""
    usd = float(run.usd.sum())
    if bench.usd_per_gram == 0.0 or bench.setting.grams_per_kwh is None:
        return usd
    starts = np.arange(len(run.usd)) * bench.setting.interval_seconds
    intensity = np.array([bench.setting.intensity(second) for second in starts])
    return usd + float((run.joules / 3.6e6 * intensity).sum()) * bench.usd_per_gram


def fluid_bound_usd(bench: Bench, candidates: list[int]) -> float:
    """No policy that serves every request with these options costs less (US dollars, carbon not counted).

    It counts the least time in which a replica can serve each request, times its price, of the cheapest option.
    Requests that are still in flight when accounting ends are let off: as many as all replicas of the cheapest option
    have slots cannot be many, and are taken off as if none of them had been begun.
    """
    bounds = []
    for index in candidates:
        usd = bench.least_usd(index)
        slots = bench.options[index].speed.max_batch
        replicas = bench.mean_rate * bench.work_seconds(index)
        share = min((replicas + 1.0) * slots / len(bench.requests), 1.0)
        bounds.append(usd * (1.0 - share))
    return min(bounds)


def _priced_least(bench: Bench, index: int) -> float:
    """A bound below the objective of an option: idle power alone has carbon."""
    return bench.least_usd(index)


def _best_constant(bench: Bench, candidates: list[int]) -> tuple[float, int, int]:
    """Objective, option and count of the cheapest fixed fleet that attains the target."""
    found: list[tuple[float, int, int]] = []
    for index in sorted(candidates, key=bench.least_usd):
        if found and bench.least_usd(index) >= min(found)[0]:
            continue
        count, attained = smallest_constant(bench, index)
        if attained:
            found.append((bench_objective(bench, bench.constant(index, count)), index, count))
    if found:
        return min(found)
    return np.inf, min(candidates, key=bench.least_usd), 1


def _counts(bench: Bench, index: int) -> range:
    """Counts that a schedule may use: from what the quietest minute can do with, to what always suffices."""
    work = bench.work_seconds(index)
    least = max(int(np.floor(bench.minute_rates().min() * work)), 1)
    most, _ = smallest_constant(bench, index)
    return range(least, max(most, least) + max(most // 8, 1) + 1)


def _misses(bench: Bench, index: int, count: int) -> FloatArray:
    """Requests beyond the target in each interval at a constant count, block by block."""
    requests, setting = bench.requests, bench.setting
    result = np.zeros(round(bench.seconds / setting.interval_seconds))
    for begin in np.arange(0.0, bench.seconds, _BLOCK_SECONDS):
        first = max(begin - _WARM_SECONDS, 0.0)
        low, high = np.searchsorted(requests.seconds, (first, begin + _BLOCK_SECONDS))
        if low == high:
            continue
        block = Requests(
            requests.seconds[low:high] - first, requests.prompt_tokens[low:high], requests.output_tokens[low:high]
        )
        run = simulate(block, bench.options, Static(index, count), setting)
        late = misses_by_interval(run, block, setting)
        skipped = round((begin - first) / setting.interval_seconds)
        start = round(begin / setting.interval_seconds)
        kept = late[skipped : skipped + len(result) - start]
        result[start : start + len(kept)] += kept
    return result


class _Costs:
    """What states and changes between them cost (US dollars, carbon priced in)."""

    def __init__(self, bench: Bench, states: list[tuple[int, int]]) -> None:
        interval = bench.setting.interval_seconds
        grams = bench.setting.grams_per_kwh
        intensity = float(np.mean(grams)) if grams is not None else 0.0
        hourly = np.array(
            [option.usd_per_hour + option.idle_watts / 1e3 * intensity * bench.usd_per_gram for option in bench.options]
        )
        index = np.array([state[0] for state in states])
        count = np.array([state[1] for state in states])
        starts = np.array([option.start_seconds for option in bench.options])
        self.hold: FloatArray = hourly[index] * count * interval / 3600.0
        new = np.where(index[:, None] == index[None, :], np.maximum(count[None, :] - count[:, None], 0), count[None, :])
        self.change: FloatArray = new * (hourly * starts)[index][None, :] / 3600.0


def _schedule(states: list[tuple[int, int]], costs: _Costs, penalty: FloatArray) -> Schedule:
    """The sequence of states of least cost: dynamic programming from the end."""
    length = penalty.shape[1]
    value = costs.hold + penalty[:, -1]
    choice = np.zeros((length, len(states)), dtype=np.int64)
    for step in range(length - 2, -1, -1):
        onward = costs.change + value[None, :]
        choice[step] = onward.argmin(axis=1)
        value = costs.hold + penalty[:, step] + onward.min(axis=1)
    state = int(value.argmin())
    path = [state]
    for step in range(length - 1):
        state = int(choice[step, state])
        path.append(state)
    return Schedule(np.array([states[s][0] for s in path]), np.array([states[s][1] for s in path]))


def _held(bench: Bench, schedule: Schedule) -> list[dict[int, int]]:
    """Replicas that exist in each interval, starting ones included, by option."""
    length = len(schedule.count)
    held = []
    ahead = [int(np.ceil(option.start_seconds / bench.setting.interval_seconds)) for option in bench.options]
    ready = {int(index): np.where(schedule.option == index, schedule.count, 0) for index in np.unique(schedule.option)}
    for step in range(length):
        fleet = {}
        for index, counts in ready.items():
            until = min(step + ahead[index], length - 1)
            rises = np.maximum(np.diff(counts[step : until + 1]), 0).sum()
            fleet[index] = int(counts[step] + rises)
        held.append(fleet)
    return held


def _improve(bench: Bench, schedule: Schedule, run: Run) -> tuple[Schedule, Run]:
    """Take single replicas out of stretches of the schedule while the replay attains the target and costs less."""
    budget = _REPLAYED_REQUESTS // max(len(bench.requests), 1)
    objective = bench_objective(bench, run)
    length = len(schedule.count)
    width = length
    while width >= 3 and budget > 0:
        accepted = False
        for begin, end in _stretches(schedule, width):
            if budget <= 0:
                break
            budget -= 1
            count = schedule.count.copy()
            count[begin:end] -= 1
            tried = Schedule(schedule.option, count)
            result = bench.run(Planned(bench, tried))
            value = bench_objective(bench, result)
            if bench.attained(result) and value < objective:
                schedule, run, objective, accepted = tried, result, value, True
        if not accepted:
            width //= 2
    return schedule, run


def _stretches(schedule: Schedule, width: int) -> Iterator[tuple[int, int]]:
    """Windows of the schedule in which a replica could be taken out."""
    for begin in range(0, len(schedule.count), width):
        end = min(begin + width, len(schedule.count))
        if (schedule.count[begin:end] > 1).all():
            yield begin, end
