"""Runs buildah with a store of its own, in a mount namespace that leaves nothing behind when it is killed."""

import ast
import os
import sys
from pathlib import Path

from trimtab.local.paths import cache_dir
from trimtab.local.process import run, succeeds

# Mounts end with the command, and so does whatever it started.
CONTAINED = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def command(*arguments: str | Path) -> list[str]:
    """Return a buildah command on trimtab's store."""
    store = cache_dir() / "buildah"
    options = ["--root", store / "root", "--runroot", store / "run", "--storage-driver", "overlay"]
    return [*CONTAINED, "buildah", *map(str, options), *map(str, arguments)]


def storage_address(image: str) -> str:
    """Return how skopeo names an image in this store."""
    store = cache_dir() / "buildah"
    return f"containers-storage:[overlay@{store}/root+{store}/run]{image}"


def tags() -> list[str]:
    """Return the names of the images in the store, the newest first."""
    return call("images", "--format", "{{.Name}}:{{.Tag}}").split()


def environment() -> dict[str, str]:
    """Return what buildah needs in its environment: a place for large temporary files."""
    place = cache_dir() / "buildah" / "tmp"
    place.mkdir(parents=True, exist_ok=True)
    return {"TMPDIR": str(place), "BUILDAH_ISOLATION": "chroot"}


def has(tag: str) -> bool:
    """Whether the store has an image of this tag."""
    return succeeds(command("inspect", "--type", "image", tag))


def call(*arguments: str | Path) -> str:
    """Run buildah to its end and return what it printed.

    Raises:
        LocalError: If it fails.
    """
    return run(command(*arguments), environment=environment())


def pip_options() -> list[str]:
    """Return what lets pip in a build reach its index as it does here: its settings, certificates and cache.

    They are mounted for the build and leave no trace in the image.
    """
    folder = cache_dir() / "buildah"
    settings = folder / "pip.conf"
    cache = cache_dir() / "pip"
    cache.mkdir(parents=True, exist_ok=True)
    settings_here = _pip_settings()
    lines = ["[global]", "disable-pip-version-check = true", "root-user-action = ignore"]
    for name in ("index-url", "extra-index-url", "trusted-host", "timeout", "retries", "proxy"):
        if settings_here.get(name):
            lines.append(f"{name} = {settings_here[name]}")
    options = ["--volume", f"{cache}:/root/.cache/pip"]
    certificates = settings_here.get("cert") or os.environ.get("SSL_CERT_FILE", "")
    if certificates and Path(certificates).is_file():
        lines.append("cert = /etc/ssl/certs/ca-certificates.crt")
        options += ["--volume", f"{certificates}:/etc/ssl/certs/ca-certificates.crt:ro"]
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("\n".join(lines) + "\n")
    return [*options, "--volume", f"{settings}:/etc/pip.conf:ro"]


def _pip_settings() -> dict[str, str]:
    """Return pip's settings on this machine, from its files and its environment variables."""
    found: dict[str, str] = {}
    for line in run([sys.executable, "-m", "pip", "config", "list"]).splitlines():
        key, _, value = line.partition("=")
        found[key.split(".", 1)[-1].replace("_", "-")] = str(ast.literal_eval(value)).strip()
    return found
