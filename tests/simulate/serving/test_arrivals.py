"""Traces of requests: the published formats, their errors, and the scaling of load."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.simulate.inputs.arrivals import Arrivals, read_azure, read_mooncake, read_timestamps, scaled
from trimtab.simulate.inputs.table import InputError

DATA = Path(__file__).parents[2] / "data"
AZURE = DATA / "azure" / "conv_first_900.csv"
MOONCAKE = DATA / "mooncake" / "conversation_first_200.jsonl"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def to(name: str, content: str) -> Path:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return to


def test_azure_s_trace_as_published() -> None:
    read = read_azure(AZURE)
    assert len(read) == 900
    assert read.seconds[:3] == pytest.approx([0.0, 4.314579, 4.541877], abs=1e-5)
    assert read.prompt_tokens is not None
    assert read.output_tokens is not None
    assert read.prompt_tokens[:3].tolist() == [374, 396, 879]
    assert read.output_tokens[:3].tolist() == [44, 109, 55]


def test_mooncake_s_trace_is_spread_within_its_grid() -> None:
    read = read_mooncake(MOONCAKE, seed=3)
    assert len(read) == 200
    assert (np.diff(read.seconds) >= 0).all()
    assert len(np.unique(read.seconds)) == 200
    # Each keeps its place on the grid of 3 s, as far as the shift to a first request at 0 lets one see it.
    on_grid = np.array([0, 3, 6, 9])
    counts = [int(((read.seconds >= low) & (read.seconds < low + 3)).sum()) for low in on_grid]
    published = [line.split(",")[0] for line in MOONCAKE.read_text().splitlines()]
    assert sum(counts) == pytest.approx(sum(int(p.split(": ")[1]) < 12_000 for p in published), abs=6)
    assert "grid of 3 s" in read.notes[0]


def test_the_spread_is_that_of_the_seed() -> None:
    assert (read_mooncake(MOONCAKE, seed=1).seconds == read_mooncake(MOONCAKE, seed=1).seconds).all()
    assert (read_mooncake(MOONCAKE, seed=1).seconds != read_mooncake(MOONCAKE, seed=2).seconds).any()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("t\n10\n11.5\n14\n", [0.0, 1.5, 4.0]),
        ("time\n2024-01-01T00:00:00Z\n2024-01-01T00:00:02.5+00:00\n", [0.0, 2.5]),
        ("time\n2024-01-01 00:00:00\n2024-01-01 01:00:00\n", [0.0, 3600.0]),
        ("seconds\n-1\n1e1\n", [0.0, 11.0]),
    ],
)
def test_timestamps(write: Callable[[str, str], Path], content: str, expected: list[float]) -> None:
    assert read_timestamps(write("t.csv", content)).seconds == pytest.approx(expected)


@pytest.mark.parametrize(
    ("reader", "content", "place", "said"),
    [
        (read_azure, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,0,1\n", "2:2", "0 is too few"),
        (read_azure, "TIMESTAMP,ContextTokens,GeneratedTokens\n16/11/2023,1,1\n", "2:1", "is no time"),
        (read_azure, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,-1\n", "2:3", "negative"),
        (read_azure, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,nan,1\n", "2:2", "not a number"),
        (read_azure, "TIMESTAMP,ContextTokens\n2023-11-16 18:15:46,1\n", "1:2", "'GeneratedTokens' is missing"),
        (
            read_azure,
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,1\n2023-11-16 18:15:45,1,1\n",
            "3:1",
            "the time goes back",
        ),
        (read_timestamps, "t,u\n1,2\n", "1:2", "has one"),
        (read_timestamps, "t\n3\n1\n", "3:1", "the time goes back"),
        (read_timestamps, "t\n3\nsoon\n", "3:1", "not a number"),
        (read_mooncake, '{"timestamp": 0, "input_length": 1}\n', "1:1", "'output_length' is missing"),
        (read_mooncake, '{"timestamp": 0, "input_length": 0, "output_length": 1}\n', "1:18", "0 is too few"),
        (read_mooncake, '{"timestamp": -1, "input_length": 1, "output_length": 1}\n', "1:2", "negative"),
        (read_mooncake, '{"timestamp": NaN, "input_length": 1, "output_length": 1}\n', "1:2", "not a number"),
        (read_mooncake, '{"timestamp": 0, "input_length": 1.5, "output_length": 1}\n', "1:18", "whole number"),
        (read_mooncake, '{"timestamp": "0", "input_length": 1, "output_length": 1}\n', "1:2", "not a number"),
        (read_mooncake, '{"timestamp": 0, "input_length": 1, "output_length": 1, "n": 2}\n', "1:57", "'n' is unknown"),
        (read_mooncake, '{"timestamp": 0, "input_length": 1, "output_length": 1}\nsoon\n', "2:1", "no JSON"),
        (read_mooncake, "[1, 2]\n", "1:1", "no JSON object"),
        (read_mooncake, "", "1:1", "the file is empty"),
        (
            read_mooncake,
            '{"timestamp": 9, "input_length": 1, "output_length": 1}\n'
            '{"timestamp": 0, "input_length": 1, "output_length": 1}\n',
            "2:1",
            "the time goes back",
        ),
    ],
)
def test_bad_traces_are_refused_with_their_place(
    write: Callable[[str, str], Path], reader: Callable[[Path], Arrivals], content: str, place: str, said: str
) -> None:
    path = write("trace.csv", content)
    with pytest.raises(InputError) as caught:
        reader(path)
    assert str(caught.value).startswith(f"{path}:{place}: ")
    assert said in str(caught.value)


def test_scale_1_is_the_trace_itself() -> None:
    read = read_azure(AZURE)
    assert scaled(read, 1.0, seed=5) is read


@given(st.floats(0.05, 6.0), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_scaled_load_has_its_size_and_its_course(factor: float, seed: int) -> None:
    read = read_azure(AZURE)
    more = scaled(read, factor, seed)
    expected = factor * len(read)
    assert abs(len(more) - expected) <= 5 * np.sqrt(len(read)) + 1
    assert (np.diff(more.seconds) >= 0).all()
    assert more.seconds[0] >= 0
    assert more.seconds[-1] <= read.seconds[-1]
    assert more.prompt_tokens is not None
    assert read.prompt_tokens is not None
    assert set(more.prompt_tokens) <= set(read.prompt_tokens)
    assert (scaled(read, factor, seed).seconds == more.seconds).all()


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_that_are_none_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="--scale"):
        scaled(Arrivals(np.arange(3.0)), factor, 0)


def test_a_scale_that_leaves_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="leaves none of 2 requests"):
        scaled(Arrivals(np.arange(2.0)), 1e-9, 0)
