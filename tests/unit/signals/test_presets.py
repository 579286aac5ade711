"""The examples in policies/carbon-* are valid, cover every kind, and have somewhere to fall back to."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from trimtab.api.carbon import _KINDS, CarbonSourceSpec
from trimtab.tables import load

ROOT = Path(__file__).parents[3] / "policies"
FILES = sorted(path for folder in ROOT.glob("carbon*") if folder.is_dir() for path in folder.glob("*.yaml"))


def sources() -> list[dict[str, Any]]:
    items = (item for path in FILES for item in yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return [item for item in items if item and item["kind"] == "CarbonSource"]


@pytest.mark.parametrize("item", sources(), ids=lambda item: item["metadata"]["name"])
def test_every_example_fits_its_model(item: dict[str, Any]) -> None:
    spec = CarbonSourceSpec.model_validate(item["spec"])
    assert sum(kind in item["spec"] for kind in _KINDS) == 1
    if spec.table is not None and spec.table.country:
        assert load("intensity_by_country").find(spec.table.country)
    if spec.table is not None and spec.table.cloud_region:
        regions = load("intensity_by_cloud_region", key=("provider", "region"))
        assert regions.find(*spec.table.cloud_region.split("/"))


def test_there_is_an_example_of_every_kind() -> None:
    assert {kind for item in sources() for kind in _KINDS if kind in item["spec"]} == set(_KINDS)


def test_names_are_unique() -> None:
    names = [item["metadata"]["name"] for item in sources()]
    assert len(names) == len(set(names))


def test_keys_are_in_the_secret_that_the_chart_lets_the_operator_read() -> None:
    values = yaml.safe_load((ROOT.parent / "helm/trimtab/values.yaml").read_text(encoding="utf-8"))
    assert values["carbon"] == {"secretNamespaces": [], "secretNames": ["trimtab-carbon"]}
    for item in sources():
        spec = CarbonSourceSpec.model_validate(item["spec"])
        for reference in (spec.electricity_maps and spec.electricity_maps.key, spec.watt_time and spec.watt_time.login):
            if reference:
                assert (reference.namespace, reference.name) == ("trimtab-system", "trimtab-carbon")
