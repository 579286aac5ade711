"""The gate's tests hold the error rate that was declared, and say what would be enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar  # type: ignore[import-untyped]

from trimtab.plan.accuracy_gate import Pairs, accuracy_above, drop_below


def chance_of_passing(samples: int, margin: float, gain: float, significance: float) -> float:
    """Exact probability that a variant which loses exactly the margin passes; it alone is right on `gain`."""
    lost_share, total = gain + margin, 0.0
    for lost in range(samples + 1):
        weight = stats.binom.pmf(lost, samples, lost_share)
        if weight < 1e-9:
            continue
        won = np.arange(samples - lost + 1)
        weights = stats.binom.pmf(won, samples - lost, gain / (1 - lost_share))
        likely = won[weights > 1e-9]
        passes = [
            drop_below(Pairs(samples, lost, int(w)), margin, significance).p_value <= significance for w in likely
        ]
        total += weight * weights[weights > 1e-9][passes].sum()
    return float(total)


@pytest.mark.parametrize(("samples", "margin"), [(50, 0.05), (100, 0.03), (200, 0.03), (360, 0.03), (360, 0.05)])
@pytest.mark.parametrize("gain", [0.0, 0.003, 0.01, 0.05])
def test_of_variants_just_not_good_enough_no_more_pass_than_declared(samples: int, margin: float, gain: float) -> None:
    # 0.06 for 0.05: the score test is asymptotic, and over all shares of differing samples this is its worst.
    assert chance_of_passing(samples, margin, gain, 0.05) <= 0.06
    assert chance_of_passing(samples, margin, gain, 0.01) <= 0.0105


@given(st.integers(1, 500), st.integers(0, 500), st.sampled_from([0.01, 0.05, 0.2, 0.5]), st.floats(0.01, 0.99))
def test_the_floor_is_tested_exactly_as_scipy_does(samples: int, wrong: int, significance: float, floor: float) -> None:
    right = max(0, samples - wrong)
    shown = accuracy_above(right, samples, floor, significance)
    expected = stats.binomtest(right, samples, floor, alternative="greater")
    assert shown.p_value == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
    interval = expected.proportion_ci(1 - significance, method="exact")
    assert shown.bound == pytest.approx(interval.low, abs=1e-9)


@given(st.integers(0, 60), st.integers(0, 60))
def test_without_a_margin_it_is_mcnemars_test(lost: int, won: int) -> None:
    shown = drop_below(Pairs(400, lost, won), 0.0, 0.05)
    if lost == won:
        assert shown.p_value == 0.5
        return
    two_sided = mcnemar([[200, lost], [won, 0]], exact=False, correction=False).pvalue
    assert shown.p_value == pytest.approx(two_sided / 2 if won > lost else 1 - two_sided / 2)


@given(st.integers(20, 2000), st.floats(0, 0.3), st.floats(0, 0.3), st.sampled_from([0.01, 0.05, 0.5]), st.data())
def test_the_bound_is_the_margin_from_which_on_it_passes(
    n: int, lost: float, won: float, significance: float, data: st.DataObject
) -> None:
    pairs = Pairs(n, int(n * lost), int(n * won))
    bound = drop_below(pairs, 0.1, significance).bound
    assert pairs.drop - 1e-9 <= bound <= 1
    above = data.draw(st.floats(min(1.0, bound + 1e-6), 1.0))
    assert drop_below(pairs, above, significance).p_value <= significance
    if bound - 1e-6 > 0:
        below = data.draw(st.floats(0, bound - 1e-6))
        assert drop_below(pairs, below, significance).p_value > significance


def test_as_many_samples_as_are_named_would_mostly_do() -> None:
    shown = drop_below(Pairs(100, 2, 1), 0.03, 0.05)
    assert shown.samples_needed is not None
    n = shown.samples_needed
    draws = np.random.default_rng(0).multinomial(n, [0.02, 0.01, 0.97], size=2000)
    passed = [drop_below(Pairs(n, int(b), int(c)), 0.03, 0.05).p_value <= 0.05 for b, c, _ in draws]
    assert 0.75 <= np.mean(passed) <= 0.88
    floor = accuracy_above(95, 100, 0.92, 0.05)
    assert floor.samples_needed is not None
    rights = np.random.default_rng(0).binomial(floor.samples_needed, 0.95, size=2000)
    passed = [accuracy_above(int(r), floor.samples_needed, 0.92, 0.05).p_value <= 0.05 for r in rights]
    assert 0.75 <= np.mean(passed) <= 0.88


def test_what_lies_on_its_limit_is_shown_by_no_number_of_samples() -> None:
    assert drop_below(Pairs(360, 0, 0), 0.0, 0.05).samples_needed is None
    assert accuracy_above(342, 360, 0.95, 0.05).samples_needed is None
    assert drop_below(Pairs(20, 0, 0), 1.1e-308, 0.05).samples_needed is None
