"""What policies set on a workload at its creation, where its user has said nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.api import labels
from trimtab.api.policy import Mode
from trimtab.api.quantity import format_duration, format_quantity
from trimtab.plan.policy import applies
from trimtab.plan.snapshot import HardwareState, ObjectMeta, PolicyState

_MOST_IN_ANNOTATION = 4096


@dataclass(frozen=True)
class Default:
    """One field that a policy sets."""

    path: tuple[str, ...]
    value: Any
    policy: str
    """Key of the policy."""

    @property
    def dotted(self) -> str:
        """The field as people write it."""
        *parents, last = self.path
        return f"metadata.labels[{last}]" if parents == ["metadata", "labels"] else ".".join(self.path)


def precedence(policies: Iterable[PolicyState], meta: ObjectMeta) -> list[PolicyState]:
    """The policies whose defaults hold for a workload: those of its namespace before the cluster's, then by name."""
    chosen = (p for p in policies if p.spec.mode is Mode.ENFORCE and applies(p, meta) and not p.meta.deleting)
    return sorted(chosen, key=lambda p: (not p.meta.namespace, p.meta.name))


def defaults_for(
    kind: str,
    meta: ObjectMeta,
    spec: Mapping[str, Any],
    policies: tuple[PolicyState, ...],
    hardware: tuple[HardwareState, ...],
) -> tuple[Default, ...]:
    """The fields to set. For each, the first policy that names a value.

    Labels come first, by the policies that select the workload as its user wrote it; all else by the policies that
    select it with these labels.

    Args:
        kind: Of the workload.
        meta: As its user wrote it.
        spec: As its user wrote it.
        policies: All policies.
        hardware: All classes: those that cannot do its kind of work are no default for it.
    """
    chosen: dict[tuple[str, ...], Default] = {}
    for policy in precedence(policies, meta):
        for name, value in policy.spec.defaults.labels.items():
            label = ("metadata", "labels", name)
            if name not in meta.labels:
                chosen.setdefault(label, Default(label, value, policy.meta.key))
    given = {default.path[-1]: default.value for default in chosen.values()}
    labelled = meta.model_copy(update={"labels": {**meta.labels, **given}})
    for policy in precedence(policies, labelled):
        for path, value in _fields(kind, policy, spec, hardware).items():
            if value is not None and not _is_set(spec, path[1:]):
                chosen.setdefault(path, Default(path, value, policy.meta.key))
    return tuple(chosen[path] for path in sorted(chosen))


def _fields(
    kind: str, policy: PolicyState, spec: Mapping[str, Any], hardware: tuple[HardwareState, ...]
) -> dict[tuple[str, ...], Any]:
    wanted = policy.spec.defaults
    accelerated = bool((spec.get("resources") or {}).get("accelerators"))
    unfit = {h.meta.name for h in hardware if (h.spec.resource_name != "cpu") != accelerated}
    classes = [name for name in wanted.hardware_classes if name not in unfit]
    fields: dict[tuple[str, ...], Any] = {("spec", "hardware", "classes"): classes or None}
    if kind == "TrainingWorkload":
        deadline, accuracy = wanted.training.complete_within, wanted.training.min_accuracy
        fields["spec", "targets", "completeWithin"] = format_duration(deadline) if deadline else None
        fields["spec", "targets", "minAccuracy"] = format_quantity(accuracy) if accuracy is not None else None
    else:
        fallback, most = wanted.serving.fallback_replicas, spec.get("maxReplicas")
        if fallback is not None and isinstance(most, int):
            fallback = min(fallback, most)
        fields["spec", "fallback", "replicas"] = fallback
    return fields


def _is_set(spec: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    here: Any = spec
    for name in path:
        if not isinstance(here, Mapping) or here.get(name) is None:
            return False
        here = here[name]
    return True


def merge_patch(defaults: tuple[Default, ...]) -> dict[str, Any]:
    """The defaults as a merge patch (RFC 7386) of the object, with the annotation that says where they come from."""
    patch: dict[str, Any] = {}
    for default in defaults:
        here = patch
        for name in default.path[:-1]:
            here = here.setdefault(name, {})
        here[default.path[-1]] = default.value
    if defaults:
        note = " ".join(f"{default.dotted}={default.policy}" for default in defaults)
        patch.setdefault("metadata", {})["annotations"] = {labels.DEFAULTED_BY: note[:_MOST_IN_ANNOTATION]}
    return patch
