"""Traces of jobs and scaling profiles are read as published, and mistakes in them are found where they are."""

from pathlib import Path

import numpy as np
import pytest

from tests.simulate.training.scenes import DATA, NBODY, PAI_1K
from trimtab.simulate.inputs.table import InputError
from trimtab.simulate.inputs.training_jobs import read_gaia, read_philly, read_scaling, rigid
from trimtab.simulate.training.workload import Limits, prepare


def write(folder: Path, content: str) -> Path:
    path = folder / "jobs.csv"
    path.write_text(content)
    return path


def test_the_unit_of_time_is_told_from_the_lengths() -> None:
    seconds, hours = read_gaia(PAI_1K), read_gaia(DATA / "gaia" / "pai-100k.csv")
    assert len(seconds) == 1000
    assert seconds.length_hours[0] == pytest.approx(6302 / 3600)
    assert hours.length_hours[0] == pytest.approx(25.408, abs=1e-3)
    assert "seconds" in seconds.notes[0]
    assert "hours" in hours.notes[0]


def test_the_unit_of_time_can_be_said(tmp_path: Path) -> None:
    path = write(tmp_path, "arrival_time,length,cpus\n0,299,1\n10,7200,2\n")
    with pytest.raises(InputError, match=r"jobs.csv:3:2: length: .*say the unit"):
        read_gaia(path)
    assert read_gaia(path, "seconds").length_hours.tolist() == [299 / 3600, 2.0]
    assert read_gaia(path, "hours").length_hours.tolist() == [299.0, 7200.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("arrival_time,length,cpus\n5,1,1\n4,1,1\n", r":3:1: arrival_time: .*sort the rows by arrival"),
        ("arrival_time,length,cpus\n5,0,1\n", r":2:2: length: 0 is not above 0"),
        ("arrival_time,length,cpus\n5,nan,1\n", r":2:2: length: 'nan' is not a number"),
        ("arrival_time,length,cpus\n-1,2,1\n", r":2:1: arrival_time: -1 is negative"),
        ("arrival_time,length,cpus\n1,2,0\n", r":2:3: cpus: 0 is too small"),
        ("arrival_time,length,cpus\n1,2,1.5\n", r":2:3: cpus: 1.5 is not a whole number"),
        ("arrival_time,length,cpus,id\n1,2,1,7\n", r":1:4: column 'id' is unknown"),
        ("arrival_time,length\n1,2\n", r"column 'cpus' is missing"),
    ],
)
def test_a_mistake_in_a_trace_is_found(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_gaia(write(tmp_path, content))


def test_philly_is_put_in_order_of_arrival() -> None:
    trace = read_philly(DATA / "gaia" / "philly.csv")
    assert len(trace) == 60
    assert trace.arrival_hours[0] == 0
    assert (np.diff(trace.arrival_hours) >= 0).all()
    # The first line of the file: 66 s on one GPU, submitted 2017-10-09 07:01:55.
    place = int(np.flatnonzero(trace.lines == 2)[0])
    assert trace.length_hours[place] == pytest.approx(66 / 3600)
    assert trace.units[place] == 1


def test_a_wrong_time_of_philly_is_found(tmp_path: Path) -> None:
    path = write(tmp_path, "timestamp,duration,num_gpus\n2017-10-09 07:01:55,66,1\nyesterday,66,1\n")
    with pytest.raises(InputError, match=r":3:1: timestamp: 'yesterday' is not a time"):
        read_philly(path)


def test_a_scaling_profile_is_relative_to_one_node() -> None:
    profile = read_scaling(NBODY)
    assert len(profile.speed) == len(profile.power) == 7
    assert profile.speed[0] == profile.power[0] == 1
    assert profile.speed[6] == pytest.approx(10747.78 / 1757.89, rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("1,10,5\n3,30,15\n", r":3:1: nodes: 3 nodes where 2 are expected"),
        ("1,10,5\n2,9,15\n", r":3:2: throughput: 9 is no more"),
        ("1,10,5\n2,20,5\n", r":3:3: power: 5 is no more"),
        ("1,0,5\n2,20,6\n", r":2:2: throughput: 0 is no more"),
        ("0,0,1\n1,20,6\n", r"0 nodes that work or draw power"),
        ("0,0,0\n", r"there is no row of 1 node"),
    ],
)
def test_a_mistake_in_a_profile_is_found(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_scaling(write(tmp_path, "nodes,throughput,power\n" + rows))


def test_what_cannot_take_part_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "arrival_time,length,cpus\n0,1,1\n1,1,9\n2,1,1\n8,1,1\n50,1,1\n")
    limits = Limits(40.0, 10.0, 6.0, 24.0, capacity_units=8)
    jobs, notes = prepare(read_gaia(path), limits, rigid(), 0.3, 0.0)
    assert jobs.arrival_hours.tolist() == [0.0, 2.0]
    assert any(
        "1 of 4 jobs are left out: they need more than the 8 units there are (first: line 3)" in n for n in notes
    )
    assert any("after the last hour of the carbon series (first: line 5)" in note for note in notes)


def test_queues_are_those_of_the_paper(tmp_path: Path) -> None:
    path = write(tmp_path, "arrival_time,length,cpus\n0,1,1\n1,1.5,1\n2,2,1\n3,6,1\n")
    jobs, _ = prepare(read_gaia(path), Limits(40.0, 100.0, 6.0, 24.0), rigid(), 0.3, 0.0)
    assert jobs.max_wait_hours.tolist() == [6, 6, 24, 24]
    assert jobs.expected_hours.tolist() == [1.25, 1.25, 4, 4]
    assert jobs.deadline_hours.tolist() == [7, 8.5, 28, 33]
