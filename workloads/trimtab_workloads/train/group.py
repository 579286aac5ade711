"""The collective operations that training needs, for one rank or many."""

from __future__ import annotations

import numpy as np
import torch.distributed as dist

import torch


class PeerLostError(Exception):
    """Another rank ended or fell silent in the middle of the training."""


class Group:
    """All ranks of a training. With one rank nothing is sent anywhere, and no process group is needed."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank = rank
        self.world_size = world_size

    def sum_in_place(self, tensor: torch.Tensor) -> None:
        """Replaces a tensor by its sum over all ranks.

        Raises:
            PeerLostError: A rank is gone; the tensor's content is undefined.
        """
        if self.world_size == 1:
            return
        try:
            dist.all_reduce(tensor, op=dist.ReduceOp.SUM)
        except RuntimeError as error:
            raise self._lost(error) from error

    def broadcast(self, data: bytes | None) -> bytes:
        """Sends rank 0's bytes to all; the others' argument is not read.

        Raises:
            PeerLostError: A rank is gone.
        """
        if self.world_size == 1:
            return data or b""
        try:
            size = torch.tensor([len(data or b"") if self.rank == 0 else 0])
            dist.broadcast(size, src=0)
            content = torch.empty(int(size.item()), dtype=torch.uint8)
            if self.rank == 0 and data:
                content = torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())
            if len(content):
                dist.broadcast(content, src=0)
        except RuntimeError as error:
            raise self._lost(error) from error
        return content.numpy().tobytes()

    def barrier(self) -> None:
        """Waits until every rank is here."""
        self.sum_in_place(torch.zeros(1))

    def _lost(self, error: RuntimeError) -> PeerLostError:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        return PeerLostError(f"rank {self.rank} of {self.world_size} lost a peer: {reason}")
