"""`trimtab explain`, also as `kubectl trimtab explain`: why a workload is run as it is."""

from typing import Annotated, Any

import typer
from kubernetes.config import ConfigException
from rich.console import Console

from trimtab.kube.client import KubeClient
from trimtab.kube.errors import KubeError
from trimtab.kube.paths import OWN, object_path

_KINDS = {
    "tw": "TrainingWorkload",
    "trainingworkload": "TrainingWorkload",
    "sw": "ServingWorkload",
    "servingworkload": "ServingWorkload",
    "mv": "ModelVariant",
    "modelvariant": "ModelVariant",
}


def explain(
    target: Annotated[str, typer.Argument(help="KIND/NAME, such as tw/digits or sw/digits.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "default",
) -> None:
    """Print the present decision on a workload with its reasons, the next better choice, and the conditions."""
    short, _, name = target.partition("/")
    kind = _KINDS.get(short.lower())
    if kind is None or not name:
        raise typer.BadParameter(f"{target!r}: write KIND/NAME with KIND one of {', '.join(sorted(_KINDS))}")
    try:
        found = KubeClient.from_environment().get(object_path(OWN[kind], name, namespace))
    except (KubeError, ConfigException) as error:
        raise typer.BadParameter(f"cannot ask the cluster: {error}") from error
    if found is None:
        raise typer.BadParameter(f"there is no {kind} {name!r} in namespace {namespace!r}")
    _print(found, Console())


def _print(found: dict[str, Any], console: Console) -> None:
    status = found.get("status", {})
    decision = status.get("decision", {})
    console.print(f"[bold]{found['kind']} {found['metadata']['name']}[/]: {status.get('state', 'not seen yet')}")
    shown = {k: v for k, v in decision.items() if v != "" and not isinstance(v, list | dict)}
    if shown:
        console.print("decision: " + ", ".join(f"{k} {v}" for k, v in shown.items()))
    for reason in decision.get("reasons", []):
        console.print(f"  because [yellow]{reason['code']}[/]: {reason['message']}")
        if reason.get("alternative"):
            console.print(f"    {reason['alternative']}")
    for slot in decision.get("schedule", []):
        what = f"{slot['replicas']} x {slot.get('hardwareClass', '')}" if slot["replicas"] else "suspended"
        console.print(f"  plan {slot['start']} to {slot['end']}: {what}")
    for condition in status.get("conditions", []):
        text = f"{condition['type']}={condition['status']} ({condition['reason']}) {condition.get('message', '')}"
        console.print(f"  {text}", highlight=False)
