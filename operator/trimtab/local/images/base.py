"""The image that all others start from here: Debian's own Python, made on this machine from Debian's packages.

Users' images start from a public one instead; the Containerfiles take either.
"""

import hashlib
import re
import shutil
import time
from pathlib import Path

from trimtab.local.console import say
from trimtab.local.errors import LocalError
from trimtab.local.images import buildah
from trimtab.local.paths import cache_dir
from trimtab.local.process import run

_PACKAGES = "python3,python3-pip,ca-certificates"
_RECIPE = "1"


def suite() -> str:
    """Return the code name of this machine's distribution, such as bookworm."""
    match = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    if match is None:
        raise LocalError("/etc/os-release names no VERSION_CODENAME: the base image is made from Debian's packages")
    return match.group(1)


def key() -> str:
    """Return what changes when, and only when, the base image has to be made again."""
    return hashlib.sha256(f"{_RECIPE} {suite()} {_PACKAGES}".encode()).hexdigest()[:16]


def tag() -> str:
    """Return the base image's name in buildah's store."""
    return f"localhost/trimtab/base:{key()}"


def ensure() -> None:
    """Make the base image if it is missing.

    Raises:
        LocalError: If it cannot be made.
    """
    if buildah.has(tag()):
        return
    started = time.monotonic()
    folder = cache_dir() / "base"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root = folder / "root"
    options = ["--variant=minbase", f"--include={_PACKAGES}"]
    run([*buildah.CONTAINED, "debootstrap", *options, suite(), root, mirror(suite())])
    run(["sh", "-c", 'rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*', "sh", root])
    archive = folder / "base.tar"
    run(["tar", "-C", root, "-cf", archive, "."])
    container = buildah.call("from", "scratch").strip()
    buildah.call("add", container, archive, "/")
    buildah.call("config", "--cmd", "python3", "--env", "PYTHONDONTWRITEBYTECODE=1", container)
    buildah.call("commit", "--rm", container, tag())
    shutil.rmtree(folder)
    say(f"built image base ({suite()})", time.monotonic() - started)


def mirror(code_name: str) -> str:
    """Return the package mirror that this machine's own apt uses for a suite.

    Raises:
        LocalError: If apt has none.
    """
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in sources:
        text = path.read_text() if path.is_file() else ""
        for line in re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s", text, re.MULTILINE):
            if line[1] == code_name:
                return str(line[0])
        for stanza in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"^(\w+):\s*(.+)$", stanza, re.MULTILINE))
            if code_name in fields.get("Suites", "").split():
                return str(fields["URIs"]).split()[0]
    raise LocalError(f"apt's sources name no mirror for {code_name}: the base image is made from Debian's packages")
