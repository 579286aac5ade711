"""A run repeated with other values of one setting: how much its result hangs on it."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from trimtab.simulate.progress import track
from trimtab.simulate.results import PolicyResult, Sensitivity

Options = TypeVar("Options")

BEST_BASELINES = 2

_HINDSIGHT = ("optimum", "static-oracle")
"""They do not depend on a forecast."""


def sensitivity(
    axis: str,
    values: Sequence[float],
    base: float,
    results: Sequence[PolicyResult],
    reference: str,
    rerun: Callable[[float, tuple[str, ...]], Sequence[PolicyResult]],
) -> Sensitivity | None:
    """Repeat a run with each value, for trimtab and the two baselines that saved the most carbon.

    Args:
        axis: The setting and its unit, for a person.
        values: What it is given, in order.
        base: Its value in the run itself: not repeated.
        results: Of the run itself.
        reference: The policy against which savings are counted.
        rerun: Runs with a value and the policies of these names.

    Returns:
        None where the run has no reference, or nothing but it.
    """
    names = _compared(results, reference)
    if not names or all(result.policy != reference for result in results):
        return None
    shares: dict[str, list[float]] = {name: [] for name in names}
    for value in track(values, f"Sensitivity: {axis}"):
        found = results if value == base else rerun(value, (reference, *names))
        carbon = {result.policy: result.carbon_g for result in found}
        for name in names:
            shares[name].append(1 - carbon[name] / carbon[reference] if carbon[reference] else 0.0)
    return Sensitivity(axis, tuple(values), base, {name: tuple(row) for name, row in shares.items()})


def _compared(results: Sequence[PolicyResult], reference: str) -> tuple[str, ...]:
    """Names of trimtab and the best baselines, in the order of the run."""
    baselines = [result for result in results if result.policy not in {reference, "trimtab", *_HINDSIGHT}]
    best = sorted(baselines, key=lambda result: result.carbon_g)[:BEST_BASELINES]
    kept = {result.policy for result in best} | {"trimtab"}
    return tuple(result.policy for result in results if result.policy in kept)
