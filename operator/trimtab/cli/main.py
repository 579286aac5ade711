"""The command line: `trimtab`."""

import typer

from trimtab.cli.crds import crds
from trimtab.cli.demo import demo
from trimtab.cli.explain import explain
from trimtab.cli.plan import plan_command
from trimtab.cli.policy import app as policy_app
from trimtab.cli.simulate import app as simulate_app
from trimtab.local.cli import app as local_app

app = typer.Typer(
    help="Holds AI workloads on Kubernetes to their targets for the least money, energy and carbon.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.add_typer(local_app, name="local")
app.add_typer(simulate_app, name="simulate")
app.add_typer(policy_app, name="policy")
app.command()(demo)
app.command("plan")(plan_command)
app.command()(explain)
app.command()(crds)


def main() -> None:
    """Entry point of the `trimtab` program."""
    app()
