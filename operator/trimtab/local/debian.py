"""What the embedded cluster needs from Debian: checked before anything starts, installed only by who may."""

import os
import shutil
from pathlib import Path

from trimtab.local.errors import LocalError
from trimtab.local.process import run

# Package to the program or file that shows that it is installed.
_NEEDED = {
    "containerd": "/usr/bin/containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "nftables": "nft",
    "conntrack": "conntrack",
    "iproute2": "ip",
    "util-linux": "unshare",
    "mount": "mount",
    "buildah": "buildah",
    "skopeo": "skopeo",
    "debootstrap": "debootstrap",
    "catatonit": "/usr/bin/catatonit",
}


def missing_packages() -> list[str]:
    """Return the Debian packages that are needed and not installed."""
    return [package for package, sign in _NEEDED.items() if not _is_there(sign)]


def require_packages() -> None:
    """Install what is missing.

    Raises:
        LocalError: If this is no Debian, or apt fails.
    """
    missing = missing_packages()
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise LocalError(
            f"missing: {', '.join(missing)} (the names of Debian's packages). trimtab installs them by itself only "
            "on Debian and its relatives; install them as this system does, or use any Kubernetes through KUBECONFIG"
        )
    if os.geteuid() != 0:
        raise LocalError(f"missing Debian packages; install them with: sudo apt-get install {' '.join(missing)}")
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], environment=environment)
    run(
        [
            *("apt-get", "install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600"),
            *missing,
        ],
        environment=environment,
    )


def _is_there(sign: str) -> bool:
    places = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return Path(sign).exists() if sign.startswith("/") else shutil.which(sign, path=places) is not None
