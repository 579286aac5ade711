"""Pollux's genetic algorithm over placements: who has how many GPUs on which node.

Qiao et al., "Pollux", OSDI 2021, section 4.2.1, with the settings of its artifact: population 100, 100 generations,
fitness the power mean (p = -1) of speedups over the fair share, restarts penalized, at most one distributed job on a
node, and the efficiency of the cluster as a second objective by which the population is kept diverse.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.simulate.elastic.policies.nsga2 import survivors, tournament

FloatArray = npt.NDArray[np.float64]
States = npt.NDArray[np.int8]
"""Replicas. Shape: (solutions, jobs, nodes)."""

POPULATION = 100
GENERATIONS = 100
CROSSOVER_PROBABILITY = 0.9
RESET_PROBABILITY = 0.1
THIN_PROBABILITY = 0.1
"""Chance of a job to lose each of its places with chance `THIN_PROBABILITY`."""
SMALLEST_SPEEDUP = 1e-3
"""Added to speedups, so that a job without GPUs does not make the mean zero."""
RESTART_SECONDS = 30.0
REFILLS = 5
"""How often offspring that repeat known solutions are replaced. The artifact tries 100 times; spaces so small are
searched whole sooner."""


@dataclass(frozen=True)
class SearchProblem:
    """The jobs of a round, in order of precedence for contested GPUs."""

    speedups: FloatArray
    """Speedup over the fair share. Shape: (jobs, 2, replicas + 1): within one node, on several."""
    most_replicas: npt.NDArray[np.int64]
    """Shape: (jobs,)."""
    restart_factors: FloatArray
    """What a speedup is worth if it costs a restart. Shape: (jobs,)."""
    base: States
    """Where the jobs are. Shape: (jobs, nodes)."""
    gpus_per_node: int


@dataclass(frozen=True)
class Evaluated:
    """Solutions with their objectives (to be least): negative fitness, negative efficiency. Shapes: (n, jobs, nodes),
    (n, 2).
    """

    states: States
    costs: FloatArray


def restart_factors(ages: FloatArray, restarts: FloatArray) -> FloatArray:
    """Share of a job's life that it trains, were it restarted once more."""
    return np.maximum(ages - restarts * RESTART_SECONDS, 0.0) / (ages + RESTART_SECONDS)


def search(problem: SearchProblem, seeds: States, rng: np.random.Generator) -> Evaluated:
    """Searches placements.

    Args:
        problem: the round.
        seeds: solutions to start from, at least one.
        rng: source of all randomness.

    Returns:
        The solutions that no other found dominates.
    """
    states = _unlike(_repair(problem, seeds, rng), set())
    costs = _costs(problem, states)
    chosen, distance, first = survivors(costs, min(POPULATION, len(states)), rng)
    states, costs = states[chosen], costs[chosen]
    for _ in range(GENERATIONS - 1):
        offspring = _offspring(problem, states, costs, distance, rng)
        states = np.concatenate([states, offspring])
        costs = np.concatenate([costs, _costs(problem, offspring)])
        chosen, distance, first = survivors(costs, min(POPULATION, len(states)), rng)
        states, costs = states[chosen], costs[chosen]
    return Evaluated(states[:first], costs[:first])


def _costs(problem: SearchProblem, states: States) -> FloatArray:
    if len(states) == 0:
        return np.zeros((0, 2))
    replicas = states.sum(axis=2, dtype=np.intp)
    several = (np.count_nonzero(states, axis=2) > 1).astype(np.intp)
    speedups = problem.speedups[np.arange(states.shape[1]), several, replicas]
    active = np.count_nonzero(states.any(axis=1), axis=1) * problem.gpus_per_node
    efficiency = speedups.sum(axis=1) / np.maximum(active, 1)
    moved = (states != problem.base).any(axis=2)
    # In units of a node's share, as the artifact scales them: it matters against SMALLEST_SPEEDUP only.
    scaled = speedups / problem.gpus_per_node * np.where(moved, problem.restart_factors, 1.0)
    fitness = states.shape[1] / np.sum(1.0 / (scaled + SMALLEST_SPEEDUP), axis=1)
    return -np.column_stack([fitness, efficiency])


def _offspring(
    problem: SearchProblem, states: States, costs: FloatArray, distance: FloatArray, rng: np.random.Generator
) -> States:
    known = {state.tobytes() for state in states}
    found: list[States] = []
    missing = POPULATION
    for _ in range(REFILLS):
        parents = tournament(costs, distance, missing + missing % 2, rng)
        children = _mutate(problem, _cross(states[parents], rng), rng)
        children = _unlike(_repair(problem, children, rng), known)[:missing]
        found.append(children)
        missing -= len(children)
        if missing == 0:
            break
    return np.concatenate(found)


def _unlike(states: States, known: set[bytes]) -> States:
    """Those that are not known and differ from each other; `known` gains them."""
    keep = []
    for index, state in enumerate(states):
        key = state.tobytes()
        if key not in known:
            known.add(key)
            keep.append(index)
    return states[keep]


def _cross(parents: States, rng: np.random.Generator) -> States:
    """Single-point crossover over jobs: pairs of parents swap their first jobs."""
    children = parents.copy()
    pairs, jobs = len(parents) // 2, parents.shape[1]
    points = rng.integers(jobs, size=pairs)
    points[rng.random(pairs) >= CROSSOVER_PROBABILITY] = 0
    swap = np.arange(jobs) < points[:, None]
    children[:pairs][swap] = parents[pairs:][swap]
    children[pairs:][swap] = parents[:pairs][swap]
    return children


def _mutate(problem: SearchProblem, states: States, rng: np.random.Generator) -> States:
    count, jobs, _ = states.shape
    reset = rng.random((count, jobs), dtype=np.float32) < RESET_PROBABILITY
    states = np.where(reset[:, :, None], problem.base, states)
    thinned = np.nonzero(rng.random((count, jobs), dtype=np.float32) < THIN_PROBABILITY)
    rows = states[thinned]
    rows[rng.random(rows.shape, dtype=np.float32) < THIN_PROBABILITY] = 0
    states[thinned] = rows
    # On a node with a free GPU: on average one job gains there, and one that is there already.
    free = states.sum(axis=1, dtype=np.int16) < problem.gpus_per_node
    present = (states > 0) & free[:, None, :]
    any_job = (free / jobs).astype(np.float32)
    present_job = (1.0 / np.maximum(present.sum(axis=1, dtype=np.int16), 1)).astype(np.float32)
    chance = any_job[:, None, :] + present * (present_job * (1 - any_job))[:, None, :]
    grown = np.nonzero(rng.random(states.shape, dtype=np.float32) < chance)
    states[grown] = rng.integers(states[grown], problem.gpus_per_node, endpoint=True)
    return states


def _repair(problem: SearchProblem, states: States, rng: np.random.Generator) -> States:
    """Makes solutions feasible: one distributed job a node, no job above its limit, no node above its GPUs; earlier
    jobs first.
    """
    states = states.astype(np.int8)
    distributed = np.count_nonzero(states, axis=2) > 1
    shared = (states > 0) & distributed[:, :, None]
    crowded = np.nonzero(np.count_nonzero(shared, axis=1) > 1)
    columns = shared[crowded[0], :, crowded[1]]
    later = columns & (np.cumsum(columns, axis=1, dtype=np.int16) > 1)
    which, job = np.nonzero(later)
    states[crowded[0][which], job, crowded[1][which]] = 0
    excess = np.nonzero(states.sum(axis=2, dtype=np.int16) > problem.most_replicas)
    if excess[0].size:
        rows = states[excess]
        shuffle = np.argsort(rng.random(rows.shape, dtype=np.float32), axis=1)
        mixed = np.cumsum(np.take_along_axis(rows, shuffle, axis=1), axis=1, dtype=np.int16)
        mixed = np.diff(np.minimum(mixed, problem.most_replicas[excess[1]][:, None]), axis=1, prepend=0)
        np.put_along_axis(rows, shuffle, mixed.astype(np.int8), axis=1)
        states[excess] = rows
    full = np.nonzero(states.sum(axis=1, dtype=np.int16) > problem.gpus_per_node)
    if full[0].size:
        columns16 = np.cumsum(states[full[0], :, full[1]], axis=1, dtype=np.int16)
        columns16 = np.diff(np.minimum(columns16, problem.gpus_per_node), axis=1, prepend=0)
        states[full[0], :, full[1]] = columns16.astype(np.int8)
    return states
