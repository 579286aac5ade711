"""Slack that is kept for jobs to come: never more than there is, and less as it is used up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.schedule.reserve import planned_deadline

HOURS = st.floats(0.0, 1000.0)


@given(earliest=HOURS, least=HOURS, slack=HOURS, share=st.floats(0.0, 1.0))
def test_a_planned_deadline_is_feasible_and_not_after_the_true_one(
    earliest: float, least: float, slack: float, share: float
) -> None:
    deadline = earliest + least + slack
    planned = planned_deadline(deadline, earliest, least, share)
    assert earliest + least - 1e-6 <= planned <= deadline


@pytest.mark.parametrize(("deadline", "planned"), [(20.0, 16.75), (7.0, 7.0), (5.0, 5.0), (math.inf, math.inf)])
def test_a_quarter_of_the_slack_is_kept_and_none_where_there_is_none(deadline: float, planned: float) -> None:
    assert planned_deadline(deadline, 3.0, 4.0) == planned
