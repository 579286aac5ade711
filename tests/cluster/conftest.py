"""One embedded cluster for all tests that need real pods; they run one after the other, in one test process."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.story import Story, make_shell
from trimtab.cli.demo import EMBEDDED_VALUES
from trimtab.demo.facts import Facts
from trimtab.demo.scenario import run
from trimtab.local.cluster import Cluster
from trimtab.local.images import catalog


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            # Before xdist reads the groups (tryfirst); all in one process with --dist loadgroup, so one cluster.
            item.add_marker(pytest.mark.xdist_group("cluster"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A ready cluster with all images, and KUBECONFIG set to it. TRIMTAB_TEST_KEEP=1 leaves it up afterwards."""
    one = Cluster("test")
    before = os.environ.get("KUBECONFIG")
    try:
        one.up(images=catalog.available())
        os.environ["KUBECONFIG"] = str(one.kubeconfig)
        yield one
    finally:
        if before is None:
            os.environ.pop("KUBECONFIG", None)
        else:
            os.environ["KUBECONFIG"] = before
        if not os.environ.get("TRIMTAB_TEST_KEEP"):
            one.down()


@pytest.fixture(scope="session")
def story(cluster: Cluster) -> Story:
    """`make demo` on the tests' own cluster, run once for all that look at what came of it."""
    shell, facts = make_shell(cluster), Facts()
    run(shell, facts, time.monotonic(), EMBEDDED_VALUES)
    return Story(shell, facts, cluster)
