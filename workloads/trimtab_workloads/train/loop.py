"""The training loop: one all-reduce a step carries the gradients, the loss and what the ranks must agree on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import torch
from torch import nn
from trimtab_workloads.common.stop import StopRequest
from trimtab_workloads.train import sampling
from trimtab_workloads.train.architecture import DigitsNetwork
from trimtab_workloads.train.config import TrainConfig
from trimtab_workloads.train.data import Digits
from trimtab_workloads.train.group import Group
from trimtab_workloads.train.metrics import RankMetrics
from trimtab_workloads.train.sampling import Floats, Integers
from trimtab_workloads.train.state import TrainState

WARM_UP_STEPS = 20
LABEL_SMOOTHING = 0.05
_EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Plan:
    """How much work a training is."""

    samples: int
    epochs: int
    batch: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; the last may have fewer samples."""
        return math.ceil(self.samples / self.batch)

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.epochs

    @property
    def total_samples(self) -> int:
        """Sample visits of the whole training."""
        return self.samples * self.epochs

    def batch_of(self, step: int, seed: int) -> tuple[int, Integers]:
        """The epoch of a step and the samples that all ranks together take in it."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = sampling.epoch_order(self.samples, seed, epoch)
        return epoch, order[position * self.batch : (position + 1) * self.batch]


def learning_rate(step: int, total_steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017, without restarts)."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return peak * warm_up * 0.5 * (1 + math.cos(math.pi * step / total_steps))


def gradients(model: DigitsNetwork, x: torch.Tensor, y: torch.Tensor, batch: int) -> torch.Tensor:
    """One rank's contribution to a step: its gradients, flat, and behind them its share of the loss.

    The loss is summed over the rank's samples and divided by the size of the *global* batch, so that the sum over
    ranks is the mean over the batch, however unevenly it was cut, and zero for a rank with no sample.

    Args:
        model: The network, equal on all ranks.
        x: The rank's images; may be empty.
        y: Their labels.
        batch: Samples of the global batch.
    """
    model.zero_grad(set_to_none=True)
    parameters = list(model.parameters())
    if not len(x):
        return torch.zeros(sum(p.numel() for p in parameters) + 1)
    logits = model(x)
    loss = nn.functional.cross_entropy(logits, y, reduction="sum", label_smoothing=LABEL_SMOOTHING) / batch
    loss.backward()
    return torch.cat([*(p.grad.reshape(-1) for p in parameters if p.grad is not None), loss.detach().reshape(1)])


def apply_gradients(state: TrainState, flat: torch.Tensor) -> None:
    """Hands flat gradients to the optimizer and takes its step."""
    offset = 0
    for parameter in state.model.parameters():
        count = parameter.numel()
        parameter.grad = flat[offset : offset + count].view_as(parameter)
        offset += count
    state.optimizer.step()


@dataclass
class Hooks:
    """What a loop reports to; the defaults do nothing. Called on every rank, at the same steps."""

    after_step: Callable[[TrainState], None] = lambda state: None
    after_epoch: Callable[[TrainState, int, float], None] = lambda state, epoch, accuracy: None
    checkpoint: Callable[[TrainState], None] = lambda state: None


class Loop:
    """Runs the steps that are left of a training."""

    def __init__(
        self, config: TrainConfig, digits: Digits, group: Group, metrics: RankMetrics, stop: StopRequest
    ) -> None:
        self._config = config
        self._digits = digits
        self._group = group
        self._metrics = metrics
        self._stop = stop
        self.plan = Plan(len(digits.train_x), config.epochs, config.global_batch_size)
        # What this rank trained on since the state's ledger was last brought up to date.
        self._own_visits: Integers = np.zeros(self.plan.samples, dtype=np.int64)

    def run(self, state: TrainState, hooks: Hooks) -> bool:
        """Trains to the end, or to the step that all ranks agreed to stop after.

        The state's ledger is up to date on return and whenever `hooks.checkpoint` is called.

        Returns:
            Whether the training is complete.
        """
        checkpointed = time.monotonic()
        while state.step < self.plan.total_steps:
            started = time.monotonic()
            due = started - checkpointed >= self._config.checkpoint_interval_seconds
            stopping, saving = self._step(state, due)
            state.training_seconds += time.monotonic() - started
            hooks.after_step(state)
            if state.step % self.plan.steps_per_epoch == 0:
                hooks.after_epoch(state, state.step // self.plan.steps_per_epoch, self.evaluate(state.model))
            if stopping or saving or state.step == self.plan.total_steps:
                self.settle(state)
                hooks.checkpoint(state)
                checkpointed = time.monotonic()
            if stopping:
                return state.step == self.plan.total_steps
            self._hold_pace(state, started)
        return True

    def _step(self, state: TrainState, due: bool) -> tuple[bool, bool]:
        started = time.perf_counter()
        epoch, batch = self.plan.batch_of(state.step, self._config.seed)
        mine = sampling.shard(batch, self._group.rank, self._group.world_size)
        x = torch.from_numpy(sampling.augment(self._digits.train_x, mine, self._config.seed, epoch))
        y = torch.from_numpy(self._digits.train_y[mine])
        loaded = time.perf_counter()
        # Any rank may have been asked to stop; rank 0 alone says when a checkpoint is due.
        wishes = torch.tensor([float(self._stop.requested), float(due and self._group.rank == 0)])
        flat = torch.cat([gradients(state.model, x, y, len(batch)), wishes])
        computed = time.perf_counter()
        self._group.sum_in_place(flat)
        communicated = time.perf_counter()
        for settings in state.optimizer.param_groups:
            settings["lr"] = learning_rate(state.step, self.plan.total_steps, self._config.learning_rate)
        apply_gradients(state, flat)
        state.step += 1
        state.completed_samples += len(batch)
        state.loss = float(flat[-3])
        self._own_visits[mine] += 1
        self._metrics.samples.inc(len(mine))
        observe = self._metrics.step_seconds.labels
        observe(phase="data").observe(loaded - started)
        observe(phase="compute").observe(computed - loaded + time.perf_counter() - communicated)
        observe(phase="communication").observe(communicated - computed)
        return bool(flat[-2] > 0), bool(flat[-1] > 0)

    def settle(self, state: TrainState) -> None:
        """Brings the ledger up to date with what each rank really trained on.

        Raises:
            RuntimeError: The ledger and the count of completed samples disagree.
        """
        visits = torch.from_numpy(self._own_visits.copy())
        self._group.sum_in_place(visits)
        self._own_visits[:] = 0
        state.visits = state.visits + visits.numpy()
        if int(state.visits.sum()) != state.completed_samples:
            raise RuntimeError(
                f"the ledger counts {int(state.visits.sum())} sample visits, the steps {state.completed_samples}"
            )

    def evaluate(self, model: DigitsNetwork) -> float:
        """Share of held-out samples that the model classifies rightly; each rank looks at its part."""
        everything = np.arange(len(self._digits.held_out_x))
        mine = sampling.shard(everything, self._group.rank, self._group.world_size)
        right = count_right(model, self._digits.held_out_x[mine], self._digits.held_out_y[mine])
        total = torch.tensor([float(right)])
        self._group.sum_in_place(total)
        return float(total.item()) / len(everything)

    def _hold_pace(self, state: TrainState, started: float) -> None:
        limit = self._config.samples_per_second_limit
        if limit is not None:
            self._stop.wait(self._config.global_batch_size / limit - (time.monotonic() - started))


def count_right(model: DigitsNetwork, x: Floats, y: Integers) -> int:
    """How many images the model classifies rightly."""
    right = 0
    with torch.inference_mode():
        for i in range(0, len(x), _EVALUATION_BATCH):
            predicted = model(torch.from_numpy(x[i : i + _EVALUATION_BATCH])).argmax(1).numpy()
            right += int((predicted == y[i : i + _EVALUATION_BATCH]).sum())
    return right
