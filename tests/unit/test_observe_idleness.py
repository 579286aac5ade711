"""What is read of services that may sleep."""

from datetime import timedelta

from tests.unit.worlds import NOW, serving
from trimtab.observe.idleness import idleness, may_sleep, requests_query, windows
from trimtab.observe.series import Series

SLEEPY = serving(1, minReplicas=0, scaling={"scaleToZeroAfter": "5m"})
KEY, WINDOW = SLEEPY.meta.key, timedelta(minutes=5)


def series(value: float) -> Series:
    return Series({}, ((NOW.timestamp(), value),))


def test_one_query_for_all_that_look_back_alike_and_none_for_those_that_never_sleep() -> None:
    assert not may_sleep(serving(1))
    patient = serving(1, minReplicas=0, scaling={"scaleToZeroAfter": "1h"})
    assert windows([SLEEPY, patient, SLEEPY, serving(1)]) == (WINDOW, timedelta(hours=1))
    assert requests_query(WINDOW).endswith('workload!=""}[300000ms]))')


def test_a_figure_that_nobody_gives_is_not_taken_for_zero() -> None:
    nothing = idleness(SLEEPY, {}, {WINDOW: {}})
    assert (nothing.waiting_connections, nothing.requests) == (None, None)
    told = idleness(SLEEPY, {KEY: [series(0.0)]}, {WINDOW: {KEY: [series(15.5)]}, timedelta(hours=1): {}})
    assert (told.waiting_connections, told.requests) == (0.0, 15.5)
