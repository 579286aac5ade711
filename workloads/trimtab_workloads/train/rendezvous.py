"""Ranks find each other: pods start seconds apart, and their names may not resolve yet."""

from __future__ import annotations

import time
from datetime import timedelta

import torch.distributed as dist

from trimtab_workloads.common.log import log
from trimtab_workloads.common.stop import StopRequest
from trimtab_workloads.train.config import TrainConfig

# A signal is handled only between calls into torch: each wait is cut into slices of this length.
_SLICE = timedelta(seconds=1)
_RETRY_SECONDS = 0.5


class RendezvousError(Exception):
    """The ranks did not all appear in time."""


class StoppedWhileWaitingError(Exception):
    """A request to stop came before the ranks were together."""


def join(config: TrainConfig, rank: int, stop: StopRequest) -> None:
    """Makes the process group of all ranks (gloo over TCP).

    Raises:
        RendezvousError: Not all ranks appeared within `rendezvous_timeout_seconds`.
        StoppedWhileWaitingError: The stop request came first.
    """
    deadline = time.monotonic() + config.rendezvous_timeout_seconds
    log("rendezvous", rank=rank, master=config.master_address, world_size=config.world_size)
    while True:
        try:
            _join_once(config, rank, stop, deadline)
            return
        except (dist.DistError, RuntimeError, OSError) as error:
            # Rank 0 holds the store: if its own attempt fails, the peers' keys are of ranks that are gone.
            if rank == 0 or time.monotonic() > deadline:
                raise RendezvousError(f"rank {rank}: {_first_line(error)}") from error
            log("rendezvous_retry", rank=rank, error=_first_line(error))
        if stop.wait(_RETRY_SECONDS):
            raise StoppedWhileWaitingError


def _join_once(config: TrainConfig, rank: int, stop: StopRequest, deadline: float) -> None:
    store = dist.TCPStore(
        config.master_address if rank else "0.0.0.0",
        config.master_port,
        config.world_size,
        is_master=rank == 0,
        timeout=_SLICE * 2,
        wait_for_workers=False,
    )
    # Ranks of another generation of the Job (another world size) write other keys, and are never waited for.
    mine = dist.PrefixStore(config.fingerprint(), store)
    mine.set(f"ready/{rank}", "1")
    for peer in range(config.world_size):
        _wait_for(mine, f"ready/{peer}", stop, deadline)
    group_timeout = timedelta(seconds=config.peer_timeout_seconds)
    dist.init_process_group("gloo", store=mine, rank=rank, world_size=config.world_size, timeout=group_timeout)


def _wait_for(store: dist.Store, key: str, stop: StopRequest, deadline: float) -> None:
    while not store.check([key]):
        if stop.wait(_RETRY_SECONDS):
            raise StoppedWhileWaitingError
        if time.monotonic() > deadline:
            raise RendezvousError(f"{key} did not appear in time: is the pod of that rank running?")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
