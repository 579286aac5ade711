"""What is held over time is a mean that conserves the hours held."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trimtab.simulate.report.timeline_plot import held
from trimtab.simulate.results import Timeline


def test_a_step_within_a_bin_counts_for_its_part() -> None:
    timeline = Timeline(np.array([1.0, 2.5, 4.0]), np.array([2.0, 6.0, 0.0]))
    assert held(timeline, np.array([0.0, 1.0, 2.0, 3.0, 4.0, 9.0])).tolist() == [0, 2, 4, 6, 0]


@given(
    st.lists(st.tuples(st.floats(0.01, 9), st.floats(0, 100)), min_size=1, max_size=20),
    st.integers(1, 50),
)
def test_the_hours_held_do_not_depend_on_the_bins(steps: list[tuple[float, float]], bins: int) -> None:
    lengths = np.array([length for length, _ in steps])
    units = np.array([unit for _, unit in steps] + [0.0])
    hours = np.concatenate([[0.0], np.cumsum(lengths)])
    edges = np.linspace(0.0, hours[-1] + 1, bins + 1)
    total = (held(Timeline(hours, units), edges) * np.diff(edges)).sum()
    np.testing.assert_allclose(total, (lengths * units[:-1]).sum(), atol=1e-9)
