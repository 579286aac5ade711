"""How a training is run where a budget or eco mode has it save: narrower, on spot classes, shifted in time."""

from collections.abc import Sequence
from datetime import datetime

from trimtab.api.budget import BudgetAction
from trimtab.api.hardware import Purchase
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.snapshot import TrainingState
from trimtab.plan.training.options import TrainingOption
from trimtab.plan.training.slack import MARGIN, needed_time


def is_spot(option: TrainingOption) -> bool:
    """Whether the class is offered as spot capacity."""
    return option.hardware.spec.purchase is Purchase.SPOT


def on_spot(options: list[TrainingOption]) -> list[TrainingOption]:
    """The options on spot classes; all where there is none."""
    return [o for o in options if is_spot(o)] or options


def narrowest(state: TrainingState, on_class: Sequence[TrainingOption], now: datetime) -> TrainingOption:
    """The option with the fewest replicas that is done before the deadline; the widest when none is.

    Args:
        state: The training.
        on_class: Options on one class.
        now: The instant of the decision.
    """
    ordered = sorted(on_class, key=lambda o: o.replicas)
    return next((o for o in ordered if _in_time(state, o, now)), ordered[-1])


def _in_time(state: TrainingState, option: TrainingOption, now: datetime) -> bool:
    deadline, need = state.spec.targets.complete_within, needed_time(state, option)
    return deadline is None or (need is not None and now + need * (1.0 + MARGIN) <= state.meta.created_at + deadline)


def saving_options(
    state: TrainingState, options: list[TrainingOption], policy: EffectivePolicy, now: datetime
) -> list[TrainingOption]:
    """The options that are left under the actions in force, best first.

    Args:
        state: The training.
        options: All that can be used, best class first.
        policy: What holds for it.
        now: The instant of the decision.
    """
    if policy.saves(BudgetAction.SPOT):
        options = on_spot(options)
    if not policy.saves(BudgetAction.FEWER_REPLICAS):
        return options
    names = dict.fromkeys(o.name for o in options)
    return [narrowest(state, [o for o in options if o.name == name], now) for name in names]
