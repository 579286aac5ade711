"""A run is repeated with other values of a setting, for trimtab and the best baselines only."""

import pytest

from trimtab.simulate.results import PolicyResult
from trimtab.simulate.sensitivity import sensitivity


def results(**carbon: float) -> list[PolicyResult]:
    return [PolicyResult(name.replace("_", "-"), grams, 1.0, 1.0, 1.0, 0) for name, grams in carbon.items()]


def test_trimtab_and_the_two_best_baselines_are_compared_and_the_run_itself_is_not_repeated() -> None:
    base = results(optimum=60, run_at_once=100, ecovisor=80, lowest_slot=90, carbon_time=85, trimtab=70)
    calls = []

    def rerun(value: float, policies: tuple[str, ...]) -> list[PolicyResult]:
        calls.append((value, policies))
        return results(run_at_once=200, ecovisor=180, carbon_time=190, trimtab=150 + value)

    found = sensitivity("Forecast error (%)", (0, 10, 20), 10, base, "run-at-once", rerun)
    assert found is not None
    named = ("run-at-once", "ecovisor", "carbon-time", "trimtab")
    assert calls == [(0, named), (20, named)]
    assert found.savings["trimtab"] == pytest.approx((0.25, 0.3, 0.15))
    assert found.savings["ecovisor"] == pytest.approx((0.1, 0.2, 0.1))
    assert (found.axis, found.values, found.base) == ("Forecast error (%)", (0, 10, 20), 10)


@pytest.mark.parametrize("names", [{"run_at_once": 100.0, "optimum": 50.0}, {"trimtab": 100.0, "ecovisor": 50.0}])
def test_without_a_reference_or_anything_beside_it_there_is_nothing_to_repeat(names: dict[str, float]) -> None:
    def rerun(value: float, policies: tuple[str, ...]) -> list[PolicyResult]:
        raise AssertionError("nothing is to be run")

    assert sensitivity("Slack", (1.0, 2.0), 1.0, results(**names), "run-at-once", rerun) is None
