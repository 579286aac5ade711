"""Profiles of speed: the published formats and trimtab's own, and their errors."""

from pathlib import Path

import numpy as np
import pytest

from trimtab.simulate.inputs.profiles import BatchSpeed, TokenSpeed
from trimtab.simulate.inputs.read_profiles import read_profiles
from trimtab.simulate.inputs.table import InputError

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data"
SPLITWISE = DATA / "splitwise" / "perf_model_part.csv"
TRITON = DATA / "triton_model_analyzer" / "vgg19_libtorch_request_rate.csv"


def test_splitwise_s_file_as_published() -> None:
    profiles = read_profiles(SPLITWISE)
    assert profiles.tokens
    assert [option.name for option in profiles.options] == [
        "llama2-70b-tp2 on a100-80gb",
        "llama2-70b-tp2 on h100-80gb",
        "llama2-70b-tp4 on a100-80gb",
    ]
    first = profiles.options[0]
    assert first.usd_per_hour == pytest.approx(2 * 27.44705 / 8)
    assert first.units == 2
    assert isinstance(first.speed, TokenSpeed)
    # At 64 sequences two A100 have no room left: whole throughput falls, and the slots end at 32.
    assert first.speed.max_batch == 32
    last = profiles.options[2].speed
    assert isinstance(last, TokenSpeed)
    assert last.max_batch == 64
    assert first.speed.prefill(np.array([512]))[0] == pytest.approx(0.196, abs=0.002)
    # Beyond the longest measured prompt, along the last segment.
    step = first.speed.prefill(np.array([8192, 8193, 9192]))
    assert step[2] - step[0] == pytest.approx(1000 * (step[1] - step[0]))


def test_triton_model_analyzer_s_file_as_published() -> None:
    profiles = read_profiles(TRITON)
    assert not profiles.tokens
    by_name = {option.variant: option.speed for option in profiles.options}
    single, pair = by_name["vgg19_libtorch_config_0"], by_name["vgg19_libtorch_config_1"]
    assert isinstance(single, BatchSpeed)
    assert isinstance(pair, BatchSpeed)
    assert single.seconds == pytest.approx((1 / 225.5,))
    assert pair.seconds == pytest.approx((1 / 225.5, 2 / 280.8))
    # Latency on an idle server is what was measured at the lowest rate.
    assert single.table()[1] + single.overhead_seconds == pytest.approx(0.0127)
    assert any("vgg19_libtorch_config_4" in note for note in profiles.notes)


def test_the_example_file_ships_real_figures() -> None:
    profiles = read_profiles(ROOT / "workloads" / "profiles" / "efficientnet.yaml")
    assert [option.name for option in profiles.options] == [
        "efficientnet-b0 on a100", "efficientnet-b0 on v100", "efficientnet-b4 on a100", "efficientnet-b4 on v100",
    ]  # fmt: skip
    speed = profiles.options[3].speed
    assert isinstance(speed, BatchSpeed)
    assert speed.table()[32] == pytest.approx(32 / 738)
    assert 0 < speed.variability < 0.1


CLASSIC = """\
hardware:
  cpu: {usd_per_hour: 0.1, idle_watts: 10, peak_watts: 50}
variants:
  - name: small
    accuracy: 0.8
    profiles:
      - hardware: cpu
        units: 2
        queue_delay_ms: 5
        batches: [{batch: 1, ms: 10}, {batch: 4, items_per_second: 200, watts: 70}]
"""

LANGUAGE = """\
version: 1
source: somewhere
hardware:
  gpu: {usd_per_hour: 3, idle_watts: 100, peak_watts: 700}
variants:
  - name: large
    accuracy: 0.7
    profiles:
      - hardware: gpu
        max_batch: 16
        start_seconds: 90
        decode_watts: 400
        prefill: [{tokens: 100, ms: 20}, {tokens: 200, ms: 40}]
        decode: [{batch: 1, ms: 30}, {batch: 32, ms: 60}]
"""


def test_a_classic_profile_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(CLASSIC)
    (option,) = read_profiles(path).options
    assert isinstance(option.speed, BatchSpeed)
    assert option.speed.table() == pytest.approx((0.01, 0.01, 0.01 + 0.01 / 3, 0.01 + 0.02 / 3, 0.02))
    assert (option.usd_per_hour, option.idle_watts, option.busy_watts) == (0.2, 20, 70)
    assert option.speed.queue_delay_seconds == 0.005


def test_a_language_model_s_profile_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(LANGUAGE)
    profiles = read_profiles(path)
    (option,) = profiles.options
    assert isinstance(option.speed, TokenSpeed)
    assert option.speed.prefill(np.array([150, 300])) == pytest.approx([0.03, 0.06])
    assert option.speed.table()[16] == pytest.approx(0.03 + 0.03 * 15 / 31)
    assert (option.busy_watts, option.decode_watts, option.start_seconds) == (700, 400, 90)
    assert profiles.notes == ("Profiles: somewhere",)


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("accuracy: 0.8", "accuracy: 1.8", "5:15", "accuracy"),
        ("accuracy: 0.8", "acuracy: 0.8", "4:5", "accuracy is missing"),
        ("hardware: cpu", "hardware: tpu", "7:19", "hardware 'tpu' is unknown; known are cpu"),
        ("ms: 10}", "ms: 10, items_per_second: 3}", "10:19", "exactly one of ms and items_per_second"),
        ("ms: 10}", "ms: .nan}", "10:34", "finite"),
        ("ms: 10}", "ms: 0}", "10:34", "greater than 0"),
        ("batch: 4", "batch: 1", "7:9", "batches must ascend"),
        ("queue_delay_ms: 5", "queue_delay: 5", "9:22", "queue_delay is unknown"),
        ("hardware:\n  cpu", "hardware: [\n  cpu", "3:1", "no YAML"),
        (CLASSIC, "", "1:1", "no mapping"),
    ],
)
def test_bad_profiles_are_refused_with_their_place(tmp_path: Path, old: str, new: str, place: str, said: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(CLASSIC.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_profiles(path)
    assert f"{path}:{place}: " in str(caught.value)
    assert said in str(caught.value)


def test_kinds_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    language = LANGUAGE.split("variants:\n")[1].replace("hardware: gpu", "hardware: cpu")
    path.write_text(CLASSIC + language)
    with pytest.raises(InputError, match="mixed"):
        read_profiles(path)


def test_files_of_no_known_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("x")
    with pytest.raises(InputError, match="does not say the format"):
        read_profiles(path)
    path = tmp_path / "p.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no known column"):
        read_profiles(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a100-80gb", "b200", "'b200' is unknown; known are a100-80gb"),
        ("llama2-70b,", "llama4,", "'llama4' is unknown; known are llama2-70b"),
        (",token_time,", ",token_times,", "'token_time' is missing"),
    ],
)
def test_bad_performance_models_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "perf_model.csv"
    path.write_text(SPLITWISE.read_text().replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_profiles(path)
    assert said in str(caught.value)


def test_a_model_that_was_never_saturated_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    lines = [line for line in TRITON.read_text().splitlines() if "config_7" in line or line.startswith("Model,")]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="driven to saturation"):
        read_profiles(path)
