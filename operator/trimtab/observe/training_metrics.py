"""What Prometheus says of all training workloads: one query, and the pure reading of its result."""

from collections.abc import Iterable

from trimtab.api.common import FigureSource
from trimtab.observe.facts import TRAINING
from trimtab.observe.prometheus import seconds
from trimtab.observe.series import Series, total
from trimtab.plan.snapshot import TrainingMetrics

_PROGRESS = "trimtab_training_progress_samples"
_TOTAL = "trimtab_training_total_samples"
_COUNTER = "trimtab_training_samples_total"
_SPEED = "trimtab_training_samples_per_second"


def training_query(window_seconds: float) -> str:
    """Raw samples of the window, of every training workload."""
    names = "|".join((_PROGRESS, _TOTAL, _COUNTER, _SPEED))
    return f'{{__name__=~"{names}",workload_kind="{TRAINING}",workload!=""}}[{seconds(window_seconds)}]'


def training_metrics(series: Iterable[Series], pods: frozenset[str]) -> TrainingMetrics | None:
    """Read one workload's series.

    Args:
        series: Its series, of whatever pods.
        pods: Names of the pods that exist now: what others left behind does not count.

    Returns:
        None when nothing usable is known.
    """
    current = [one for one in series if one.label("pod") in pods]
    newest = max((at for one in current if (at := one.last_at) is not None), default=None)
    if newest is None:
        return None
    return TrainingMetrics(
        completed_samples=_newest(current, _PROGRESS),
        total_samples=_newest(current, _TOTAL),
        samples_per_second=_speed(current),
        observed_at=newest,
        source=FigureSource.SIMULATED
        if any(one.label("simulated") == "true" for one in current)
        else FigureSource.MEASURED,
    )


def _newest(series: list[Series], name: str) -> float | None:
    """The newest value of a figure of the whole gang, whichever pod tells it."""
    told = [one for one in series if one.name == name]
    return max(told, key=lambda one: one.points[-1][0]).last if told else None


def _speed(series: list[Series]) -> float | None:
    """Samples a second over all pods: counted where ranks count, else as a simulation tells it of each pod."""
    counted = total(one.rate() for one in series if one.name == _COUNTER)
    if counted is not None:
        return counted
    told = [one for one in series if one.name == _SPEED]
    newest = max((one.points[-1][0] for one in told), default=None)
    return total(one.last for one in told if one.points[-1][0] == newest)
