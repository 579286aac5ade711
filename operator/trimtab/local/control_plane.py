"""Only etcd and an apiserver, on loopback: for tests of what the API accepts. Up in seconds, without root."""

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from trimtab.local import control_plane_commands as commands
from trimtab.local.binaries import ensure
from trimtab.local.certificates import Authority, write_service_account_key
from trimtab.local.errors import LocalError
from trimtab.local.kubeconfig import write_kubeconfig
from trimtab.local.layout import ControlPlaneLayout
from trimtab.local.process import last_lines, succeeds, wait_until

_TRIES = 3


class ControlPlane:
    """A real control plane with no nodes, which ends with the process that started it.

    Use it as a context manager:

        with ControlPlane("example") as plane:
            subprocess.run([plane.kubectl, "--kubeconfig", plane.kubeconfig, "get", "namespaces"])

    Attributes:
        name: Stands in the kubeconfig's context and in the name of its directory.
        controllers: Whether the controller manager runs too.
    """

    def __init__(self, name: str = "control-plane", *, controllers: bool = False) -> None:
        """Describe a control plane; nothing starts yet.

        Args:
            name: Its name.
            controllers: Whether to run the controller manager (Jobs, Deployments, service accounts) as well.
        """
        self.name = name
        self.controllers = controllers
        self._directory: Path | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._programs: dict[str, Path] = {}

    @property
    def directory(self) -> Path:
        """Where its files and logs are.

        Raises:
            LocalError: If it is not up.
        """
        if self._directory is None:
            raise LocalError(f"the control plane {self.name} is not up")
        return self._directory

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def kubectl(self) -> Path:
        """A kubectl of the same version."""
        return self._programs["kubectl"]

    def up(self) -> None:
        """Start it, and return when the API answers.

        Raises:
            LocalError: If it does not get ready, with the end of its logs.
        """
        self._programs = ensure(["kubernetes", "etcd"])
        for attempt in range(1, _TRIES + 1):
            try:
                self._start()
                return
            except LocalError:
                # A port that was free may have been taken before etcd or the apiserver got to it.
                self.down()
                if attempt == _TRIES:
                    raise

    def down(self) -> None:
        """Stop it and remove its files; does nothing if it is not up."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._processes.clear()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def __enter__(self) -> Self:
        """Start it."""
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.down()

    def _start(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix=f"trimtab-{self.name}-"))
        layout = self._layout()
        self._run("etcd", commands.etcd(layout))
        # Without the controller manager nobody makes the service accounts that this plugin asks for; and loopback
        # addresses are not allowed in the endpoints of the Service `kubernetes`.
        extra = ["--endpoint-reconciler-type=none"]
        if not self.controllers:
            extra.append("--disable-admission-plugins=ServiceAccount")
        self._run("kube-apiserver", commands.apiserver(layout, *extra))
        if self.controllers:
            # Its own port would be the same for several control planes on one machine; nobody asks it anything.
            command = [*commands.controller_manager(layout, self.kubeconfig), "--secure-port=0"]
            self._run("kube-controller-manager", command)
        ready: list[str | Path] = [self.kubectl, "--kubeconfig", self.kubeconfig, "get", "--raw=/readyz"]
        wait_until(
            lambda: self._all_alive() and succeeds(ready),
            timeout_seconds=60,
            failure=self._why_not_ready,
            interval_seconds=0.2,
        )

    def _layout(self) -> ControlPlaneLayout:
        authority = Authority(self.directory / "pki")
        port, etcd_port, etcd_peer_port = _free_ports(3)
        names = ["127.0.0.1", "localhost", "kubernetes.default.svc"]
        layout = ControlPlaneLayout(
            programs=self._programs,
            data=self.directory / "etcd",
            authority=authority.pair,
            serving=authority.issue("apiserver", "kube-apiserver", addresses=names),
            kubelet_client=authority.issue("kubelet-client", "kube-apiserver"),
            service_account_key=write_service_account_key(authority.directory),
            address="127.0.0.1",
            port=port,
            etcd_port=etcd_port,
            etcd_peer_port=etcd_peer_port,
            services="10.96.0.0/16",
        )
        write_kubeconfig(
            self.kubeconfig,
            context=f"trimtab-{self.name}",
            server=layout.server,
            authority=authority.pair.certificate,
            client=authority.issue("admin", "admin", groups=["system:masters"]),
        )
        return layout

    def _run(self, name: str, command: list[str]) -> None:
        # The kernel kills it when this process dies, even of SIGKILL.
        with (self.directory / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _all_alive(self) -> bool:
        if any(process.poll() is not None for process in self._processes):
            raise LocalError(self._why_not_ready())
        return True

    def _why_not_ready(self) -> str:
        logs = sorted(self.directory.glob("*.log"))
        return "the control plane does not get ready:\n" + "\n".join(
            f"  {log.name}:\n{last_lines(log)}" for log in logs
        )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
