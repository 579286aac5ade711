"""Least-cost hours of work where each start loses time: few, long runs.

The work is priced: at a price of work the best plan of a job is a shortest path over its states (off, or in a mode)
from slot to slot, found by the algorithm of A. J. Viterbi, "Error bounds for convolutional codes and an asymptotically
optimum decoding algorithm" (IEEE Transactions on Information Theory, 1967). The least price at which the work gets done
is bracketed for all jobs and several prices at once; what is done too much is then cut off the ends of runs.
"""

from dataclasses import dataclass, replace

import numpy as np

from trimtab.plan.schedule.capacity import Want
from trimtab.plan.schedule.problem import FloatArray
from trimtab.plan.schedule.tables import BoolArray, IntArray

_PRICES = 16
"""Prices of work that are tried at once."""
_FEWER_PRICES = 8
_MANY = 40
"""Jobs above which fewer prices are tried at once."""
_ROUNDS = 3
_SPAN = 1e4
"""How far above the dearest marginal cost the price of work may have to be, since a start costs too."""
_ROUNDING = 1e-9
_LEAST_WAIT_HOURS = 1.0 / 60.0
"""A start is not put off by less."""

NOTHING = Want(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))


@dataclass(frozen=True)
class Switching:
    """Jobs that lose time at each start. Arrays over jobs (J), modes (M) and slots (T)."""

    cost: FloatArray
    """(J, M, T) Cost of an hour."""
    hours: FloatArray
    """(J, M, T) The longest stretch of each slot in which a job may run."""
    starts: FloatArray
    """(J, M, T) When it begins."""
    rate: FloatArray
    """(J, M) Work an hour."""
    work: FloatArray
    """(J)"""
    lost: FloatArray
    """(J) Hours lost at each start."""
    running: IntArray
    """(J) The mode at the start of the first slot, or -1."""
    delay: FloatArray
    """(J) What an hour costs by which the job ends later."""

    def cut(self, first: int, last: int) -> "Switching":
        """The same jobs in some of the slots."""
        running = self.running if first == 0 else np.full(len(self.work), -1)
        part = slice(first, last)
        cost, hours, starts = self.cost[:, :, part], self.hours[:, :, part], self.starts[:, :, part]
        return replace(self, cost=cost, hours=hours, starts=starts, running=running)

    def joined(self) -> BoolArray:
        """Where a run in the slot before goes on without a stop, (J, M, T)."""
        ends = self.starts + self.hours
        joined = np.zeros(self.hours.shape, dtype=np.bool_)
        joined[:, :, 1:] = (self.starts[:, :, 1:] <= ends[:, :, :-1] + _ROUNDING) & (self.hours[:, :, :-1] > 0.0)
        runs = np.flatnonzero(self.running >= 0)
        joined[runs, self.running[runs], 0] = self.starts[runs, self.running[runs], 0] <= _ROUNDING
        return joined & (self.hours > 0.0)


@dataclass(frozen=True)
class Paths:
    """The best paths at some prices of work."""

    mode: IntArray
    """(T, G, J) The mode, or -1."""
    start: BoolArray
    """(T, G, J) Whether the slot begins with a start."""
    net: FloatArray
    """(G, J) Work that gets done."""
    value: FloatArray
    """(G, J) The objective, what the work is worth taken off."""


@dataclass(frozen=True)
class SwitchingFilled:
    """What the jobs run."""

    wants: list[Want]
    short: FloatArray
    """(J) Work for which there is no room."""
    bound: FloatArray
    """(J) No plan of the job alone costs less."""


def best_paths(jobs: Switching, price: FloatArray) -> Paths:
    """The best path of each job at each price of work.

    Args:
        jobs: The jobs.
        price: (G, J) Price of a unit of work.
    """
    count, modes, slots = jobs.cost.shape
    grid = len(price)
    worth = price[:, :, None] * jobs.rate[None]
    entry = worth * jobs.lost[None, :, None]
    value = np.full((grid, count, modes + 1), np.inf)
    value[:, :, modes] = 0.0
    runs = np.flatnonzero(jobs.running >= 0)
    value[:, runs, jobs.running[runs]] = 0.0
    joined = jobs.joined()
    ends = jobs.starts + jobs.hours
    stays = np.zeros((slots, grid, count, modes), dtype=np.bool_)
    before = np.zeros((slots, grid, count), dtype=np.int64)
    best = np.zeros((grid, count))
    last_slot = np.full((grid, count), -1)
    last_mode = np.full((grid, count), -1)
    for slot in range(slots):
        hours = jobs.hours[:, :, slot]
        step = np.where(hours > 0.0, (jobs.cost[:, :, slot] - worth) * hours, np.inf)
        before[slot] = value.argmin(axis=2)
        least = value.min(axis=2)
        enter = least[:, :, None] + entry
        stays[slot] = (value[:, :, :modes] <= enter) & joined[None, :, :, slot]
        value[:, :, :modes] = np.where(stays[slot], value[:, :, :modes], enter) + step
        value[:, :, modes] = least
        # The work may end here, in any mode; what it costs to be done so late counts once.
        final = value[:, :, :modes] + (jobs.delay[:, None] * ends[:, :, slot])[None]
        mode = final.argmin(axis=2)
        here = np.take_along_axis(final, mode[:, :, None], axis=2)[:, :, 0]
        better = here < best
        np.copyto(best, here, where=better)
        np.copyto(last_slot, slot, where=better)
        np.copyto(last_mode, mode, where=better)
    return _trace(jobs, (last_slot, last_mode), stays, before, best)


def _trace(
    jobs: Switching, last: tuple[IntArray, IntArray], stays: BoolArray, before: IntArray, value: FloatArray
) -> Paths:
    slots, grid, count, modes = stays.shape
    mode = np.full((slots, grid, count), -1, dtype=np.int64)
    start = np.zeros((slots, grid, count), dtype=np.bool_)
    net = np.zeros((grid, count))
    rows = np.arange(count)[None, :]
    lanes = np.arange(grid)[:, None]
    state = np.full((grid, count), modes)
    for slot in range(slots - 1, -1, -1):
        state = np.where(last[0] == slot, last[1], state)
        on = state < modes
        at = np.minimum(state, modes - 1)
        stay = stays[slot, lanes, rows, at] & on
        start[slot] = on & ~stay
        mode[slot] = np.where(on, state, -1)
        hours = jobs.hours[rows, at, slot] - np.where(stay, 0.0, jobs.lost[None, :])
        net += np.where(on, jobs.rate[rows, at] * hours, 0.0)
        state = np.where(stay, state, np.where(slot <= last[0], before[slot], modes))
    return Paths(mode, start, net, value)


def fill_switching(jobs: Switching) -> SwitchingFilled:
    """The hours of each job by its best path, cut to its work."""
    count, _, slots = jobs.cost.shape
    used = np.flatnonzero((jobs.hours > 0.0).any(axis=(0, 1)))
    if len(used) and len(used) < slots:
        first, last = int(used[0]), int(used[-1]) + 1
        if last - first < slots:
            return _shifted(fill_switching(jobs.cut(first, last)), first)
    with np.errstate(divide="ignore", invalid="ignore"):
        marginal = np.where(jobs.hours > 0.0, jobs.cost / jobs.rate[:, :, None], np.nan)
        known = np.isfinite(marginal)
    low = np.where(known, marginal, np.inf).min(axis=(1, 2))
    dear = np.where(known, marginal, 0.0).max(axis=(1, 2))
    low = np.where(np.isfinite(low) & (low > 0.0), low, np.maximum(dear, 1e-9) * 1e-3) * 0.9
    # Half of the prices lie where those of hours without a start do, half above: a start costs too, and so does delay.
    dear = np.maximum(dear, low) * 1.5
    enough = jobs.work * (1.0 - _ROUNDING)
    mode = np.full((count, slots), -1, dtype=np.int64)
    start = np.zeros(mode.shape, dtype=np.bool_)
    net, bound = np.zeros(count), np.zeros(count)
    prices = _PRICES if count <= _MANY else _FEWER_PRICES
    half = np.linspace(0.0, 1.0, prices // 2)[:, None]
    price = np.concatenate([low * (dear / low) ** half, dear * _SPAN ** (half + 2.0 / prices)])
    rows = np.arange(count)
    for step in range(_ROUNDS):
        paths = best_paths(jobs, price)
        np.maximum(bound, (price * jobs.work + paths.value).max(axis=0), out=bound)
        done = paths.net >= enough
        first_done = np.where(done.any(axis=0), done.argmax(axis=0), prices - 1)
        better = done[first_done, rows] if step else np.ones(count, dtype=np.bool_)
        mode[better] = paths.mode[:, first_done, rows].T[better]
        start[better] = paths.start[:, first_done, rows].T[better]
        net[better] = paths.net[first_done, rows][better]
        low, high = price[np.maximum(first_done - 1, 0), rows], price[first_done, rows]
        if step == 0 and not done.any():
            break
        price = low * (high / low) ** np.linspace(0.0, 1.0, prices)[:, None]
    wants = [_trim(jobs, row, mode[row], start[row], float(net[row] - jobs.work[row])) for row in range(count)]
    return SwitchingFilled(wants, np.where(net >= enough, 0.0, jobs.work - net), bound)


def _shifted(filled: SwitchingFilled, slots: int) -> SwitchingFilled:
    wants = [Want(want.slots + slots, want.modes, want.hours, want.starts) for want in filled.wants]
    return SwitchingFilled(wants, filled.short, filled.bound)


@dataclass
class _Run:
    """Consecutive slots in one mode."""

    mode: int
    slots: list[int]
    starts: list[float]
    hours: list[float]
    started: bool

    @property
    def end(self) -> float:
        """When it ends, hours."""
        return self.starts[-1] + self.hours[-1]

    def net(self, rate: float, lost: float) -> float:
        return rate * (sum(self.hours) - (lost if self.started else 0.0))


def _trim(jobs: Switching, row: int, mode: IntArray, start: BoolArray, excess: float) -> Want:
    """The path's hours without what is done too much: off the end whose work is dearest, or a whole run."""
    runs: list[_Run] = []
    for slot in np.flatnonzero(mode >= 0).tolist():
        at = int(mode[slot])
        if start[slot] or not runs:
            runs.append(_Run(at, [], [], [], bool(start[slot])))
        runs[-1].slots.append(slot)
        runs[-1].starts.append(float(jobs.starts[row, at, slot]))
        runs[-1].hours.append(float(jobs.hours[row, at, slot]))
    lost = float(jobs.lost[row])
    while excess > jobs.work[row] * _ROUNDING and runs:
        excess -= _cut(jobs, row, runs, excess, lost)
        runs = [run for run in runs if run.slots]
    return Want(
        np.array([slot for run in runs for slot in run.slots], dtype=np.int64),
        np.array([run.mode for run in runs for _ in run.slots], dtype=np.int64),
        np.array([hour for run in runs for hour in run.hours], dtype=np.float64),
        np.array([start for run in runs for start in run.starts], dtype=np.float64),
    )


def _cut(jobs: Switching, row: int, runs: list[_Run], excess: float, lost: float) -> float:
    """Take one piece of at most so much work off the runs; returns its work."""
    best: tuple[float, int, int] | None = None
    for index, run in enumerate(runs):
        rate = float(jobs.rate[row, run.mode])
        cost = jobs.cost[row, run.mode]
        net = run.net(rate, lost)
        if net <= excess:
            saved = sum(float(cost[slot]) * hour for slot, hour in zip(run.slots, run.hours, strict=True))
            if index == len(runs) - 1:
                before = runs[-2].end if len(runs) > 1 else run.starts[0]
                saved += float(jobs.delay[row]) * (run.end - before)
            offers = [(saved / max(net, 1e-12) if net > 0.0 else np.inf, index, 0)]
        else:
            wait = float(jobs.delay[row]) if index == len(runs) - 1 else 0.0
            offers = [((float(cost[run.slots[-1]]) + wait) / rate, index, -1)]
            if run.started and excess > rate * _LEAST_WAIT_HOURS:
                offers.append((float(cost[run.slots[0]]) / rate, index, 1))
        for offer in offers:
            if best is None or offer[0] > best[0]:
                best = offer
    assert best is not None
    run = runs[best[1]]
    rate = float(jobs.rate[row, run.mode])
    if best[2] == 0:
        net = run.net(rate, lost)
        run.slots, run.hours, run.starts = [], [], []
        return net
    end = 0 if best[2] == 1 else -1
    work = min(excess, rate * run.hours[end])
    if work >= rate * run.hours[end] * (1.0 - _ROUNDING):
        run.slots.pop(end)
        run.hours.pop(end)
        run.starts.pop(end)
    else:
        run.hours[end] -= work / rate
        if end == 0:
            run.starts[0] += work / rate
    return work


def rush_switching(jobs: Switching) -> tuple[list[Want], FloatArray]:
    """The hours that finish earliest in one mode, without a needless stop, and the work left undone (J)."""
    wants, short = [], np.zeros(len(jobs.work))
    for row in range(len(jobs.work)):
        found = [_rush_mode(jobs, row, mode) for mode in np.flatnonzero(jobs.rate[row] > 0.0).tolist()]
        if not found:
            wants.append(NOTHING)
            short[row] = jobs.work[row]
            continue
        left, _, want = min(found, key=lambda option: option[:2])
        wants.append(want)
        short[row] = left if left > jobs.work[row] * _ROUNDING else 0.0
    return wants, short


def _rush_mode(jobs: Switching, row: int, mode: int) -> tuple[float, float, Want]:
    """Work left, the slot (and share of it) in which it ends, and the hours, in this mode alone."""
    hours = jobs.hours[row, mode]
    on = hours > 0.0
    fresh = on & ~jobs.joined()[row, mode]
    # Time is lost from the start of each stretch, over as many slots as it takes.
    passed = np.cumsum(np.where(on, hours, 0.0))
    began = np.maximum.accumulate(np.where(fresh, passed - hours, 0.0))
    gone = np.where(fresh.cumsum() > 0, jobs.lost[row], 0.0)
    useful = np.clip(passed - began - gone, 0.0, np.where(on, hours, 0.0)) * on
    made = np.cumsum(useful) * jobs.rate[row, mode]
    enough = np.flatnonzero(made >= jobs.work[row] * (1.0 - _ROUNDING))
    last = int(enough[0]) if len(enough) else len(hours) - 1
    left = max(float(jobs.work[row] - made[-1]), 0.0)
    used = np.flatnonzero(on[: last + 1])
    held = hours[used].copy()
    if len(enough):
        held[-1] -= max(float(made[last] - jobs.work[row]), 0.0) / float(jobs.rate[row, mode])
    end = float(last) + (float(held[-1]) / max(float(hours[used[-1]]), 1e-12) if len(used) else 0.0)
    return left, end, Want(used, np.full(len(used), mode), held, jobs.starts[row, mode, used])
