"""The report: figures for programs, a page that needs nothing else for people, a table on the terminal."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tests.simulate.report.runs import serving_run, training_run
from trimtab.simulate.report.facts import input_file
from trimtab.simulate.report.intervals import CARBON, savings
from trimtab.simulate.report.summary import summary
from trimtab.simulate.report.write import show, write

FIGURES = {
    "carbon_g", "cost", "energy_kwh", "mean_wait_h", "mean_jct_h", "deadline_misses", "slo_attainment",
    "mean_accuracy", "replica_hours", "switches", "plan_ms_p50", "plan_ms_p99", "ratio_to_optimum",
}  # fmt: skip


class Balanced(HTMLParser):
    """Finds tags that are not closed, and identifiers that are there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def drawings(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)]


def test_the_figures_are_written_for_programs(tmp_path: Path) -> None:
    results, facts = training_run()
    source = tmp_path / "jobs.csv"
    source.write_bytes(b"abc")
    facts = replace(facts, inputs=(input_file("jobs", source),))
    write(results, facts, tmp_path / "new" / "out")
    document = json.loads((tmp_path / "new" / "out" / "result.json").read_text())
    assert list(document["policies"]) == ["run-at-once", "lowest-slot", "trimtab"]
    assert all(set(figures) == FIGURES for figures in document["policies"].values())
    assert document["policies"]["trimtab"]["mean_wait_h"] == 4.5
    assert document["policies"]["trimtab"]["slo_attainment"] is None
    assert document["savings"]["carbon"]["trimtab"]["share"] == pytest.approx(0.3)
    assert document["run"]["seed"] == 3
    assert document["run"]["command"] == facts.command
    assert document["run"]["inputs"] == [
        {
            "role": "jobs",
            "path": str(source),
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        }
    ]
    assert {"python", "numpy", "scipy", "highspy"} <= set(document["run"]["versions"])


@pytest.mark.parametrize("run", [training_run, serving_run])
def test_the_page_is_whole_and_needs_nothing_else(tmp_path: Path, run: object) -> None:
    results, facts = run()  # type: ignore[operator]
    write(results, facts, tmp_path)
    page = (tmp_path / "report.html").read_text()
    checked = Balanced()
    checked.feed(page)
    assert (checked.open, checked.wrong) == ([], [])
    assert len(checked.ids) == len(set(checked.ids))
    addresses = set(re.findall(r"(?:src|href)=\"([^\"]*)\"", page))
    assert all(address.startswith("#") for address in addresses)
    assert "url(http" not in page
    assert "@import" not in page
    references = re.findall(r"url\(#([^)]*)\)", page) + [address[1:] for address in addresses]
    assert set(references) <= set(checked.ids)
    for drawing in drawings(page):
        assert drawing.get("role") == "img"
        assert len(drawing.get("aria-label", "")) > 20


def test_the_page_shows_what_a_person_needs_to_believe_it(tmp_path: Path) -> None:
    results, facts = training_run()
    write(results, facts, tmp_path)
    page = (tmp_path / "report.html").read_text()
    labels = " ".join(drawing.get("aria-label", "") for drawing in drawings(page))
    assert "lowest-slot 8.8 %, trimtab 30.0 %" in labels
    assert "Units held by jobs from hour 0 to hour 48: run-at-once mean 3.58, most 4" in labels
    assert "Ratio to the optimum: run-at-once 1.500" in labels
    assert "trimtab median 4.50" in labels
    assert "trimtab: 30.0 % at 0, 25.0 % at 10" in labels
    assert "trimtab simulate training --jobs &#x27;a &amp; b.csv&#x27;" in page
    assert "<li>trimtab: Lengths &lt;b&gt; are known.</li>" in page
    assert "Hanafy et al., GAIA, ASPLOS 2024" in page
    assert "currentColor" in page
    assert "#010203" not in page
    assert "Cost saved" not in page


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    results, facts = training_run()
    for folder in ("a", "b"):
        write(results, facts, tmp_path / folder)
    for name in ("result.json", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_summary_says_what_was_found() -> None:
    results, facts = training_run()
    found = {"Carbon": savings(results, "run-at-once", CARBON, blocks=False, seed=3)}
    said = summary(results, found, facts)
    assert said.startswith("trimtab took 30.0 % (95 % interval 30.0 to 30.0 %) less carbon than run-at-once.")
    assert "Its jobs waited 4.5 hours on average; none missed their deadline." in said
    assert "The best other policy, lowest-slot, came to 28.7 % more carbon at a mean wait of 3.0 hours." in said
    assert "In carbon it is 1.0 % above the limit" in said


def test_the_summary_is_honest_where_trimtab_is_worse() -> None:
    results, facts = training_run()
    worse = [
        results[0],
        results[1],
        replace(results[2], carbon_g=1.1 * results[0].carbon_g, outcomes=replace(
            results[2].outcomes, carbon_grams=1.1 * results[0].outcomes.carbon_grams
        ), ratio_to_optimum=1.6, deadline_misses=1),
    ]  # fmt: skip
    found = {"Carbon": savings(worse, "run-at-once", CARBON, blocks=False, seed=3)}
    said = summary(worse, found, facts)
    assert said.startswith("trimtab took 10.0 % (95 % interval 10.0 to 10.0 %) more carbon than run-at-once.")
    assert "1 missed its deadline" in said
    assert "lowest-slot, came to 18.8 % less carbon" in said


def test_a_policy_that_misses_the_latency_target_is_no_rival() -> None:
    results, facts = serving_run()
    facts = replace(facts, reference="none", least_attainment=0.99)
    cheap = replace(results[0], policy="hpa-cpu", ratio_to_optimum=1.01, slo_attainment=0.98)
    fair = replace(results[0], policy="infaas", ratio_to_optimum=1.26, slo_attainment=0.992)
    said = summary([cheap, fair, results[1]], {}, facts)
    assert "The best other policy, infaas, came to 20.0 % more cost at 99.20 % within the target." in said
    assert "hpa-cpu" not in said


def test_a_cost_that_misses_the_target_is_not_praised() -> None:
    results, facts = serving_run()
    facts = replace(facts, least_attainment=0.999)
    said = summary(results, {}, facts)
    assert "That is short of the 99.9 % that were asked for" in said
    assert "limit" not in said
    assert "best other" not in said


def test_one_policy_alone_is_reported_without_a_comparison(tmp_path: Path) -> None:
    results, facts = training_run()
    found = write(results[:1], facts, tmp_path)
    assert all(not by_policy for by_policy in found.values())
    assert "there is nothing to compare" in (tmp_path / "report.html").read_text()


def test_the_terminal_gets_the_main_figures_and_where_the_rest_is(tmp_path: Path) -> None:
    results, facts = serving_run()
    found = write(results, facts, tmp_path)
    screen = io.StringIO()
    show(results, found, facts, tmp_path, Console(file=screen, width=100))
    said = screen.getvalue()
    row = next(line for line in said.splitlines() if "trimtab" in line)
    assert "25.0 (25.0 to 25.0)" in row
    assert "99.50" in row
    assert "0.8000" in row
    assert "1.050" in row
    assert said.rstrip().endswith(f"Wrote {tmp_path / 'result.json'} and {tmp_path / 'report.html'}")


def test_a_narrow_terminal_gets_savings_without_intervals(tmp_path: Path) -> None:
    results, facts = training_run()
    found = write(results, facts, tmp_path)
    for width, interval in ((100, True), (60, False)):
        screen = io.StringIO()
        show(results, found, facts, tmp_path, Console(file=screen, width=width))
        row = next(line for line in screen.getvalue().splitlines() if "trimtab" in line)
        assert ("30.0 (30.0 to 30.0)" in row) is interval
        assert "30.0" in row
