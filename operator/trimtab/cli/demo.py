"""`trimtab demo`: the whole story on the embedded cluster."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from trimtab.demo.facts import Facts
from trimtab.demo.narrate import Narrator
from trimtab.demo.scenario import run, write
from trimtab.demo.shell import DemoError, Shell
from trimtab.local.binaries import ensure
from trimtab.local.cluster import Cluster
from trimtab.local.console import plain_errors
from trimtab.local.images import catalog
from trimtab.local.paths import state_dir

EMBEDDED_VALUES = ("-f", "helm/trimtab/values-embedded.yaml")


def demo(
    name: Annotated[str, typer.Option(help="Name of the embedded cluster.")] = "trimtab",
    facts_file: Annotated[Path | None, typer.Option(help="Where to write the figures as JSON.")] = None,
) -> None:
    """Start the embedded cluster and run the story on it: train, optimize, serve, switch; the cluster stays up."""
    started_at_seconds = time.monotonic()
    root = Path(__file__).resolve().parents[3]
    if not (root / "manifests" / "demo").is_dir():
        raise typer.BadParameter("the demo needs the checkout: run it there, installed with `make setup`")
    with plain_errors():
        cluster = Cluster(name)
        cluster.up(images=catalog.available())
        programs = ensure(["kubernetes", "helm"])
    narrator = Narrator(Console(width=160))
    shell = Shell(programs["kubectl"], programs["helm"], cluster.kubeconfig, root, narrator)
    facts, path = Facts(), facts_file or state_dir() / f"demo-{name}.json"
    try:
        run(shell, facts, started_at_seconds, EMBEDDED_VALUES)
    except DemoError as error:
        narrator.event("demo", "Failed", str(error), warning=True)
        narrator.say("The cluster is still up: trimtab local env; kubectl get events -A")
        raise typer.Exit(1) from error
    finally:
        write(facts, path)
