"""One embedded cluster for all tests that need real pods; they run one after the other, in one test process."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.story import Story, make_shell
from trimtab.cli.demo import EMBEDDED_VALUES
from trimtab.demo.facts import Facts
from trimtab.demo.scenario import run, write
from trimtab.local.cluster import Cluster
from trimtab.local.images import catalog

# The scenario first, then what breaks things on the same cluster, and at last what the operator asked for in all that.
_ORDER = (
    "test_local_cluster", "test_scenario", "test_metering", "test_budgets", "test_rollout", "test_sleep", "test_break_",
    "test_rbac",
)  # fmt: skip


def _place(item: pytest.Item) -> int:
    return next((n for n, prefix in enumerate(_ORDER) if item.path.name.startswith(prefix)), len(_ORDER))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    slots = [n for n, item in enumerate(items) if here in item.path.parents]
    for n, item in zip(slots, sorted((items[n] for n in slots), key=_place), strict=True):
        items[n] = item
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
    """`make demo` on the tests' own cluster, run once for all that look at what came of it.

    One that was kept (TRIMTAB_TEST_KEEP=1) with a whole scenario on it is taken as it is.
    """
    shell, facts = make_shell(cluster), Facts()
    kept = cluster.paths.logs / "facts.json"
    if os.environ.get("TRIMTAB_TEST_KEEP") and kept.exists():
        return Story(shell, Facts.model_validate_json(kept.read_text()), cluster)
    try:
        run(shell, facts, time.monotonic(), EMBEDDED_VALUES)
    except BaseException:
        # Beside the logs, which outlive the cluster: how far it came.
        write(facts, kept.with_name("facts-partial.json"))
        raise
    write(facts, kept)
    return Story(shell, facts, cluster)
