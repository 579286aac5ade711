"""The whole comparison on slices of the published traces."""

import math
from pathlib import Path

import numpy as np
import pytest

from trimtab.simulate.inputs.carbon import CarbonSeries
from trimtab.simulate.results import PolicyResult
from trimtab.simulate.serving.run import POLICIES, ServingRun, run_serving

DATA = Path(__file__).parents[2] / "data"
AZURE = DATA / "azure" / "conv_first_900.csv"
MOONCAKE = DATA / "mooncake" / "conversation_first_200.jsonl"
SPLITWISE = DATA / "splitwise" / "perf_model_part.csv"
FLAT = CarbonSeries("ES", None, np.array([150.0, 200.0]))


@pytest.fixture(scope="module")
def azure() -> dict[str, PolicyResult]:
    options = ServingRun(AZURE, SPLITWISE, slo_ms=3000.0, percentile=95.0, carbon=FLAT)
    return {result.policy: result for result in run_serving(options)}


def test_every_policy_has_its_figures(azure: dict[str, PolicyResult]) -> None:
    assert tuple(azure) == POLICIES
    for result in azure.values():
        figures = result.figures()
        assert all(figures[name] is not None for name in ("cost", "carbon_g", "energy_kwh", "slo_attainment"))
        assert result.mean_accuracy == pytest.approx(0.689)
        assert result.cost == pytest.approx(result.outcomes.cost_usd.sum())
        assert result.carbon_g == pytest.approx(result.energy_kwh * 150.0)
        assert len(result.timeline.hours) == len(result.outcomes.cost_usd) == 20
        assert (result.timeline.demand == azure["trimtab"].timeline.demand).all()


def test_the_optimum_attains_the_target_and_nothing_that_does_costs_less(azure: dict[str, PolicyResult]) -> None:
    optimum = azure["optimum"]
    assert optimum.ratio_to_optimum == 1.0
    assert optimum.slo_attainment is not None
    assert optimum.slo_attainment >= 0.95
    for result in azure.values():
        if result.slo_attainment is not None and result.slo_attainment >= 0.95:
            assert result.cost >= optimum.cost * (1 - 1e-9)
            assert result.ratio_to_optimum == pytest.approx(result.cost / optimum.cost)


def test_the_same_seed_gives_the_same_figures(azure: dict[str, PolicyResult]) -> None:
    names = ("trimtab", "infaas", "clover")
    options = ServingRun(AZURE, SPLITWISE, slo_ms=3000.0, percentile=95.0, carbon=FLAT, policies=names)
    for result in run_serving(options):
        first = azure[result.policy]
        assert (result.cost, result.slo_attainment) == (first.cost, first.slo_attainment)


def test_mooncake_s_long_prompts() -> None:
    options = ServingRun(MOONCAKE, SPLITWISE, "mooncake", slo_ms=30_000.0, policies=("trimtab", "fixed-peak"))
    for result in run_serving(options):
        assert math.isnan(result.carbon_g)
        assert result.figures()["carbon_g"] is None
        assert result.ratio_to_optimum is None
        assert any("grid of 3 s" in note for note in result.notes)


CLASSIC = """\
hardware:
  cpu: {usd_per_hour: 1, idle_watts: 50, peak_watts: 200}
variants:
  - name: small
    accuracy: 0.80
    profiles:
      - {hardware: cpu, start_seconds: 20, load_seconds: 3, batches: [{batch: 1, ms: 40}, {batch: 8, ms: 160}]}
  - name: large
    accuracy: 0.90
    profiles:
      - {hardware: cpu, start_seconds: 20, load_seconds: 3, batches: [{batch: 1, ms: 100}, {batch: 8, ms: 500}]}
"""


def test_mean_accuracy_is_never_below_the_floor(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text(CLASSIC)
    results = {}
    for floor in (0.0, 0.85):
        options = ServingRun(
            AZURE, profiles, scale=4.0, slo_ms=800.0, percentile=95.0, min_accuracy=floor,
            policies=("trimtab", "fixed-peak", "infaas"),
        )  # fmt: skip
        results[floor] = {result.policy: result for result in run_serving(options)}
        for result in results[floor].values():
            assert result.mean_accuracy is not None
            assert result.mean_accuracy >= floor - 1e-9
    # Without a floor, cost decides: the small variant. The fixed fleet always has the best one.
    assert results[0.0]["infaas"].mean_accuracy == pytest.approx(0.8)
    assert results[0.0]["fixed-peak"].mean_accuracy == pytest.approx(0.9)
    assert results[0.0]["infaas"].cost < results[0.85]["infaas"].cost


def test_without_a_target_twice_an_idle_replica_s_latency_is_taken(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text(CLASSIC)
    (result,) = run_serving(ServingRun(AZURE, profiles, policies=("infaas",)))
    assert any("80 ms, twice an idle replica's" in note for note in result.notes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policies": ("trimtab", "magic")}, "policy 'magic' is unknown; known are trimtab, optimum"),
        ({"min_accuracy": 0.99}, "no variant reaches --min-accuracy 0.99; the best has 0.689"),
        ({"slo_ms": 0.0}, "--slo-ms 0 is not above 0"),
        ({"percentile": 100.0}, "--percentile 100 must lie between"),
        ({"scale": 0.0}, "--scale 0 is not above 0"),
        ({"carbon": FLAT, "start_hour": 2}, "the carbon series has 2 hours; the trace needs 1 from hour 2"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, object], said: str) -> None:
    options = ServingRun(AZURE, SPLITWISE, **({"slo_ms": 3000.0} | changes))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        run_serving(options)
