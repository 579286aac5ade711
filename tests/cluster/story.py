"""A scenario that was run to its end, for the tests that look at what came of it."""

from dataclasses import dataclass

from rich.console import Console

from trimtab.demo.facts import Facts
from trimtab.demo.narrate import Narrator
from trimtab.demo.shell import Shell
from trimtab.local.binaries import ensure
from trimtab.local.cluster import Cluster
from trimtab.local.images.catalog import REPOSITORY


@dataclass(frozen=True)
class Story:
    """A scenario that was run to its end."""

    shell: Shell
    facts: Facts
    cluster: Cluster


def make_shell(cluster: Cluster) -> Shell:
    programs = ensure(["kubernetes", "helm"])
    narrator = Narrator(Console(width=160))
    return Shell(programs["kubectl"], programs["helm"], cluster.kubeconfig, REPOSITORY, narrator)
