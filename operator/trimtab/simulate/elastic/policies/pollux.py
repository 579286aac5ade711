"""Pollux: scale and batch of each job by goodput, fair in completion time, placed by a genetic algorithm.

Qiao et al., "Pollux: Co-adaptive Cluster Scheduling for Goodput-Optimized Deep Learning", OSDI 2021, with the
settings of its artifact.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trimtab.plan.elastic.goodput import GoodputModel
from trimtab.plan.elastic.placement import ClusterShape, Placement
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.goodput_agent import GoodputAgent
from trimtab.simulate.elastic.job import BatchAgent, ElasticJob
from trimtab.simulate.elastic.policies.pollux_fit import fit_steps
from trimtab.simulate.elastic.policies.pollux_search import SearchProblem, States, restart_factors, search
from trimtab.simulate.inputs.pollux import TrainingRequest

FloatArray = npt.NDArray[np.float64]

UNSCALABLE = frozenset({"ncf"})
"""Too small to gain from more than one GPU; the comparison keeps them on one, with the largest batch, for all
schedulers."""
GROWTH = 2
"""A job may grow to twice the replicas it has been measured with."""


class Pollux:
    """The scheduler of Pollux.

    Args:
        seed: of the genetic algorithm.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._agents: dict[str, GoodputAgent] = {}
        self._tables: dict[str, tuple[GoodputModel, int, FloatArray]] = {}
        self._population: tuple[list[str], States] = [], np.zeros((0, 0, 0), dtype=np.int8)

    def agent(self, request: TrainingRequest, application: Application) -> BatchAgent:
        """An agent that adapts the batch, but of jobs that do not scale."""
        limits = application.limits
        fixed = limits.maximum if request.application in UNSCALABLE else None
        self._agents[request.name] = GoodputAgent(limits, fit_steps, GROWTH, 1, fixed)
        return self._agents[request.name]

    def allocate(self, jobs: Sequence[ElasticJob], shape: ClusterShape, now_seconds: float) -> dict[str, Placement]:
        """One run of the genetic algorithm; of the solutions that none dominates the one with the best fitness."""
        jobs = sorted(jobs, key=lambda job: (job.attained_gpu_seconds, job.request.submit_seconds))
        names = [job.name for job in jobs]
        base = np.zeros((len(jobs), shape.nodes), dtype=np.int8)
        for index, job in enumerate(jobs):
            for node, count in job.placement:
                base[index, node] = count
        fair = -(-shape.gpus // len(jobs))
        problem = SearchProblem(
            speedups=np.stack([self._speedups(job, shape, fair) for job in jobs]),
            most_replicas=np.array([min(self._agents[name].most_replicas, shape.gpus) for name in names]),
            restart_factors=restart_factors(
                np.array([now_seconds - job.request.submit_seconds for job in jobs]),
                np.array([float(job.restarts) for job in jobs]),
            ),
            base=base,
            gpus_per_node=shape.gpus_per_node,
        )
        found = search(problem, self._seeds(names, base), self._rng)
        self._population = names, found.states
        best = found.states[int(np.argmin(found.costs[:, 0]))]
        return {
            name: tuple((int(node), int(row[node])) for node in np.flatnonzero(row))
            for name, row in zip(names, best, strict=True)
        }

    def _seeds(self, names: list[str], base: States) -> States:
        """The population of the round before, with the jobs of now."""
        before, states = self._population
        if len(states) == 0:
            return base[None]
        seeds = np.zeros((len(states), *base.shape), dtype=np.int8)
        place = {name: index for index, name in enumerate(before)}
        for index, name in enumerate(names):
            if name in place:
                seeds[:, index] = states[:, place[name]]
        return seeds

    def _speedups(self, job: ElasticJob, shape: ClusterShape, fair: int) -> FloatArray:
        """Speedup over the fair share. Shape: (2, GPUs + 1): within one node, on several."""
        model = self._agents[job.name].model
        counts = np.arange(shape.gpus + 1, dtype=float)
        if model is None:
            return np.stack([counts, counts]) / fair
        cached = self._tables.get(job.name)
        if cached is None or cached[0] is not model or cached[1] != fair:
            table = np.zeros((2, shape.gpus + 1))
            replicas = np.arange(1, shape.gpus + 1)
            for several in (0, 1):
                table[several, 1:] = model.best_batches(np.full(replicas.size, bool(several)), replicas).goodput
            cached = model, fair, table / table[0, fair]
            self._tables[job.name] = cached
        return cached[2]
