"""Conditions as they are written: with the time of their last change, and kept stable while nothing changes."""

from collections.abc import Iterable
from datetime import datetime

from trimtab.api.common import Condition, ConditionStatus
from trimtab.plan.decisions import ConditionValue

_LONGEST_MESSAGE = 1024


def merged(
    previous: Iterable[Condition], values: Iterable[ConditionValue], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The new conditions. `lastTransitionTime` moves only when the status flips, not with the reason or the message."""
    before = {condition.type: condition for condition in previous}
    conditions: list[Condition] = []
    for value in values:
        old = before.get(value.type)
        since = old.last_transition_time if old is not None and old.status == value.status else now
        conditions.append(
            Condition(
                type=value.type,
                status=value.status,
                reason=value.reason,
                message=value.message[:_LONGEST_MESSAGE],
                last_transition_time=since.replace(microsecond=0),
                observed_generation=generation,
            )
        )
    return tuple(sorted(conditions, key=lambda c: c.type))


def ready_reason(values: Iterable[ConditionValue]) -> str:
    """The one word that `kubectl get` prints: the reason of the condition Ready."""
    return next((value.reason for value in values if value.type == "Ready"), "")


def with_failure(
    values: Iterable[ConditionValue], reason: str, message: str, *, passing: bool
) -> tuple[ConditionValue, ...]:
    """The same conditions after a child could not be applied.

    Args:
        values: The decision's conditions.
        reason: What kind of failure it is.
        message: The API server's words.
        passing: It is an outage that mends itself: Progressing says so. Otherwise Ready says it too, for somebody has
            to do something; it stays True where what runs goes on.
    """
    failed = ConditionValue(type="Progressing", status=ConditionStatus.FALSE, reason=reason, message=message)
    others = [value for value in values if value.type != "Progressing"]
    if not passing:
        others = [
            value.model_copy(update={"reason": reason, "message": message}) if value.type == "Ready" else value
            for value in others
        ]
    return (failed, *others)


def failing_already(conditions: Iterable[Condition], reason: str) -> bool:
    """Whether the status says already that applying fails for this reason."""
    return any(c.type == "Progressing" and c.reason == reason for c in conditions)


def calmed(new: Iterable[Condition], old: Iterable[Condition]) -> tuple[Condition, ...]:
    """`new` conditions with the messages of the `old` ones where only the message differs: messages carry figures."""
    before = {condition.type: condition for condition in old}

    def calm(condition: Condition) -> Condition:
        previous = before.get(condition.type)
        if previous is None or (previous.status, previous.reason) != (condition.status, condition.reason):
            return condition
        return condition.model_copy(update={"message": previous.message})

    return tuple(calm(condition) for condition in new)
