"""Against the published figures of the Pollux artifact (SOURCE.txt beside the data), on a whole workload of the
paper."""

import pytest

from tests.simulate.elastic.workloads import PAPER_CLUSTER, WORKLOAD, mean_completion_seconds, run_file
from trimtab.simulate.elastic.policies.optimus import Optimus
from trimtab.simulate.elastic.policies.tiresias import Tiresias
from trimtab.simulate.elastic.policies.trimtab import Trimtab

POLLUX_SECONDS = 2188.49375


def test_tiresias_is_the_artifacts_to_the_second() -> None:
    assert mean_completion_seconds(run_file(Tiresias(), WORKLOAD, PAPER_CLUSTER)) == pytest.approx(3876.25625)


def test_optimus_is_the_artifacts_to_the_second() -> None:
    assert mean_completion_seconds(run_file(Optimus(), WORKLOAD, PAPER_CLUSTER)) == pytest.approx(3944.00625)


def test_trimtab_is_no_slower_than_pollux() -> None:
    """Pollux itself takes minutes: tests/bench runs it on all workloads."""
    assert mean_completion_seconds(run_file(Trimtab(), WORKLOAD, PAPER_CLUSTER)) <= POLLUX_SECONDS
