"""The states of sequences that an instance keeps: whatever the order, each sequence sees its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from tests.workloads import onnx_models  # noqa: E402
from trimtab_workloads.serve.sequence_states import SequenceStates  # noqa: E402

STEPS = st.lists(
    st.lists(
        st.tuples(st.integers(1, 4), st.booleans(), st.booleans()),
        min_size=1,
        max_size=3,
        unique_by=lambda step: step[0],
    ),
    max_size=25,
)
"""Batches of steps: id of the sequence, whether it begins, whether it ends."""


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    path = onnx_models.counter(tmp_path_factory.mktemp("states") / "counter.onnx")
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def states(session, idle_seconds=60.0):
    return SequenceStates({"h": "next"}, {it.name: it for it in session.get_inputs()}, idle_seconds)


@given(batches=STEPS)
def test_every_sequence_goes_on_from_its_own_state(session, batches):
    kept, expected = states(session), {}
    for now, batch in enumerate(batches):
        x = np.arange(1, len(batch) + 1, dtype=np.float32)[:, None]
        feed = kept.before([(who, first) for who, first, _ in batch])
        y, following = session.run(["y", "next"], {"x": x, **feed})
        kept.after([(who, last) for who, _, last in batch], {"next": following}, float(now))
        for row, (who, first, last) in enumerate(batch):
            total = x[row, 0] + (0 if first else expected.get(who, 0))
            assert y[row, 0] == total
            expected.pop(who, None)
            if not last:
                expected[who] = total
    assert len(kept) == len(expected)


def test_a_sequence_that_fell_silent_is_forgotten(session):
    kept = states(session, idle_seconds=10)
    one = {"next": np.ones((1, 1), np.float32)}
    kept.after([(1, False)], one, 0.0)
    kept.after([(2, False)], one, 15.0)
    assert len(kept) == 2
    kept.after([(2, False)], one, 20.5)
    assert len(kept) == 1
    assert kept.before([(1, False), (2, False)])["h"].tolist() == [[0.0], [1.0]]


def test_a_request_of_no_sequence_leaves_nothing_behind(session):
    kept = states(session)
    kept.after([(0, False), ("", False)], {"next": np.ones((2, 1), np.float32)}, 0.0)
    assert len(kept) == 0


def test_a_state_that_the_model_does_not_have_is_named(session):
    inputs = {it.name: it for it in session.get_inputs()}
    with pytest.raises(ValueError, match="state 'c': the model has no such input, only h, x"):
        SequenceStates({"c": "next"}, inputs, 60)
