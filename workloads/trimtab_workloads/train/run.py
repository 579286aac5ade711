"""One rank from its start to its result."""

from __future__ import annotations

import time

import torch
from trimtab_workloads.common.entry import EXIT_OK, EXIT_STOPPED
from trimtab_workloads.common.log import log
from trimtab_workloads.common.stop import StopRequest
from trimtab_workloads.common.termination import write_result
from trimtab_workloads.train import checkpoint, data, metrics, rendezvous, result
from trimtab_workloads.train import state as states
from trimtab_workloads.train.config import TrainConfig, rank_of
from trimtab_workloads.train.group import Group
from trimtab_workloads.train.loop import Hooks, Loop
from trimtab_workloads.train.state import TrainState


def run(config: TrainConfig) -> int:
    """Trains as one rank; returns the exit status."""
    stop = StopRequest().install()
    rank = rank_of(config)
    torch.set_num_threads(config.threads)
    digits = data.load()
    group = Group(rank, config.world_size)
    own = metrics.RankMetrics()
    own.world_size.set(config.world_size)
    whole = metrics.TrainingMetrics() if rank == 0 else None
    log("started", rank=rank, metrics_port=metrics.serve(config.metrics_port))
    loop = Loop(config, digits, group, own, stop)
    saved = checkpoint.load_newest(config.directory)
    state = states.loads(saved, config, loop.plan.samples) if saved else None
    if whole:
        whole.total.set(loop.plan.total_samples)
        _show(whole, state)
    if state is None or state.step < loop.plan.total_steps:
        try:
            state = _enter(config, loop, stop, group, saved)
        except rendezvous.StoppedWhileWaitingError:
            write_result(result.stopped(rank, state, loop.plan.total_samples))
            return EXIT_STOPPED
        _show(whole, state)
        complete = loop.run(state, _hooks(config, whole, rank))
        if not complete:
            write_result(result.stopped(rank, state, loop.plan.total_samples))
            return EXIT_STOPPED
        # Nobody leaves before the last checkpoint is on disk: from then on rank 0 can finish alone, however
        # often it is restarted, while the others' pods are already done.
        group.barrier()
    write_result(
        result.publish(config, state, digits, loop.plan.total_samples)
        if rank == 0
        else {"kind": "training", "rank": rank}
    )
    return EXIT_OK


def _enter(config: TrainConfig, loop: Loop, stop: StopRequest, group: Group, saved: bytes | None) -> TrainState:
    """Meets the other ranks, and starts or goes on from what rank 0 read: its disk decides for all."""
    if config.world_size > 1:
        rendezvous.join(config, group.rank, stop)
    saved = group.broadcast(saved)
    if not saved:
        log("training_started", rank=group.rank, total_samples=loop.plan.total_samples)
        return states.start(config, loop.plan.samples)
    state = states.loads(saved, config, loop.plan.samples)
    state.resumes += 1
    log("training_resumed", rank=group.rank, step=state.step, completed_samples=state.completed_samples)
    return state


def _show(whole: metrics.TrainingMetrics | None, state: TrainState | None) -> None:
    if whole and state:
        whole.progress.set(state.completed_samples)
        whole.last_checkpoint.set(state.completed_samples)


def _hooks(config: TrainConfig, whole: metrics.TrainingMetrics | None, rank: int) -> Hooks:
    if whole is None:
        return Hooks()

    first = True

    def after_step(state: TrainState) -> None:
        nonlocal first
        if first:
            first = False
            log("first_step", rank=rank, step=state.step, completed_samples=state.completed_samples)
        whole.progress.set(state.completed_samples)
        whole.loss.set(state.loss)

    def after_epoch(state: TrainState, epoch: int, accuracy: float) -> None:
        whole.accuracy.set(accuracy)
        log("epoch", rank=rank, epoch=epoch, loss=round(state.loss, 5), accuracy=round(accuracy, 5))

    def save(state: TrainState) -> None:
        started = time.perf_counter()
        path = checkpoint.save(config.directory, state.step, states.dumps(state, config))
        seconds = time.perf_counter() - started
        whole.checkpoint_seconds.observe(seconds)
        whole.last_checkpoint.set(state.completed_samples)
        log("checkpoint", path=str(path), completed_samples=state.completed_samples, seconds=round(seconds, 4))

    return Hooks(after_step, after_epoch, save)
