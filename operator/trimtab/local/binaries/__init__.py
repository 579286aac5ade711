"""The programs of Kubernetes that the embedded cluster runs: pinned Go modules, built once, kept in the cache.

One folder a family of programs, with the go.mod and go.sum that pin it. There is no Go code of our own.
"""

from trimtab.local.binaries.build import build_missing, ensure
from trimtab.local.binaries.families import FAMILIES, Family

__all__ = ["FAMILIES", "Family", "build_missing", "ensure"]
