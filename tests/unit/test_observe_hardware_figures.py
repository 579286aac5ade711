"""Prices and watts from the tables, and which price is paid."""

from pathlib import Path

import pytest

from tests.unit.worlds import NOW
from trimtab.api.hardware import HardwareClassSpec, Purchase
from trimtab.observe.facts import NodeFact, Taint
from trimtab.observe.hardware_figures import InstanceTables, purchase_of, with_figures
from trimtab.plan.snapshot import HardwareState, ObjectMeta
from trimtab.tables import TableError


def state(**spec: object) -> HardwareState:
    given = {"nodeSelector": {"pool": "a"}, "gridZone": "ES", **spec}
    return HardwareState(
        meta=ObjectMeta(name="c", created_at=NOW),
        spec=HardwareClassSpec.model_validate(given),
        nodes=1,
        capacity_units=1.0,
        units_per_node=1.0,
    )


def node(name: str, *taints: Taint, **labels: str) -> NodeFact:
    return NodeFact(name, {"pool": "a", **labels}, taints, {}, ready=True, schedulable=True)


def resolved(given: HardwareState, *nodes: NodeFact, directory: str = "") -> HardwareState:
    (found,) = with_figures((given,), nodes, InstanceTables(directory).read())
    return found


def test_a_class_that_names_an_instance_type_gets_its_figures_and_says_from_where() -> None:
    found = resolved(state(instanceType="g4dn.xlarge"), node("n1"))
    assert found.spec.price.usd_per_hour == 0.526
    power = found.spec.power
    assert (power.idle_watts, power.ten_percent_watts, power.half_watts, power.peak_watts) == (16.4, 35.6, 76.3, 104.0)
    assert power.accelerator_peak_watts == 71.3
    assert found.spec.embodied is not None
    assert found.spec.embodied.kilograms == 376.3
    assert found.figures == "price: aws-us-east-1-2026-07-20; power: teads; embodied: ccf"
    assert found.node_names == ("n1",)


def test_what_a_class_says_itself_stands() -> None:
    own = {"price": {"usdPerHour": "0.4"}, "power": {"idleWatts": "20", "peakWatts": "90"}}
    found = resolved(state(instanceType="g4dn.xlarge", **own))
    assert found.spec.price.usd_per_hour == 0.4
    assert (found.spec.power.peak_watts, found.spec.power.half_watts) == (90.0, None)
    assert found.figures == "embodied: ccf"


def test_azure_and_gcp_types_go_by_the_names_that_their_nodes_have() -> None:
    azure, gcp = resolved(state(instanceType="Standard_D4s_v3")), resolved(state(instanceType="n2-standard-4"))
    assert azure.spec.price.usd_per_hour == pytest.approx(4 * 0.039 + 16 * 0.001917)
    assert gcp.spec.price.spot_usd_per_hour == pytest.approx(4 * 0.006655 + 16 * 0.000892)
    assert "opencost-defaults" in gcp.figures


def test_an_unknown_type_is_said() -> None:
    assert "q9.mega is in no table" in resolved(state(instanceType="q9.mega")).figures


@pytest.mark.parametrize(
    ("labels", "paid"),
    [
        ({"karpenter.sh/capacity-type": "spot"}, Purchase.SPOT),
        ({"karpenter.sh/capacity-type": "on-demand"}, Purchase.ON_DEMAND),
        ({"karpenter.sh/capacity-type": "reserved"}, Purchase.RESERVED),
        ({"eks.amazonaws.com/capacityType": "SPOT"}, Purchase.SPOT),
        ({"eks.amazonaws.com/capacityType": "ON_DEMAND"}, Purchase.ON_DEMAND),
        ({"cloud.google.com/gke-spot": "true"}, Purchase.SPOT),
        ({"cloud.google.com/gke-provisioning": "standard"}, Purchase.ON_DEMAND),
        ({"kubernetes.azure.com/scalesetpriority": "spot"}, Purchase.SPOT),
        ({}, Purchase.ON_DEMAND),
    ],
)
def test_nodes_say_by_their_labels_how_they_are_paid(labels: dict[str, str], paid: Purchase) -> None:
    assert purchase_of(labels) is paid


PRICES = {"usdPerHour": "1.0", "spotUSDPerHour": "0.3", "reservedUSDPerHour": "0.6"}
WATTS = {"idleWatts": "20", "peakWatts": "90"}


def test_the_price_that_is_paid_is_that_of_the_nodes_or_of_the_class() -> None:
    spot, other = node("s", **{"karpenter.sh/capacity-type": "spot"}), node("o")
    given = {"price": PRICES, "power": WATTS}
    mixed = resolved(state(**given), spot, other)
    assert mixed.spec.price.usd_per_hour == pytest.approx((0.3 + 1.0) / 2)
    assert mixed.on_demand_usd_per_hour == 1.0
    assert resolved(state(**given), other).on_demand_usd_per_hour is None
    assert resolved(state(**given, purchase="Reserved"), spot).spec.price.usd_per_hour == 0.6
    unknown = resolved(state(price={"usdPerHour": "1.0"}, power=WATTS, purchase="Spot"), other)
    assert unknown.spec.price.usd_per_hour == 1.0, "a spot price that nobody knows is not made up"


def test_nodes_that_pods_of_the_class_cannot_go_to_are_not_its_nodes() -> None:
    tainted = node("gpu", Taint("nvidia.com/gpu", "", "NoSchedule"))
    assert resolved(state(price=PRICES, power=WATTS), tainted).node_names == ()


def test_a_file_that_people_edit_goes_over_the_table_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "instances.csv"
    own.write_text("instance_type,usd_per_hour,peak_watts,idle_watts\ng4dn.xlarge,0.31,,\nmy.box,2.5,700,90\n")
    found = resolved(state(instanceType="g4dn.xlarge"), directory=str(tmp_path))
    assert (found.spec.price.usd_per_hour, found.spec.power.peak_watts) == (0.31, 104.0)
    assert str(own) in found.figures
    assert resolved(state(instanceType="my.box"), directory=str(tmp_path)).spec.power.peak_watts == 700.0
    own.write_text("instance_type,price\na,1\n")
    with pytest.raises(TableError, match="price"):
        InstanceTables(str(tmp_path)).read()
