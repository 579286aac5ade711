"""What README and docs say is checked against the code: manifests, links, fields, values, metrics, commands."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from trimtab.api.common import Usage
from trimtab.api.kinds import KINDS
from trimtab.api.policy import ClusterEfficiencyPolicySpec
from trimtab.api.schema import GROUP, VERSION, ApiModel
from trimtab.apply.children.own_template import checked_template
from trimtab.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SPECS = {kind.kind: kind.spec for kind in KINDS}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SOURCES = ("operator", "workloads", "helm", "manifests")


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> list[str]:
    return [text for name, text in _BLOCK.findall(path.read_text(encoding="utf-8")) if name == language]


EXAMPLES = [
    pytest.param(item, id=f"{page_id(path)}-{item['kind']}-{item['metadata']['name']}")
    for path in PAGES
    for text in blocks(path, "yaml")
    for item in yaml.safe_load_all(text)
]


def prose(path: Path) -> str:
    return _BLOCK.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def source_text() -> str:
    files = [
        path for folder in _SOURCES for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yaml", ".tpl")
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_all_pages_are_there() -> None:
    names = {path.name for path in PAGES}
    assert names >= {"README.md", "architecture.md", "workloads.md", "policies.md", "ledger.md", "operations.md"}


def test_there_are_examples_on_the_pages_that_need_them() -> None:
    for name in ("README.md", "docs/workloads.md", "docs/policies.md", "docs/ledger.md"):
        assert blocks(ROOT / name, "yaml"), name


@pytest.mark.parametrize("item", EXAMPLES)
def test_a_manifest_fits_its_model(item: dict[str, Any]) -> None:
    assert item["apiVersion"] == f"{GROUP}/{VERSION}"
    spec = SPECS[item["kind"]].model_validate(item["spec"])
    template = getattr(spec, "template", None)
    if template is not None:
        checked_template(template)


def test_the_first_workload_has_ten_lines() -> None:
    [text] = blocks(ROOT / "README.md", "yaml")
    assert len(text.splitlines()) == 10


def test_the_first_workload_fits_the_demo_that_it_is_applied_to() -> None:
    [item] = [yaml.safe_load(text) for text in blocks(ROOT / "README.md", "yaml")]
    demo = list(yaml.safe_load_all((ROOT / "manifests/demo/00-namespace.yaml").read_text(encoding="utf-8")))
    claims = {(i["metadata"]["namespace"], i["metadata"]["name"]) for i in demo if i["kind"] == "PersistentVolumeClaim"}
    assert (item["metadata"]["namespace"], item["spec"]["checkpoint"]["claimName"]) in claims


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_relative_links_lead_somewhere(path: Path) -> None:
    for link in _LINK.findall(prose(path)):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        place = (path.parent / target).resolve() if target else path
        assert place.is_file(), f"{link}: no such file"
        if anchor:
            assert anchor in anchors(place), f"{link}: no such heading"


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_a_page_can_be_read_anywhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"[\U0001F000-\U0001FAFF\u2600-\u27BF]", text), "no emojis"
    assert not re.search(r"(?<![\w.])/(work|root|home)/", text), "no paths of one machine"
    assert "\t" not in text


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_files_that_a_page_names_exist(path: Path) -> None:
    named = re.findall(
        r"(?:crds|docs|helm|manifests|operator|policies|workloads)/[\w./-]*\w/?", path.read_text(encoding="utf-8")
    )
    # Image names (registry/ml/trimtab/operator:0.1.0) look alike, but begin elsewhere.
    for name in {n for n in named if not n.startswith(("operator/", "docs/")) or "." in n}:
        if "/" in name:
            assert (ROOT / name).exists() or (path.parent / name).exists(), name


def _field_names(model: type[ApiModel]) -> set[str]:
    """Leaf fields as dotted paths in YAML."""
    found = set()
    for name, field in model.model_fields.items():
        alias = field.alias or name
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, ApiModel) and name != "selector":
            found |= {f"{alias}.{below}" for below in _field_names(inner)}
        else:
            found.add(alias)
    return found


def test_the_page_on_policies_explains_every_field_and_no_other() -> None:
    rows = re.findall(r"^\| `([\w.]+)`", (ROOT / "docs/policies.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) == _field_names(ClusterEfficiencyPolicySpec)


def test_the_page_on_the_ledger_explains_every_field_of_usage() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \|", (ROOT / "docs/ledger.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert _field_names(Usage) <= set(rows)


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_metrics_that_a_page_names_are_published_or_read(path: Path) -> None:
    sources = source_text()
    for name in re.findall(r"`(trimtab_[a-z_]+)`", path.read_text(encoding="utf-8")):
        bare = name.removesuffix("_total")
        # The operator's gauges are made with the prefix put before, counters get "_total" from the library.
        assert any(part in sources for part in (name, bare, f'"{name.removeprefix("trimtab_")}"')), name


def test_helm_values_that_operations_names_exist() -> None:
    values = yaml.safe_load((ROOT / "helm/trimtab/values.yaml").read_text(encoding="utf-8"))
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    roots = "|".join(values)
    names = set(re.findall(rf"`((?:{roots})\.[\w.]+)(?:=\w+)?`", text))
    assert len(names) > 10
    for name in names:
        content: Any = values
        for part in name.split("."):
            assert part in content, name
            content = content[part]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return "empty" if value == "" else str(value)


def test_defaults_of_helm_values_are_those_of_the_chart() -> None:
    values = yaml.safe_load((ROOT / "helm/trimtab/values.yaml").read_text(encoding="utf-8"))
    rows = re.findall(
        r"^\| (`[\w.]+`(?:, `[\w.]+`)*) \| ([^|]+) \|",
        (ROOT / "docs/operations.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    checked = 0
    for names, defaults in rows:
        paths = re.findall(r"`([\w.]+)`", names)
        told = defaults.strip().split(", ")
        if paths[0] == "images.tag":
            continue  # Told in words: empty means the chart's version.
        for path, default in zip(paths, told * len(paths) if len(told) == 1 else told, strict=False):
            content: Any = values
            for part in path.split("."):
                content = content[part]
            assert _shown(content) == default, path
            checked += 1
    assert checked >= 14


def test_commands_that_the_pages_name_exist() -> None:
    root: Any = get_command(app)
    for path in PAGES:
        for words in re.findall(
            r"(?:^|[`( /])trimtab ((?:[a-z]+ ?){1,3})", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            group = root
            for word in words.split():
                if not hasattr(group, "commands"):
                    break
                if group is root and word not in group.commands:
                    break  # Prose such as "trimtab decides".
                assert word in group.commands, f"{path.name}: trimtab {words}"
                group = group.commands[word]


def test_options_that_operations_names_exist() -> None:
    root: Any = get_command(app)
    options = {
        option
        for command in (root.commands["local"].commands["up"], root.commands["local"].commands["down"],
                        root.commands["demo"], root.commands["plan"])
        for parameter in command.params
        for option in parameter.opts
    }  # fmt: skip
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(--[a-z-]+)", text))
    assert named, "the page names options"
    assert named <= options


def test_what_is_told_to_be_missing_is_missing() -> None:
    """The README's limits: whoever adds one of these has to take the sentence out."""
    assert {"Benchmark", "TuningStudy"}.isdisjoint(SPECS)
    # Kueue is looked out for, but nothing that is applied is handed to it.
    applied = (path.read_text(encoding="utf-8") for path in (ROOT / "operator/trimtab/apply").rglob("*.py"))
    assert "kueue" not in "".join(applied).lower()
