"""Which programs there are, in which version, and where they lie."""

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from trimtab.local.paths import cache_dir

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Family:
    """Programs that are built from one Go module.

    Attributes:
        name: The folder beside this file that holds its go.mod.
        module: The module that is pinned there.
        packages: Program name to the package that it is built from.
        version_flag: What makes each program print its version.
        stamps: Variables that are set to the version at link time.
        tags: Build tags.
        version_override: What the stamps are set to, where the module's version is not the program's.
    """

    name: str
    module: str
    packages: dict[str, str]
    version_flag: str = "--version"
    stamps: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    version_override: str = ""

    @property
    def source(self) -> Path:
        """The folder with go.mod and go.sum."""
        return _FOLDER / self.name

    @property
    def version(self) -> str:
        """The pinned version, such as v1.37.2."""
        pattern = rf"^(?:require )?\s*{re.escape(self.module)} (v\S+)"
        match = re.search(pattern, (self.source / "go.mod").read_text(), re.MULTILINE)
        if match is None:
            raise AssertionError(f"{self.source}/go.mod does not require {self.module}")
        return match.group(1)

    @property
    def linker_flags(self) -> str:
        """What the linker is told: no symbol tables, and the version."""
        stamped = self.version_override or self.version
        return " ".join(["-s -w", *(f"-X {variable}={stamped}" for variable in self.stamps)])

    @property
    def directory(self) -> Path:
        """Where its built programs lie; another pin or other flags give another directory."""
        digest = hashlib.sha256()
        for part in ("go.mod", "go.sum"):
            digest.update((self.source / part).read_bytes())
        digest.update(f"{sorted(self.packages.items())} {self.linker_flags} {self.tags}".encode())
        return cache_dir() / "bin" / f"{self.name}-{self.version}-{digest.hexdigest()[:10]}"

    def is_built(self) -> bool:
        """Whether the cache holds all its programs."""
        return all((self.directory / program).exists() for program in self.packages)

    def on_path(self) -> dict[str, Path]:
        """Return where its programs are on PATH, if all are there in the pinned minor version; else nothing."""
        minor = ".".join(self.version.split(".")[:2])
        found: dict[str, Path] = {}
        for program in self.packages:
            where = shutil.which(program)
            if where is None or not re.search(rf"{re.escape(minor)[1:]}\.\d", _version_text(where, self)):
                return {}
            found[program] = Path(where)
        return found


def _version_text(program: str, family: Family) -> str:
    arguments = [program, *family.version_flag.split()]
    if program.endswith("kubectl"):
        arguments = [program, "version", "--client"]
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "kubernetes",
            "k8s.io/kubernetes",
            {
                program: f"k8s.io/kubernetes/cmd/{program}"
                for program in (
                    "kube-apiserver",
                    "kube-controller-manager",
                    "kube-scheduler",
                    "kubelet",
                    "kube-proxy",
                    "kubectl",
                )
            },
            stamps=("k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"),
        ),
        Family("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"}),
        Family("coredns", "github.com/coredns/coredns", {"coredns": "github.com/coredns/coredns"}, "-version"),
        Family(
            "kwok",
            "sigs.k8s.io/kwok",
            {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
            stamps=("sigs.k8s.io/kwok/pkg/consts.Version",),
        ),
        Family(
            "helm",
            "helm.sh/helm/v4",
            {"helm": "helm.sh/helm/v4/cmd/helm"},
            "version",
            stamps=("helm.sh/helm/v4/internal/version.version",),
        ),
        # Debian's is built without the discovery of Kubernetes' pods and nodes; of all discoveries we need only that.
        Family(
            "prometheus",
            "github.com/prometheus/prometheus",
            {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
            stamps=("github.com/prometheus/common/version.Version",),
            tags=("netgo", "remove_all_sd", "enable_kubernetes_sd"),
            version_override="3.16.0",
        ),
    )
}
