"""`trimtab policy explain`: which line of which policy decided what holds for a workload."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from kubernetes.config import ConfigException
from rich.console import Console
from rich.table import Table

from trimtab.api.common import Reason
from trimtab.api.policy import CLUSTER_EFFICIENCY_POLICY, EFFICIENCY_POLICY
from trimtab.api.schema import Kind
from trimtab.cli.snapshot_file import read_snapshot
from trimtab.kube.client import KubeClient
from trimtab.kube.errors import Forbidden, KubeError, NotFound, Unavailable
from trimtab.kube.paths import OWN, collection, object_path
from trimtab.observe.project_kind import project_kind
from trimtab.plan.planner import plan
from trimtab.plan.policy_explain import Line, Setting, explain_policies
from trimtab.plan.snapshot import ObjectMeta, PolicyState

app = typer.Typer(help="What the policies come to.", no_args_is_help=True)
_KINDS = {
    "tw": "TrainingWorkload", "trainingworkload": "TrainingWorkload",
    "sw": "ServingWorkload", "servingworkload": "ServingWorkload",
}  # fmt: skip
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@dataclass(frozen=True)
class _Found:
    """A workload, the policies, and why it is run as it is."""

    kind: str
    meta: ObjectMeta
    policies: tuple[PolicyState, ...]
    reasons: tuple[Reason, ...]
    now: datetime


@app.callback()
def policy() -> None:
    """What the policies come to."""


@app.command()
def explain(
    workload: Annotated[str, typer.Argument(help="KIND/NAME, such as tw/digits or sw/digits, or the name alone.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "default",
    snapshot: Annotated[
        Path | None, typer.Option(help="A file with a Snapshot, in place of the cluster; the operator keeps its last.")
    ] = None,
    files: Annotated[
        list[Path] | None, typer.Option("--file", "-f", help="YAML with policies: their lines are named as well.")
    ] = None,
) -> None:
    """Print what holds for a workload, which line of which policy decided it, and which others lost."""
    kind, name = _target(workload)
    _checked(namespace, "namespace")
    lines = _yaml_lines(files or ())
    found = _from_snapshot(snapshot, kind, name, namespace) if snapshot else _from_cluster(kind, name, namespace)
    _print(found, explain_policies(found.policies, found.meta, found.now), lines, Console())


def _target(workload: str) -> tuple[str, str]:
    """Kind (empty for any) and name."""
    short, slash, name = workload.partition("/")
    if not slash:
        return "", _checked(workload, "name")
    kind = _KINDS.get(short.lower())
    if kind is None or not name:
        raise typer.BadParameter(f"{workload!r}: write KIND/NAME with KIND one of {', '.join(sorted(_KINDS))}")
    return kind, _checked(name, "name")


def _checked(name: str, what: str) -> str:
    """The name, when Kubernetes could have such a one."""
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise typer.BadParameter(
            f"{name!r} is no {what} in Kubernetes: it has lower-case letters, digits, '-' and '.', and begins and ends "
            "with a letter or a digit"
        )
    return name


def _missing(kind: str, name: str, namespace: str) -> typer.BadParameter:
    what = kind or "TrainingWorkload or ServingWorkload"
    return typer.BadParameter(f"there is no {what} {name!r} in namespace {namespace!r}")


def _from_snapshot(path: Path, kind: str, name: str, namespace: str) -> _Found:
    world = read_snapshot(path)
    decided, key = plan(world), f"{namespace}/{name}"
    reasons = {("TrainingWorkload", d.key): d.reasons for d in decided.training}
    reasons |= {("ServingWorkload", d.key): d.reasons for d in decided.serving}
    metas = {("TrainingWorkload", t.meta.key): t.meta for t in world.training}
    metas |= {("ServingWorkload", s.meta.key): s.meta for s in world.serving}
    hits = [k for k in _KINDS_OF if (not kind or k == kind) and (k, key) in metas]
    if not hits:
        raise _missing(kind, name, namespace)
    budgets = {p.key: p for p in decided.policies}
    policies = tuple(_planned(p, budgets[p.meta.key].budgets, budgets[p.meta.key].eco_mode) for p in world.policies)
    return _Found(hits[0], metas[hits[0], key], policies, reasons[hits[0], key], world.taken_at)


_KINDS_OF = ("TrainingWorkload", "ServingWorkload")


def _planned(state: PolicyState, budgets: Any, eco: Any) -> PolicyState:
    """The policy with what the plan says of its budgets."""
    return state.model_copy(update={"status": state.status.model_copy(update={"budgets": budgets, "eco_mode": eco})})


def _from_cluster(kind: str, name: str, namespace: str) -> _Found:
    try:
        kube = KubeClient.from_environment()
        wanted = [kind] if kind else list(_KINDS_OF)
        hits = [(k, raw) for k in wanted if (raw := kube.get(object_path(OWN[k], name, namespace))) is not None]
        # Before it is said that the workload is not there: without the CRDs nothing is.
        own = kube.list(collection(OWN["EfficiencyPolicy"], namespace)).items
        wide = kube.list(collection(OWN["ClusterEfficiencyPolicy"])).items
    except NotFound as error:
        raise typer.BadParameter(
            f"the cluster does not know trimtab's kinds ({error.message}): is another cluster meant (KUBECONFIG), or "
            "are the CRDs not installed?"
        ) from error
    except Forbidden as error:
        raise typer.BadParameter(
            f"you may not read this: {error.message}. It takes get on trainingworkloads and servingworkloads, and list "
            "on efficiencypolicies and, in the whole cluster, clusterefficiencypolicies (trimtab.dev)"
        ) from error
    except Unavailable as error:
        raise typer.BadParameter(f"the API server does not answer: {error.message}") from error
    except (KubeError, ConfigException) as error:
        raise typer.BadParameter(f"cannot ask the cluster: {error}") from error
    if not hits:
        raise _missing(kind, name, namespace)
    try:
        policies = (*_projected(EFFICIENCY_POLICY, own), *_projected(CLUSTER_EFFICIENCY_POLICY, wide))
    except ValueError as error:
        raise typer.BadParameter(f"a policy of the cluster does not fit this version: {error}") from error
    found_kind, raw = hits[0]
    meta = raw["metadata"]
    decision = raw.get("status", {}).get("decision", {})
    workload = ObjectMeta(
        name=meta["name"],
        namespace=meta["namespace"],
        labels=meta.get("labels") or {},
        created_at=meta["creationTimestamp"],
    )
    reasons = tuple(Reason.model_validate(r) for r in decision.get("reasons", ()))
    return _Found(found_kind, workload, policies, reasons, datetime.now(UTC))


def _projected(kind: Kind, items: Iterable[dict[str, Any]]) -> list[PolicyState]:
    facts = [project_kind(kind, {"kind": kind.kind, **item}) for item in items]
    return [PolicyState.model_validate({"meta": f.meta, "spec": f.spec, "status": f.status}) for f in facts]


Places = dict[tuple[str, str], str]
"""File and line by policy (`Kind key`, namespace left out where the file does) and JSON path."""


def _yaml_lines(files: Iterable[Path]) -> Places:
    places: Places = {}
    for path in files:
        try:
            documents = list(yaml.compose_all(path.read_text(encoding="utf-8"), yaml.SafeLoader))
        except OSError as error:
            raise typer.BadParameter(f"cannot read {path}: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise typer.BadParameter(f"{path} is no YAML: {error}") from error
        for document in documents:
            if isinstance(document, yaml.MappingNode):
                _walk(document, path, places)
    return places


def _walk(document: yaml.MappingNode, path: Path, places: Places) -> None:
    content: Any = yaml.safe_load(yaml.serialize(document))
    if not isinstance(content, dict) or not str(content.get("kind", "")).endswith("EfficiencyPolicy"):
        return
    meta = content.get("metadata") or {}
    key = "/".join(part for part in (meta.get("namespace"), meta.get("name")) if part)

    def visit(node: yaml.Node, at: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                here = f"{at}.{name.value}" if at else str(name.value)
                places[f"{content['kind']} {key}", here] = f"{path}:{name.start_mark.line + 1}"
                visit(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                places[f"{content['kind']} {key}", f"{at}[{index}]"] = f"{path}:{value.start_mark.line + 1}"
                visit(value, f"{at}[{index}]")

    visit(document, "")


def _place(line: Line, places: Places) -> str:
    """Where a line stands in the files; empty when in none."""
    kind, _, key = line.policy.partition(" ")
    bare = f"{kind} {key.rpartition('/')[2]}"
    return places.get((line.policy, line.path)) or places.get((bare, line.path), "")


def _said(line: Line, places: Places, *, with_value: bool) -> str:
    value = f" = {line.value}" if with_value else ""
    place = _place(line, places)
    return f"{line.policy}: {line.path}{value}" + (f" ({place})" if place else "")


def _print(found: _Found, settings: tuple[Setting, ...], places: Places, console: Console) -> None:
    head = f"{found.kind} {found.meta.key}"
    if not console.is_terminal:
        _plain(head, found, settings, places)
        return
    table = Table("setting", "value", "decided by", "lost", title=f"Policies of {head}")
    for one in settings:
        value = one.value + (f"\n[dim]{one.note}[/]" if one.note else "")
        decided = _said(one.decided, places, with_value=False) if one.decided else "[dim]default[/]"
        table.add_row(one.name, value, decided, "\n".join(_said(x, places, with_value=True) for x in one.lost))
    console.print(table)
    for reason in found.reasons:
        console.print(f"because [yellow]{reason.code}[/]: {reason.message}", highlight=False)
        if reason.alternative:
            console.print(f"  {reason.alternative}", highlight=False)


def _plain(head: str, found: _Found, settings: tuple[Setting, ...], places: Places) -> None:
    """A line for each: for scripts and logs."""
    print(f"policies of {head}")
    for one in settings:
        decided = _said(one.decided, places, with_value=False) if one.decided else "default"
        print(f"{one.name}: {one.value} <- {decided}" + (f"; {one.note}" if one.note else ""))
        for lost in one.lost:
            print(f"  lost: {_said(lost, places, with_value=True)}")
    for reason in found.reasons:
        print(f"because {reason.code}: {reason.message}")
        if reason.alternative:
            print(f"  {reason.alternative}")
