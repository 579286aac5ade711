"""Where the embedded cluster keeps its files: XDG directories, never the checkout."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from trimtab.local.errors import LocalError

PACKAGE = Path(__file__).resolve().parent
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?")


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # The specification says that a relative path is to be ignored.
    return Path(value) if value.startswith("/") else Path.home() / default


def cache_dir() -> Path:
    """Binaries, images and package downloads: worth keeping, safe to delete while no cluster is up."""
    return _xdg("XDG_CACHE_HOME", ".cache") / "trimtab"


def state_dir() -> Path:
    """What describes running clusters, and the logs of the last run of each."""
    return _xdg("XDG_STATE_HOME", ".local/state") / "trimtab"


def check_name(name: str) -> str:
    """Return the name of a cluster if it fits everywhere it is used.

    Raises:
        LocalError: If it is no short lower-case name. It ends up in a network link's name, which Linux
            limits to 15 characters.
    """
    if not _NAME.fullmatch(name):
        raise LocalError(
            f"{name!r} is no name for a cluster: 1 to 10 lower-case letters, digits and dashes, "
            "starting with a letter and not ending with a dash"
        )
    return name


@dataclass(frozen=True)
class ClusterPaths:
    """The files of one cluster.

    Attributes:
        name: The cluster's name.
        root: Its directory under the state directory.
    """

    name: str
    root: Path

    @classmethod
    def of(cls, name: str) -> "ClusterPaths":
        """Return the paths of the named cluster, which need not exist."""
        return cls(name, state_dir() / "clusters" / check_name(name))

    @property
    def record(self) -> Path:
        """What `up` noted for `down`: the supervisor, the subnet, the images."""
        return self.root / "cluster.json"

    @property
    def run(self) -> Path:
        """Everything that ends with the cluster: keys, databases, container layers, volumes."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One file for each component. Kept after `down`, replaced by the next `up`."""
        return self.root / "logs"

    @property
    def audit_log(self) -> Path:
        """The apiserver's audit log: the requests of service accounts outside kube-system."""
        return self.logs / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, good on this machine."""
        return self.run / "kubeconfig"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.run / "pki"

    @property
    def containerd(self) -> Path:
        """The root of containerd: image contents and container layers."""
        return self.run / "containerd"

    @property
    def lock(self) -> Path:
        """Held while the cluster goes up or down."""
        return self.root.parent / f"{self.name}.lock"
