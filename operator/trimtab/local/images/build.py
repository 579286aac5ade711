"""Builds what changed, in the order of what builds on what, and exports it to one shared OCI layout."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from trimtab.local.binaries import FAMILIES, build_missing
from trimtab.local.console import building, say
from trimtab.local.images import base, buildah, layout
from trimtab.local.images.catalog import REPOSITORY, Image, in_build_order
from trimtab.local.locks import exclusive
from trimtab.local.paths import cache_dir

PAUSE = "docker.io/trimtab/pause:1"
# Another invocation, on other sources, may be about to load the one before.
_KEPT = 3
_PAUSE_PROGRAM = "/usr/bin/catatonit"


@dataclass(frozen=True)
class Built:
    """An image that is ready to be loaded.

    Attributes:
        reference: Its full name.
        key: Its name and a digest of what it was built from; its tag in the OCI layout.
    """

    reference: str
    key: str


def ensure_built(names: Iterable[str]) -> list[Built]:
    """Build those of these images that are missing or out of date; return all that clusters are to get.

    Args:
        names: Names from the catalog.

    Raises:
        LocalError: If a name or a Containerfile is missing, or a build fails.
    """
    ordered = in_build_order(names)
    lock = cache_dir() / "images.lock"
    with exclusive(lock, lambda: say("another trimtab builds images: waiting for it")):
        built = [_ensure_pause()]
        if ordered:
            base_key = base.key()
            keys: dict[str, str] = {}
            for image in ordered:
                keys[image.name] = image.key(keys[image.parent] if image.parent else base_key)
                if image.loaded:
                    built.append(Built(image.reference, _label(image.name, keys)))
            _build_missing(ordered, keys)
    return built


def _build_missing(ordered: list[Image], keys: dict[str, str]) -> None:
    exported = layout.tags()
    missing = [image for image in ordered if image.loaded and _label(image.name, keys) not in exported]
    # An image that others build on is only needed while one of them is built.
    needed = {image.name for image in in_build_order(image.name for image in missing)}
    if not needed:
        return
    base.ensure()
    for image in ordered:
        if image.name in needed:
            _build(image, keys)


def _build(image: Image, keys: dict[str, str]) -> None:
    tag = _tag(image.name, keys[image.name])
    parent = _tag(image.parent, keys[image.parent]) if image.parent else base.tag()
    started = time.monotonic()
    with building() as progress:
        progress.add_task(f"image {image.name}", total=None)
        if not buildah.has(tag):
            arguments = ["--build-arg", f"{image.parent_argument()}={parent}", "--file", str(image.path)]
            if image.programs:
                build_missing([FAMILIES[image.programs]])
                arguments += ["--build-context", f"programs={FAMILIES[image.programs].directory}"]
            buildah.call(
                *("build", "--quiet", "--layers", "--pull=never", "--isolation", "chroot", "--tag", tag),
                *buildah.pip_options(),
                *arguments,
                str(REPOSITORY),
            )
        if image.loaded:
            layout.export(tag, _label(image.name, keys))
            layout.forget(f"{image.name}-", _KEPT)
    _forget(image.name)
    say(f"built image {image.name}", time.monotonic() - started)


def _ensure_pause() -> Built:
    """Make the image that holds a pod's namespaces: one static program that waits and reaps."""
    key = "pause-1"
    if key not in layout.tags():
        container = buildah.call("from", "scratch").strip()
        buildah.call("add", container, _PAUSE_PROGRAM, "/pause")
        buildah.call("config", "--entrypoint", '["/pause", "-P"]', "--user", "65535:65535", container)
        buildah.call("commit", "--rm", container, _tag("pause", key))
        layout.export(_tag("pause", key), key)
    return Built(PAUSE, key)


def _forget(name: str) -> None:
    """Remove all but the newest builds of an image; what they share with those stays."""
    builds = [tag for tag in buildah.tags() if tag.startswith(f"localhost/trimtab/{name}:")]
    for tag in builds[_KEPT:]:
        buildah.call("rmi", "--force", tag)


def _label(name: str, keys: dict[str, str]) -> str:
    return f"{name}-{keys[name]}"


def _tag(name: str, key: str) -> str:
    return f"localhost/trimtab/{name}:{key}"
