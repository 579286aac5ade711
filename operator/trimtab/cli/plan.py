"""`trimtab plan`: decide again on a Snapshot from a file, with the operator's own planner."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from trimtab.cli.snapshot_file import read_snapshot
from trimtab.plan.decisions import Plan
from trimtab.plan.planner import plan


def plan_command(
    snapshot: Annotated[Path, typer.Option(help="File with a Snapshot; the operator keeps its last one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole Plan.")] = False,
) -> None:
    """Decide on a Snapshot, changing nothing.

    The operator keeps its last one:
    kubectl exec -n trimtab-system deploy/trimtab-operator -- cat /tmp/trimtab/snapshot.json
    """
    world = read_snapshot(snapshot)
    decided = plan(world)
    if as_json:
        print(decided.model_dump_json(indent=2))
    else:
        _print(decided)


def _print(decided: Plan) -> None:
    table = Table("workload", "decision", "why", title=f"Plan for {decided.taken_at:%Y-%m-%d %H:%M:%S} UTC")
    for job in decided.training:
        what = f"{job.action} {job.replicas} x {job.hardware_class or '-'}"
        table.add_row(f"tw/{job.key}", what, job.reasons[0].message)
    for served in decided.serving:
        what = f"{served.replicas} x {served.variant or '-'} on {served.hardware_class or '-'}"
        table.add_row(f"sw/{served.key}", what, served.reasons[0].message)
    for variant in decided.variants:
        table.add_row(f"mv/{variant.key}", "build" if variant.build else "keep", variant.message)
    Console().print(table)
