"""The state of each sequence that one instance of a recurrent model has in hand.

Triton sends all steps of a sequence to one instance, in order, so an instance needs to know no other's. A sequence that
has ended is forgotten at once; one that fell silent, when Triton has given it up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime

from trimtab_workloads.common.session import blank

_NO_SEQUENCE = (0, "")
"""Ids of a request that belongs to none."""


class SequenceStates:
    """States by the sequence's id: one row for each tensor."""

    def __init__(
        self, pairs: Mapping[str, str], inputs: Mapping[str, onnxruntime.NodeArg], idle_seconds: float
    ) -> None:
        """For a model.

        Args:
            pairs: Input that takes a state, to the output that gives the next one.
            inputs: All inputs of the model.
            idle_seconds: Silence after which Triton gives a sequence up.

        Raises:
            ValueError: A state is no such input, or has a free dimension besides the batch's.
        """
        self.inputs = dict(pairs)
        self._idle_seconds = idle_seconds
        self._zeros = {name: _zeros(name, inputs) for name in pairs}
        self._kept: OrderedDict[int | str, tuple[float, dict[str, np.ndarray]]] = OrderedDict()

    def __len__(self) -> int:
        """Sequences in hand."""
        return len(self._kept)

    def before(self, steps: Sequence[tuple[int | str, bool]]) -> dict[str, np.ndarray]:
        """The state inputs of a batch: zeros where a sequence begins.

        Args:
            steps: For each row the sequence's id, and whether this is its first step.
        """
        rows = [self._zeros if first or who not in self._kept else self._kept[who][1] for who, first in steps]
        return {name: np.stack([row[name] for row in rows]) for name in self.inputs} if rows else {}

    def after(self, steps: Sequence[tuple[int | str, bool]], outputs: Mapping[str, np.ndarray], now: float) -> None:
        """Keeps what a batch gave.

        Args:
            steps: For each row the sequence's id, and whether this was its last step.
            outputs: The state outputs of the batch.
            now: The instant, in seconds of a steady clock.
        """
        for index, (who, last) in enumerate(steps):
            self._kept.pop(who, None)
            if not last and who not in _NO_SEQUENCE:
                # A copy: a view would hold the whole batch in memory.
                self._kept[who] = now, {taken: outputs[given][index].copy() for taken, given in self.inputs.items()}
        # Twice the time: Triton's clock runs from when it took the request, this one from when it was run.
        while self._kept and now - next(iter(self._kept.values()))[0] > 2 * self._idle_seconds:
            self._kept.popitem(last=False)


def _zeros(name: str, inputs: Mapping[str, onnxruntime.NodeArg]) -> np.ndarray:
    if name not in inputs:
        raise ValueError(f"state {name!r}: the model has no such input, only {', '.join(sorted(inputs))}")
    node = inputs[name]
    if not all(isinstance(size, int) for size in node.shape[1:]):
        raise ValueError(f"state {name!r}: every dimension after the first must be fixed, it is {node.shape}")
    return blank(node, 1)[0]
