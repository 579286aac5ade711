"""Which images there are, what each is built from, and the key that says whether it has to be built again."""

import hashlib
import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trimtab.local.binaries import FAMILIES
from trimtab.local.errors import LocalError
from trimtab.local.paths import PACKAGE

REPOSITORY = PACKAGE.parents[2]


def version() -> str:
    """Return trimtab's version, which is the images' tag: the checkout's, or that of the installed package."""
    project = REPOSITORY / "pyproject.toml"
    if project.exists():
        return str(tomllib.loads(project.read_text())["project"]["version"])
    return importlib.metadata.version("trimtab")


_VERSION = version()


@dataclass(frozen=True)
class Image:
    """One image.

    Attributes:
        name: Its short name, such as `operator`.
        containerfile: Relative to the repository's root, which is the build context.
        parent: The image that it starts from; the base image if None.
        loaded: Whether clusters get it; others are only built upon.
        programs: Family of programs that its Containerfile copies from the build context of that name.
    """

    name: str
    containerfile: str
    parent: str | None = None
    loaded: bool = True
    programs: str | None = None

    @property
    def reference(self) -> str:
        """Its full name, as containerd wants it."""
        return f"docker.io/trimtab/{self.name}:{_VERSION}"

    @property
    def path(self) -> Path:
        """Its Containerfile."""
        return REPOSITORY / self.containerfile

    def parent_argument(self) -> str:
        """Return the build argument that names the image it starts from."""
        return f"{self.parent.upper()}_IMAGE" if self.parent else "BASE_IMAGE"

    def inputs(self) -> Iterator[Path]:
        """Yield every file that it is built from: its Containerfile and what that copies.

        Raises:
            LocalError: If it copies something that is not there.
        """
        yield self.path
        for source in _copied(self.path.read_text()):
            place = REPOSITORY / source
            if place.is_file():
                yield place
            elif place.is_dir():
                yield from (path for path in sorted(place.rglob("*")) if path.is_file() and _is_input(path))
            else:
                raise LocalError(f"{self.containerfile} copies {source}, which is not in the repository")

    def key(self, parent_key: str) -> str:
        """Return what changes when, and only when, the image has to be built again.

        Args:
            parent_key: The key of the image that it starts from.
        """
        digest = hashlib.sha256(f"{parent_key} {_VERSION}".encode())
        if self.programs:
            digest.update(FAMILIES[self.programs].directory.name.encode())
        for path in self.inputs():
            digest.update(f"{path.relative_to(REPOSITORY)} {path.stat().st_mode & 0o111}".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:16]


IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image("operator", "operator/Containerfile"),
        Image("torch", "workloads/torch/Containerfile", loaded=False),
        Image("train", "workloads/train/Containerfile", parent="torch"),
        Image("optimize", "workloads/optimize/Containerfile", parent="torch"),
        Image("serve", "workloads/serve/Containerfile"),
        Image("benchmark", "workloads/benchmark/Containerfile"),
        Image("simulated", "workloads/simulated/Containerfile"),
        Image("prometheus", "operator/trimtab/local/prometheus/Containerfile", programs="prometheus"),
    )
}


def in_build_order(names: Iterable[str]) -> list[Image]:
    """Return these images and those that they start from, each after the one that it starts from.

    Raises:
        LocalError: If there is no image of a name, or its Containerfile is missing.
    """
    ordered: dict[str, Image] = {}

    def add(name: str) -> None:
        image = IMAGES.get(name)
        if image is None:
            raise LocalError(f"there is no image {name!r}; there are: {', '.join(IMAGES)}")
        if not image.path.exists():
            raise LocalError(f"{image.path} is missing: images are built from a checkout of trimtab's repository")
        if image.parent:
            add(image.parent)
        ordered[name] = image

    for name in names:
        add(name)
    return list(ordered.values())


def available() -> list[str]:
    """Return the names of the images that clusters get and whose Containerfile is there."""
    return [image.name for image in IMAGES.values() if image.loaded and image.path.exists()]


def short_name(reference: str) -> str:
    """Return the name of an image as a person says it: `operator`, not its full reference."""
    return reference.rsplit("/", 1)[-1].split(":")[0]


def _copied(containerfile: str) -> list[str]:
    """Return the sources of all COPY lines that copy from the build context."""
    sources: list[str] = []
    for line in re.sub(r"\\\n", " ", containerfile).splitlines():
        words = line.split()
        if not words or words[0].upper() not in ("COPY", "ADD") or any(w.startswith("--from") for w in words):
            continue
        sources += [word for word in words[1:-1] if not word.startswith("--")]
    return sources


def _is_input(path: Path) -> bool:
    return "__pycache__" not in path.parts and path.suffix != ".pyc"
