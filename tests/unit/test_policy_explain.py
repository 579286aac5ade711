"""`trimtab policy explain` names the line that decided, and says what the planner says."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.unit.worlds import NOW, job, meta, policy, snapshot, training
from trimtab.api.policy import ClusterEfficiencyPolicySpec
from trimtab.api.quantity import format_duration, format_quantity
from trimtab.cli.main import app
from trimtab.plan.policy import effective_policy
from trimtab.plan.policy_explain import Setting, explain_policies
from trimtab.plan.snapshot import PolicyState


def by_name(*policies: PolicyState) -> dict[str, Setting]:
    return {s.name: s for s in explain_policies(policies, meta("digits"), NOW)}


def test_the_strictest_line_decides_and_the_others_lose() -> None:
    tight = policy("tight", limits={"costUSDPerHour": "2"}, carbon={"priceUSDPerTonne": 100})
    loose = policy("loose", limits={"costUSDPerHour": "5"}, carbon={"priceUSDPerTonne": 10})
    found = by_name(tight, loose)
    cost = found["limits.costUSDPerHour"]
    assert cost.decided is not None
    assert (cost.value, cost.decided.policy) == ("2 USD/h", "EfficiencyPolicy demo/tight")
    assert cost.decided.path == "spec.limits.costUSDPerHour"
    assert [(line.policy, line.value) for line in cost.lost] == [("EfficiencyPolicy demo/loose", "5 USD/h")]
    price = found["carbon.priceUSDPerTonne"]
    assert price.value == "100 USD/t"
    assert found["limits.powerWatts"].decided is None


def test_what_is_off_is_named_and_counts_as_absent() -> None:
    found = by_name(policy("off", mode="Off", limits={"powerWatts": 5}))
    assert found["limits.powerWatts"].decided is None
    assert found["(off)"].decided is not None


SPECS = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["Off", "Recommend", "Enforce"]),
        "sloClass": st.sampled_from(["latency-critical", "standard", "best-effort"]),
        "carbon": st.fixed_dictionaries(
            {},
            optional={
                "maxIntensityGramsPerKWh": st.integers(0, 900),
                "allowedDelay": st.integers(0, 900).map("{}m".format),
                "priceUSDPerTonne": st.integers(0, 300),
            },
        ),
        "limits": st.fixed_dictionaries(
            {}, optional={n: st.integers(0, 99) for n in ("costUSDPerHour", "carbonGramsPerHour", "powerWatts")}
        ),
        "serving": st.fixed_dictionaries(
            {},
            optional={
                "prefer": st.sampled_from(["Cost", "Accuracy"]),
                "minAccuracy": st.decimals(0, 1, places=2).map(str),
            },
        ),
    },
)


@given(specs=st.lists(SPECS, max_size=4))
def test_what_is_explained_is_what_holds(specs: list[dict[str, Any]]) -> None:
    policies = tuple(policy(f"p{i}", **spec) for i, spec in enumerate(specs))
    holds, found = effective_policy(policies, meta("digits")), by_name(*policies)

    def said(name: str, value: Any, show: Any) -> None:
        setting = found[name]
        assert (setting.value == show(value)) if setting.decided else (value is None)

    assert found["mode"].value == holds.mode
    assert found["sloClass"].value == holds.slo_class
    assert found["serving.prefer"].value == holds.prefer
    said("carbon.maxIntensityGramsPerKWh", holds.max_intensity_grams_per_kwh, lambda v: f"{v} gCO2e/kWh")
    said("carbon.allowedDelay", holds.allowed_delay, format_duration)
    said("limits.costUSDPerHour", holds.max_cost_usd_per_hour, lambda v: f"{format_quantity(v)} USD/h")
    said("limits.carbonGramsPerHour", holds.max_carbon_grams_per_hour, lambda v: f"{format_quantity(v)} gCO2e/h")
    said("limits.powerWatts", holds.max_power_watts, lambda v: f"{format_quantity(v)} W")
    if found["carbon.priceUSDPerTonne"].decided:
        price = float(found["carbon.priceUSDPerTonne"].value.split()[0])
        assert price == pytest.approx(holds.carbon_price_usd_per_gram * 1e6)
    if found["serving.minAccuracy"].decided:
        assert float(found["serving.minAccuracy"].value) == holds.min_accuracy


YAML = """\
# A comment.
apiVersion: trimtab.dev/v1alpha1
kind: EfficiencyPolicy
metadata:
  name: cap
spec:
  limits:
    costUSDPerHour: "2"
  budgets:
  - name: month
    costUSD: "100"
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    wide = PolicyState(
        meta=meta("wide", namespace=""),
        spec=ClusterEfficiencyPolicySpec.model_validate({"limits": {"costUSDPerHour": "9"}}),
    )
    eco = {"enabledBy": "ana", "since": (NOW - timedelta(hours=1)).isoformat(), "maxDuration": "2h"}
    cap = policy("cap", limits={"costUSDPerHour": "2"}, budgets=[{"name": "month", "costUSD": "100"}], ecoMode=eco)
    path = tmp_path / "snapshot.json"
    path.write_text(snapshot(policies=(cap, wide), training=(training(job=job()),)).model_dump_json())
    return path


def test_the_command_prints_lines_of_yaml_and_how_budgets_stand(world: Path, tmp_path: Path) -> None:
    text = tmp_path / "cap.yaml"
    text.write_text(YAML)
    arguments = ["policy", "explain", "tw/digits", "-n", "demo", "--snapshot", str(world), "--file", str(text)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    where = "EfficiencyPolicy demo/cap: spec.limits.costUSDPerHour"
    assert f"limits.costUSDPerHour: 2 USD/h <- {where} ({text}:8)" in lines
    assert "  lost: ClusterEfficiencyPolicy wide: spec.limits.costUSDPerHour = 9 USD/h" in lines
    (budget,) = [line for line in lines if line.startswith("budgets/month")]
    assert f"({text}:11)" in budget
    assert "spent 0 of 100 USD (0.0%)" in budget
    assert any(line.startswith("ecoMode:") and "on until 2026-11-24 13:00 UTC" in line for line in lines)
    assert any(line.startswith("because ") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tw/none"], "there is no TrainingWorkload 'none' in namespace 'demo'"),
        (["none"], "there is no TrainingWorkload or ServingWorkload 'none'"),
        (["xx/digits"], "write KIND/NAME with KIND one of"),
        (["tw/digits", "--file", "/does/not/exist.yaml"], "cannot read /does/not/exist.yaml"),
    ],
)
def test_mistakes_are_told(world: Path, arguments: list[str], said: str) -> None:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(
        app, ["policy", "explain", "-n", "demo", "--snapshot", str(world), *arguments]
    )
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())
