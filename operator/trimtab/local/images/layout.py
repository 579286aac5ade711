"""One OCI layout that all images are exported to: a layer that several share is in it once."""

import json
import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from trimtab.local.images import buildah
from trimtab.local.paths import cache_dir
from trimtab.local.process import run

_NAME = "org.opencontainers.image.ref.name"


def directory() -> Path:
    """Return where the layout is."""
    return cache_dir() / "oci"


def tags() -> dict[str, dict[str, Any]]:
    """Return the descriptor of each image in the layout, by its tag."""
    index = directory() / "index.json"
    manifests = json.loads(index.read_text())["manifests"] if index.exists() else []
    return {entry["annotations"][_NAME]: entry for entry in manifests if _NAME in entry.get("annotations", {})}


def export(image: str, tag: str) -> None:
    """Copy an image from buildah's store to the layout; layers that are there already are not copied again.

    Args:
        image: Its name in buildah's store.
        tag: Its name in the layout.

    Raises:
        LocalError: If skopeo fails.
    """
    # Layers stay uncompressed: nothing is sent anywhere. buildah's own push would compress them, again at every push.
    options = ["--quiet", "--insecure-policy", "--dest-oci-accept-uncompressed-layers"]
    source = buildah.storage_address(image)
    run([*buildah.CONTAINED, "skopeo", "copy", *options, source, f"oci:{directory()}:{tag}"])


def forget(prefix: str, keep: int) -> None:
    """Remove all but the newest images whose tag starts like this, and the blobs that only they had.

    Args:
        prefix: The start of their tags.
        keep: How many to keep.
    """
    index = directory() / "index.json"
    content = json.loads(index.read_text())
    old = [tag for tag in tags() if tag.startswith(prefix)][:-keep]
    if not old:
        return
    content["manifests"] = [entry for entry in content["manifests"] if entry["annotations"].get(_NAME) not in old]
    fresh = index.with_suffix(".new")
    fresh.write_text(json.dumps(content))
    fresh.replace(index)
    kept = {digest for descriptor in tags().values() for digest in blobs(descriptor)}
    for path in (directory() / "blobs" / "sha256").iterdir():
        if f"sha256:{path.name}" not in kept:
            path.unlink()


def blob(digest: str) -> Path:
    """Return the file of a blob."""
    return directory() / "blobs" / digest.replace(":", "/")


def blobs(descriptor: dict[str, Any]) -> set[str]:
    """Return the digests of everything that an image consists of, its manifest included."""
    manifest = json.loads(blob(descriptor["digest"]).read_text())
    return {descriptor["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])}


def write_archive(images: dict[str, str], known: Iterable[str], target: IO[bytes]) -> None:
    """Write an archive of images for containerd to import, without the blobs that it has already.

    Args:
        images: Full reference to tag in the layout.
        known: Digests of the blobs to leave out.
        target: Where the archive goes.
    """
    descriptors = tags()
    entries = []
    wanted: set[str] = set()
    for reference, tag in images.items():
        descriptor = descriptors[tag]
        wanted |= blobs(descriptor)
        name = {_NAME: reference, "io.containerd.image.name": reference}
        entries.append({**descriptor, "annotations": name})
    index = {"schemaVersion": 2, "manifests": entries}
    with tarfile.open(fileobj=target, mode="w|") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(archive, "index.json", json.dumps(index).encode())
        for digest in sorted(wanted - set(known)):
            archive.add(blob(digest), arcname=f"blobs/{digest.replace(':', '/')}", recursive=False)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, BytesIO(content))
