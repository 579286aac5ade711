"""`trimtab local`: a real Kubernetes on this machine."""

from typing import Annotated

import typer
from rich.table import Table

from trimtab.local.binaries import FAMILIES, ensure
from trimtab.local.cluster import Cluster
from trimtab.local.console import console, plain_errors, say
from trimtab.local.errors import LocalError
from trimtab.local.images import catalog
from trimtab.local.images.build import ensure_built

app = typer.Typer(help="A real Kubernetes on this machine: one node with containers, and simulated ones.")
images_app = typer.Typer(help="The container images of trimtab.")
app.add_typer(images_app, name="images")

Name = Annotated[str, typer.Option("--name", help="Which cluster: several run side by side.")]


@app.command()
def up(
    name: Name = "trimtab",
    images: Annotated[
        str, typer.Option(help="Images to load: 'all', 'none', or names with commas between them.")
    ] = "all",
) -> None:
    """Start a cluster; the first time builds Kubernetes and the images, later ones take seconds."""
    chosen = {"all": catalog.available(), "none": []}.get(images, images.split(","))
    if images == "all" and not chosen:
        say(f"no images to load: they are built from a checkout of the repository, and {catalog.REPOSITORY} is none")
    with plain_errors():
        cluster = Cluster(name)
        cluster.up(images=chosen)
        option = "" if name == "trimtab" else f" --name {name}"
        say(f'cluster {name} is ready; to use it: eval "$(trimtab local env{option})"')


@app.command()
def down(
    name: Name = "trimtab",
    every: Annotated[bool, typer.Option("--all", help="All clusters.")] = False,
) -> None:
    """End a cluster and remove everything it made, except its logs."""
    with plain_errors():
        for one in Cluster.names() if every else [name]:
            Cluster(one).down()
            say(f"cluster {one} is down")


@app.command()
def status() -> None:
    """Show the clusters of this machine; exit status 1 if one is not ready."""
    table = Table("cluster", "state", "API", "images")
    with plain_errors():
        clusters = [Cluster(name) for name in Cluster.names()]
        ready = [cluster.is_ready() for cluster in clusters]
        for cluster, is_ready in zip(clusters, ready, strict=True):
            running = "starting or failing" if cluster.is_running() else "dead: run trimtab local down"
            record = cluster.record
            names = ", ".join(catalog.short_name(image) for image in record.images) if record else ""
            table.add_row(cluster.name, "ready" if is_ready else running, cluster.server or "-", names)
    if not clusters:
        say("no cluster is up: start one with `trimtab local up`")
    else:
        console.print(table)
    raise typer.Exit(0 if all(ready) else 1)


@app.command()
def binaries() -> None:
    """Build the programs of Kubernetes that are missing, and print where each is."""
    with plain_errors():
        for program, path in ensure(FAMILIES).items():
            print(f"{program} {path}")


@app.command()
def kubeconfig(name: Name = "trimtab") -> None:
    """Print the path of a cluster's kubeconfig."""
    with plain_errors():
        print(_running(name).kubeconfig)


@app.command()
def env(name: Name = "trimtab") -> None:
    """Print what a shell needs to use a cluster: eval "$(trimtab local env)"."""
    with plain_errors():
        cluster = _running(name)
        folders = sorted({str(path.parent) for path in ensure(["kubernetes", "helm"]).values()})
        print(f'export KUBECONFIG="{cluster.kubeconfig}"')
        print(f'export PATH="{":".join(folders)}:$PATH"')


@images_app.command("build")
def build_images(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all by default.")] = None,
) -> None:
    """Build images that are missing or out of date."""
    with plain_errors():
        for image in ensure_built(names or catalog.available()):
            print(f"{image.reference} {image.key}")


@images_app.command("load")
def load_images(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all by default.")] = None,
    name: Name = "trimtab",
) -> None:
    """Build images that are out of date and load them into a running cluster."""
    with plain_errors():
        _running(name).load(names or catalog.available())


def _running(name: str) -> Cluster:
    cluster = Cluster(name)
    if not cluster.is_running():
        raise LocalError(f"cluster {name} is not up: start it with `trimtab local up --name {name}`")
    return cluster
