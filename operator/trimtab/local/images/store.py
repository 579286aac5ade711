"""Ready-made containerd roots, from which a cluster's own is made in a moment, whatever the size of the images.

A *generation* is the root of a containerd that has imported and unpacked one set of images. It is made from the one
before by hard links and the import of what changed. A cluster gets copies of its two small databases, and symbolic
links to its layers and blobs: containerd never writes to either once they are committed, and when it deletes one it
removes only the link.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trimtab.local import node_files
from trimtab.local.errors import LocalError
from trimtab.local.images import layout
from trimtab.local.images.build import Built
from trimtab.local.images.buildah import CONTAINED
from trimtab.local.locks import exclusive
from trimtab.local.paths import cache_dir
from trimtab.local.process import last_lines, run, wait_until

_DATABASES = ("io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db")
_BLOBS = Path("io.containerd.content.v1.content/blobs/sha256")
_LAYERS = Path("io.containerd.snapshotter.v1.overlayfs/snapshots")
# A cluster that is starting has not noted its generation yet; nothing this young is pruned.
_GRACE_SECONDS = 1800
_REPLACED = "-replaced"
_NAMESPACE = ["--namespace", "k8s.io"]


def _generations() -> Path:
    return cache_dir() / "generations"


def clone(images: Sequence[Built], target: Path) -> str:
    """Give a cluster a containerd root that has these images.

    Args:
        images: What it is to have.
        target: The root, which must not exist.

    Returns:
        The generation that it refers to, to be kept as long as the cluster lives.

    Raises:
        LocalError: If the images cannot be imported.
    """
    wanted = {image.reference: image.key for image in images}
    with exclusive(cache_dir() / "generations.lock"):
        generation = _ensure_generation(wanted)
        os.utime(generation)
    root = generation / "root"
    for name in _DATABASES:
        (target / name).parent.mkdir(parents=True)
        shutil.copyfile(root / name, target / name)
    for folder in (_BLOBS, _LAYERS):
        (target / folder).mkdir(parents=True)
        for entry in os.scandir(root / folder):
            (target / folder / entry.name).symlink_to(entry.path)
    return generation.name


def load(images: Iterable[Built], root: Path, enter: list[str]) -> None:
    """Import images into the containerd of a running cluster.

    Args:
        images: What to import.
        root: The cluster's containerd root.
        enter: The prefix of commands that run inside the cluster.

    Raises:
        LocalError: If containerd refuses.
    """
    wanted = {image.reference: image.key for image in images}
    _import(wanted, root, [*enter, "ctr", "--address", node_files.CONTAINERD_SOCKET])


def prune(in_use: set[str]) -> None:
    """Remove generations that no cluster uses, except the newest.

    Args:
        in_use: The generations that clusters use.
    """
    if not _generations().exists():
        return
    with exclusive(cache_dir() / "generations.lock"):
        by_age = sorted(_generations().iterdir(), key=lambda path: path.stat().st_mtime)
        for path in by_age[:-1]:
            if path.name not in in_use and time.time() - path.stat().st_mtime > _GRACE_SECONDS:
                shutil.rmtree(path)


def _ensure_generation(wanted: dict[str, str]) -> Path:
    name = hashlib.sha256(json.dumps(sorted(wanted.items())).encode()).hexdigest()[:16]
    generation = _generations() / name
    if (generation / "images.json").exists():
        return generation
    scratch = _generations().parent / "generation.partial"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    previous, present = _closest(wanted)
    if previous is not None:
        run(["cp", "-al", previous / "root", scratch / "root"])
        for database in _DATABASES:
            _unlink_copy(scratch / "root" / database)
    missing = {reference: key for reference, key in wanted.items() if present.get(reference) != key}
    stale = sorted(set(present) - set(wanted))
    with _containerd(scratch) as control:
        _import(missing, scratch / "root", control)
        if stale:
            run([*control, *_NAMESPACE, "images", "rm", "--sync", *stale])
    _share_blobs(scratch / "root")
    (scratch / "images.json").write_text(json.dumps(wanted))
    shutil.rmtree(generation, ignore_errors=True)
    generation.parent.mkdir(exist_ok=True)
    scratch.rename(generation)
    return generation


def _closest(wanted: dict[str, str]) -> tuple[Path | None, dict[str, str]]:
    """Return the generation that has most of what is wanted, and what it has."""
    best: tuple[int, Path | None, dict[str, str]] = (0, None, {})
    for path in sorted(_generations().glob("*/images.json")):
        present = json.loads(path.read_text())
        common = len(set(present.items()) & set(wanted.items()))
        if common > best[0]:
            best = (common, path.parent, present)
    return best[1], best[2]


@contextmanager
def _containerd(scratch: Path) -> Iterator[list[str]]:
    """Run a containerd on a generation that is being made; yield the command that controls it."""
    # A short path: those of Unix sockets are limited to 107 characters.
    with tempfile.TemporaryDirectory(prefix="trimtab-", dir="/run") as place:
        socket = f"{place}/socket"
        configuration = Path(place) / "config.toml"
        configuration.write_text(node_files.containerd(scratch / "root", Path(place) / "state", socket, None))
        log = scratch / "containerd.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [*CONTAINED, "containerd", "--config", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        control = ["ctr", "--address", socket]
        try:
            wait_until(
                lambda: _version_answers(control),
                timeout_seconds=30,
                failure=lambda: f"containerd does not start:\n{last_lines(log)}",
            )
            yield control
        finally:
            # Its databases are written in transactions: it may go at any time.
            server.kill()
            server.wait()


def _version_answers(control: list[str]) -> bool:
    return subprocess.run([*control, "version"], capture_output=True).returncode == 0


def _import(wanted: dict[str, str], root: Path, control: list[str]) -> None:
    """Import images; what they replace is removed after, and not before, what they share with it is theirs too.

    containerd collects garbage while it imports: a layer that only the replaced image had named could go just when the
    new one has found it to be there.
    """
    if not wanted:
        return
    images = [*control, *_NAMESPACE, "images"]
    replaced = sorted(set(run([*images, "ls", "--quiet"]).split()) & set(wanted))
    for reference in replaced:
        run([*images, "tag", "--force", reference, f"{reference}{_REPLACED}"])
    known = [f"sha256:{path.name}" for path in (root / _BLOBS).glob("*")]
    _stream(wanted, known, [*images, "import", "-"])
    if replaced:
        run([*images, "rm", "--sync", *(f"{reference}{_REPLACED}" for reference in replaced)])


def _stream(wanted: dict[str, str], known: list[str], command: list[str]) -> None:
    importer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert importer.stdin is not None
    assert importer.stdout is not None
    # When it gives up early, what it says explains why better than the broken pipe does.
    with contextlib.suppress(BrokenPipeError):
        layout.write_archive(wanted, known, importer.stdin)
        importer.stdin.close()
    said = importer.stdout.read().decode(errors="replace")
    if importer.wait() != 0:
        raise LocalError(f"containerd did not take the images {', '.join(wanted)}:\n{said[-2000:]}")


def _share_blobs(root: Path) -> None:
    """Replace blobs by hard links to the same ones in the OCI layout: gigabytes that need not be there twice."""
    for path in (root / _BLOBS).iterdir():
        original = layout.blob(f"sha256:{path.name}")
        if original.exists() and not path.samefile(original):
            link = path.with_suffix(".link")
            link.hardlink_to(original)
            link.replace(path)


def _unlink_copy(path: Path) -> None:
    copy = path.with_suffix(".copy")
    shutil.copyfile(path, copy)
    copy.replace(path)
