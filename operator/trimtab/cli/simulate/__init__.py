"""`trimtab simulate`: replay traces through the planner and the published policies."""

import typer

from trimtab.cli.simulate.budgets import budgets
from trimtab.cli.simulate.serving import serving
from trimtab.cli.simulate.training import training

app = typer.Typer(
    help="Replay traces through the planner, the published policies and the offline optimum.", no_args_is_help=True
)
app.command()(training)
app.command()(serving)
app.command()(budgets)
