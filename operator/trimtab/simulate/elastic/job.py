"""One elastic job in the simulation: what it holds, how far it is, and how it moves on.

Rounds, restarts and epochs as in the simulator of Qiao et al., "Pollux", OSDI 2021 (section 5.3 and its artifact).
"""

from dataclasses import dataclass
from typing import Protocol

from trimtab.plan.elastic.limits import BatchSplit
from trimtab.plan.elastic.placement import Placement, replicas_of
from trimtab.simulate.elastic.application import Application, GradientStatistics, StepTime
from trimtab.simulate.inputs.pollux import TrainingRequest

RESTART_SECONDS = 30
"""Checkpoint, new pods and warm-up after each change of placement; measured for Pollux, section 5.3."""


@dataclass(frozen=True)
class Measurement:
    """What a running job measures of itself."""

    nodes: int
    replicas: int
    local_batch: int
    time: StepTime
    gradient: GradientStatistics


class BatchAgent(Protocol):
    """Sits in the job: sees its measurements and chooses its batch."""

    def observe(self, measurement: Measurement) -> None:
        """Takes a measurement."""

    def split(self, nodes: int, replicas: int) -> BatchSplit:
        """Chooses the batch of a placement."""


@dataclass
class Usage:
    """GPU time of a job."""

    computing_gpu_seconds: float = 0.0
    restarting_gpu_seconds: float = 0.0


@dataclass
class ElasticJob:
    """State of a job. It changes only by `advance` and `place`."""

    request: TrainingRequest
    application: Application
    agent: BatchAgent
    placement: Placement = ()
    batch: BatchSplit | None = None
    progress: float = 0.0
    """Steps of the initial batch that were done in worth."""
    epoch: int = 0
    restart_seconds_left: float = 0.0
    starts: int = 0
    completion_seconds: float | None = None
    attained_gpu_seconds: float = 0.0

    @property
    def name(self) -> str:
        """Its name in the workload."""
        return self.request.name

    @property
    def restarts(self) -> int:
        """Starts after the first."""
        return max(self.starts - 1, 0)

    def place(self, placement: Placement) -> None:
        """Moves the job; anything but its present placement costs a restart."""
        if placement == self.placement:
            return
        self.placement = placement
        self.batch = None
        if placement:
            self.batch = self.agent.split(len(placement), replicas_of(placement))
            self.restart_seconds_left = RESTART_SECONDS
            self.starts += 1

    def advance(self, now_seconds: float, seconds: float) -> Usage:
        """Runs for so long.

        Args:
            now_seconds: when the round starts.
            seconds: length of the round.

        Returns:
            What it used of its GPUs; nothing after its completion.
        """
        usage = Usage()
        if not self.placement:
            return usage
        replicas = replicas_of(self.placement)
        restarting = min(self.restart_seconds_left, seconds)
        self.restart_seconds_left -= restarting
        usage.restarting_gpu_seconds = restarting * replicas
        left = seconds - restarting
        while left > 0 and self.completion_seconds is None:
            spent = self._train(left)
            usage.computing_gpu_seconds += spent * replicas
            left -= spent
            if self.epoch >= self.application.epochs:
                self.completion_seconds = now_seconds + seconds - left
        self.attained_gpu_seconds += usage.restarting_gpu_seconds + usage.computing_gpu_seconds
        return usage

    def _train(self, seconds: float) -> float:
        """Trains to the end of the epoch or of the time; returns the time it took (whole seconds at the end of an
        epoch).
        """
        rate = self._progress_per_second()
        goal = float(self.application.epoch_progress[self.epoch])
        replicas = replicas_of(self.placement)
        if self.progress + rate * seconds < goal:
            self.progress += rate * seconds
        else:
            seconds = round((goal - self.progress) / rate)
            self.progress = goal
            self.epoch += 1
        self.batch = self.agent.split(len(self.placement), replicas)
        return seconds

    def _progress_per_second(self) -> float:
        if self.batch is None:
            raise RuntimeError(f"{self.name} runs without a batch")
        counts = tuple(count for _, count in self.placement)
        replicas = sum(counts)
        time = self.application.step_time(counts, self.batch.local)
        size = self.batch.batch_size(replicas)
        gradient = self.application.gradient_statistics(size, self.epoch)
        self.agent.observe(Measurement(len(counts), replicas, self.batch.local, time, gradient))
        step_seconds = time.step_seconds + time.compute_seconds * (self.batch.passes - 1)
        return gradient.gain(size / self.application.limits.initial) / step_seconds
