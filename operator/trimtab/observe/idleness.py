"""What is known of services that may sleep: who waits for them, and how many requests came lately."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from trimtab.api.labels import WAKER_KIND
from trimtab.observe.facts import SERVING
from trimtab.observe.prometheus import seconds
from trimtab.observe.series import Series
from trimtab.plan.serving_facts import Idleness
from trimtab.plan.snapshot import ServingState

WAITING_QUERY = (
    f'sum by (namespace, workload) (trimtab_waiting_connections{{workload_kind="{WAKER_KIND}",workload!=""}})'
)


def may_sleep(state: ServingState) -> bool:
    """Whether its spec lets a service go to no replicas."""
    return state.spec.min_replicas == 0


def windows(states: Iterable[ServingState]) -> tuple[timedelta, ...]:
    """The spans that services look back over before they sleep: one query for each, and most say the same."""
    return tuple(sorted({one.spec.scaling.scale_to_zero_after for one in states if may_sleep(one)}))


def requests_query(window: timedelta) -> str:
    """Answered requests of each service in the window, those of probes among them."""
    increase = f'increase(nv_inference_request_success{{workload_kind="{SERVING}",workload!=""}}'
    return f"sum by (namespace, workload) ({increase}[{seconds(window.total_seconds())}]))"


def idleness(
    state: ServingState, waiting: Mapping[str, list[Series]], requests: Mapping[timedelta, Mapping[str, list[Series]]]
) -> Idleness:
    """What is known of one service; a figure that nobody gives is None."""
    window = state.spec.scaling.scale_to_zero_after
    return Idleness(
        waiting_connections=_newest(waiting.get(state.meta.key, ())),
        requests=_newest(requests.get(window, {}).get(state.meta.key, ())),
    )


def _newest(series: Iterable[Series]) -> float | None:
    values = [one.last for one in series if one.last is not None]
    return sum(values) if values else None
