"""The generated definitions: structural, described, deterministic, and the same as the committed files."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
import yaml
from pydantic import Field
from typer.testing import CliRunner

from trimtab.api import crd
from trimtab.api.kinds import KINDS
from trimtab.api.quantity import Amount, Duration
from trimtab.api.schema import RULES, ApiModel, Cel, ListMap, ListSet, PreserveUnknown
from trimtab.api.structural import SchemaError, structural_schema
from trimtab.cli.crds import DIRECTORIES, crds

REPOSITORY = Path(__file__).parents[2]


class Inner(ApiModel):
    """Something inside."""

    cel_rules = (Cel("self.count < 5", "must be below 5", ".count"),)

    count: int = 3
    """How many."""


class Item(ApiModel):
    """An item."""

    key: Annotated[str, Field(max_length=8)]
    """Its key."""


class Outer(ApiModel):
    """A model with one field of each sort."""

    inner: Inner = Inner()
    """The inner model, by default."""
    maybe: Inner | None = None
    price: Amount = 1.5
    """A price."""
    wait: Duration = timedelta(minutes=90)
    """How long."""
    items: Annotated[tuple[Item, ...], Field(max_length=4), ListMap(("key",))] = ()
    """A list by key."""
    tags: Annotated[tuple[str, ...], ListSet()] = ()
    """A set."""
    order: tuple[int, ...] = (1, 2)
    """A list that is replaced as a whole."""
    free: Annotated[dict[str, Any] | None, PreserveUnknown()] = None
    """Anything."""
    name: Annotated[str | None, Field(pattern="^a")] = None
    """A name."""


def schema() -> dict[str, Any]:
    return structural_schema(Outer, "Outer")["properties"]


def nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for child in [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]:
        if isinstance(child, dict):
            yield from nodes(child)


def test_a_model_is_inlined_with_its_rules_and_defaults() -> None:
    inner = schema()["inner"]
    assert inner["default"] == {}, "the API server fills in an empty object, then its fields"
    assert inner["properties"]["count"] == {"description": "How many.", "type": "integer", "default": 3}
    assert inner[RULES] == [{"rule": "self.count < 5", "message": "must be below 5", "fieldPath": ".count"}]


def test_an_optional_model_has_no_default_and_describes_itself() -> None:
    maybe = schema()["maybe"]
    assert "default" not in maybe
    assert maybe["description"] == "Something inside."
    assert "nullable" not in maybe
    assert "anyOf" not in maybe


def test_amounts_and_durations_are_printed_as_their_fields_print_them() -> None:
    assert schema()["price"]["default"] == "1.5"
    assert schema()["wait"]["default"] == "1h30m"
    assert schema()["price"]["x-kubernetes-int-or-string"] is True
    assert "type" not in schema()["price"]
    assert schema()["price"]["description"] == 'A price. A number such as 2, "0.5" or "250m".'


def test_lists_say_how_they_merge() -> None:
    assert schema()["items"]["x-kubernetes-list-type"] == "map"
    assert schema()["items"]["x-kubernetes-list-map-keys"] == ["key"]
    assert schema()["items"]["items"]["required"] == ["key"]
    assert schema()["tags"]["x-kubernetes-list-type"] == "set"
    assert schema()["order"]["x-kubernetes-list-type"] == "atomic"
    assert schema()["order"]["default"] == [1, 2]


def test_free_objects_keep_what_is_in_them() -> None:
    free = schema()["free"]
    assert free == {"description": "Anything.", "type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_an_optional_text_keeps_its_pattern() -> None:
    assert schema()["name"] == {"description": "A name.", "type": "string", "pattern": "^a"}


def test_status_has_no_defaults() -> None:
    assert not any("default" in node for node in nodes(structural_schema(Outer, "Outer", defaults=False)))


def test_a_field_without_description_is_named() -> None:
    class Silent(ApiModel):
        """A model."""

        items: tuple[Item, ...] = ()
        said: int = 0
        """Said."""
        left_out: int = 0

    with pytest.raises(SchemaError, match=r"docstring under each field: Silent\.items, Silent\.leftOut$"):
        structural_schema(Silent, "Silent")


def test_what_a_crd_cannot_say_is_named() -> None:
    class Either(ApiModel):
        """A model."""

        value: Annotated[int, Field(gt=3)]
        """Above three, which OpenAPI v3 writes in another way."""

    with pytest.raises(SchemaError, match=r"Either\.value: exclusiveMinimum"):
        structural_schema(Either, "Either")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_definition_is_structural(kind) -> None:
    root = crd.generate(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for node in nodes(root):
        assert ("type" in node) != ("x-kubernetes-int-or-string" in node)
        assert not {"$ref", "title", "$defs", "const", "allOf", "oneOf"} & node.keys()
        assert node.get("default", 0) is not None
        for rule in node.get(RULES, ()):
            assert rule["message"]
            assert "\n" not in rule["message"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_columns_and_scale_point_at_fields_that_exist(kind) -> None:
    version = crd.generate(kind)["spec"]["versions"][0]
    root = version["schema"]["openAPIV3Schema"]
    paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    paths += version["subresources"].get("scale", {}).values()
    for path in paths:
        node = root
        if path.startswith(".metadata."):
            continue
        for step in path.strip(".").split("."):
            node = node["properties"][step.split("[")[0]]
            if "[" in step:
                node = node["items"]
            if "?(" in step:
                break


def test_definitions_read_back_as_they_were_generated() -> None:
    for kind in KINDS:
        assert yaml.safe_load(crd.to_yaml(crd.generate(kind))) == crd.generate(kind)
    assert crd.files() == crd.files()


@pytest.mark.parametrize("directory", DIRECTORIES, ids=str)
def test_committed_definitions_are_those_of_the_models(directory: Path) -> None:
    committed = {path.name: path.read_text() for path in (REPOSITORY / directory).glob("*.yaml")}
    assert committed == crd.files(), "mend with: trimtab crds --write"


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(crds)
    return app


def test_write_then_check_passes_and_removes_what_is_stale(app: typer.Typer, tmp_path: Path) -> None:
    stale, own = tmp_path / "gone.yaml", tmp_path / "own.yaml"
    stale.write_text(crd.HEADER + "kind: Gone\n")
    own.write_text("kind: Own\n")
    assert CliRunner().invoke(app, ["--write", str(tmp_path)]).exit_code == 0
    assert not stale.exists()
    assert own.exists()
    assert CliRunner().invoke(app, ["--check", str(tmp_path)]).exit_code == 0


def test_check_shows_the_difference_and_how_to_mend_it(app: typer.Typer, tmp_path: Path) -> None:
    CliRunner().invoke(app, ["--write", str(tmp_path)])
    path = tmp_path / crd.file_name(KINDS[0])
    path.write_text(path.read_text().replace("singular: trainingworkload", "singular: wrong"))
    (tmp_path / "gone.yaml").write_text(crd.HEADER)
    result = CliRunner().invoke(app, ["--check", str(tmp_path)])
    assert result.exit_code == 1
    assert "-    singular: wrong" in result.output
    assert "+    singular: trainingworkload" in result.output
    assert "gone.yaml: no kind has this definition any more" in result.output
    assert f"trimtab crds --write {tmp_path}" in result.output


def test_write_and_check_exclude_each_other(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["--write", "--check"]).exit_code == 2
