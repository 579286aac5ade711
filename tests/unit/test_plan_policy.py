"""Which policy holds for whom."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worlds import carbon, meta, policy
from trimtab.api.policy import ClusterEfficiencyPolicySpec, Mode
from trimtab.plan.intensity import intensity_at, mean_intensity
from trimtab.plan.policy import effective_policy
from trimtab.plan.snapshot import PolicyState


def cluster_policy(name: str = "all", **spec: object) -> PolicyState:
    return PolicyState(meta=meta(name, namespace=""), spec=ClusterEfficiencyPolicySpec.model_validate(spec))


def test_of_each_limit_the_strictest_holds() -> None:
    loose = policy("loose", carbon={"maxIntensityGramsPerKWh": 400}, limits={"costUSDPerHour": 1})
    tight = cluster_policy(
        carbon={"maxIntensityGramsPerKWh": 200, "priceUSDPerTonne": 100}, limits={"costUSDPerHour": 5}
    )
    merged = effective_policy((loose, tight), meta("digits"))
    assert merged.max_intensity_grams_per_kwh == 200
    assert merged.max_cost_usd_per_hour == 1.0
    assert merged.carbon_price_usd_per_gram == 1e-4
    assert merged.names == ("all", "demo/loose")


def test_off_is_as_if_it_were_not_there_and_recommend_wins_over_enforce() -> None:
    off = policy("off", mode="Off", carbon={"maxIntensityGramsPerKWh": 1})
    watch = policy("watch", mode="Recommend")
    assert effective_policy((off,), meta("digits")).max_intensity_grams_per_kwh is None
    assert effective_policy((off, watch, policy("hard")), meta("digits")).mode is Mode.RECOMMEND


def test_selectors_and_namespaces_bound_the_reach() -> None:
    chosen = policy(selector={"matchLabels": {"team": "vision"}}, limits={"powerWatts": 5})
    elsewhere = cluster_policy(namespaces=["prod"], limits={"powerWatts": 1})
    assert effective_policy((chosen, elsewhere), meta("a", team="vision")).max_power_watts == 5
    assert effective_policy((chosen, elsewhere), meta("a", team="speech")).max_power_watts is None
    assert effective_policy((chosen,), meta("a", namespace="other", team="vision")).max_power_watts is None


def test_expressions_follow_the_rules_of_kubernetes() -> None:
    rules = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "team", "operator": "Exists"},
        {"key": "skip", "operator": "DoesNotExist"},
        {"key": "tier", "operator": "NotIn", "values": ["b"]},
    ]
    chosen = policy(selector={"matchExpressions": rules}, limits={"powerWatts": 5})

    def limit(**labels: str) -> float | None:
        return effective_policy((chosen,), meta("x", **labels)).max_power_watts

    assert limit(tier="a", team="t") == 5
    assert limit(tier="b", team="t") is None
    assert limit(tier="a") is None
    assert limit(tier="a", team="t", skip="") is None


@given(values=st.lists(st.floats(0, 1000), min_size=1, max_size=20), a=st.integers(0, 600), span=st.integers(1, 600))
def test_mean_intensity_lies_between_the_extremes_and_adds_up(values: list[float], a: int, span: int) -> None:
    points = carbon("ES", *values, slot=timedelta(seconds=60)).points
    start = points[0].start + timedelta(seconds=a)
    middle, end = start + timedelta(seconds=span), start + timedelta(seconds=2 * span)
    whole = mean_intensity(points, start, end)
    halves = [mean_intensity(points, start, middle), mean_intensity(points, middle, end)]
    assert whole is not None
    assert min(values) - 1e-9 <= whole <= max(values) + 1e-9
    assert abs(whole - sum(h or 0.0 for h in halves) / 2) < 1e-6


def test_before_the_first_point_nothing_is_known() -> None:
    points = carbon("ES", 100.0).points
    assert intensity_at(points, points[0].start - timedelta(seconds=1)) is None
    assert intensity_at((), points[0].start) is None
