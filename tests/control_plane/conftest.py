"""A real apiserver for each test process: it starts in three seconds and needs no root."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from trimtab.local.control_plane import ControlPlane


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.control_plane)


@dataclass(frozen=True)
class Api:
    """What a test needs of a control plane.

    Attributes:
        kubeconfig: The administrator's.
        program: A kubectl of the same version.
    """

    kubeconfig: Path
    program: Path

    def kubectl(self, *arguments: str | Path, input: str | None = None) -> str:
        """Run kubectl and return what it printed; a failure fails the test with what kubectl said."""
        done = self.try_kubectl(*arguments, input=input)
        if done.returncode != 0:
            pytest.fail(f"kubectl {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def try_kubectl(self, *arguments: str | Path, input: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run kubectl where a failure is what the test is about."""
        command = [self.program, "--kubeconfig", self.kubeconfig, *arguments]
        return subprocess.run(command, input=input, capture_output=True, text=True)


@pytest.fixture(scope="session")
def control_plane(worker_id: str) -> Iterator[Api]:
    """An apiserver with its etcd, one for each test process; tests keep to namespaces of their own."""
    with ControlPlane(f"test-{worker_id}") as plane:
        yield Api(plane.kubeconfig, plane.kubectl)


@pytest.fixture(scope="session")
def crds(control_plane: Api) -> Api:
    """The same apiserver, with the committed CRDs established."""
    control_plane.kubectl("apply", "--server-side", "-f", Path(__file__).parents[2] / "crds")
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    return control_plane
