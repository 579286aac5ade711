"""A carbon series is read from real exports, and refused where an hour is missing, twice, out of order or no number."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.simulate.inputs.carbon import DEFAULT_COLUMNS, read_carbon
from trimtab.simulate.inputs.table import InputError

DATA = Path(__file__).parents[2] / "data" / "carbon"
START = datetime(2024, 2, 28, 22, tzinfo=UTC)


def write(folder: Path, *rows: str, header: str = "time,intensity") -> Path:
    path = folder / "grid.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_the_export_of_a_zone_is_read_by_its_life_cycle_intensity() -> None:
    series = read_carbon(DATA / "ES_2021_hourly.csv")
    assert (series.zone, series.start, len(series.grams_per_kwh)) == ("ES", datetime(2021, 1, 1, tzinfo=UTC), 72)
    assert series.grams_per_kwh[:3].tolist() == [143.06, 139.96, 138.48]


def test_another_column_of_the_export_may_be_chosen() -> None:
    direct = read_carbon(DATA / "ES_2021_hourly.csv", DEFAULT_COLUMNS[0].replace("LCA", "direct"))
    assert (direct.zone, direct.grams_per_kwh[0]) == ("ES", 103.42)


def test_a_file_with_a_column_a_zone_is_read_by_zone() -> None:
    series = read_carbon(DATA / "carbon_2022_hourly_open_12zones.csv.gz", "FR")
    assert (series.zone, series.grams_per_kwh[:2].tolist()) == ("FR", [50.51, 52.46])
    with pytest.raises(InputError, match=r"12zones\.csv\.gz:1:1: there is no column 'XX'; .*'AU-NSW', 'BR-CS', 'DE'"):
        read_carbon(DATA / "carbon_2022_hourly_open_12zones.csv.gz", "XX")
    with pytest.raises(InputError, match="name the intensity's column, one of: 'AU-NSW'"):
        read_carbon(DATA / "carbon_2022_hourly_open_12zones.csv.gz")


def test_the_gap_in_a_real_file_is_found() -> None:
    with pytest.raises(InputError, match=r"gap\.csv:61:1: datetime: 1286 hours are missing between 2020-01-03 10:00"):
        read_carbon(DATA / "carbonscaler_gap.csv", "carbon_intensity_avg")


def test_the_only_other_column_is_the_intensity(tmp_path: Path) -> None:
    path = write(tmp_path, "2024-02-28T22:00:00Z,1", "2024-02-29 00:00:00+01:00,2", "2024-02-29 00:00:00,3")
    series = read_carbon(path)
    assert (series.zone, series.start, series.grams_per_kwh.tolist()) == ("intensity", START, [1, 2, 3])


@pytest.mark.parametrize(
    ("rows", "place", "said"),
    [
        (["2024-01-01 00:00:00,1", "2024-01-01 00:00:00,2"], "3:1", "there twice (also in line 2); keep one of them"),
        (["2024-01-01 01:00:00,1", "2024-01-01 00:00:00,2"], "3:1", "comes after 2024-01-01 01:00; sort the rows"),
        (["2024-01-01 00:00:00,1", "2024-01-01 02:00:00,2"], "3:1", "1 hour is missing between 2024-01-01 00:00"),
        (["2024-01-01 00:00:00,1", "2024-01-01 00:30:00,2"], "3:1", "not a full hour; give one value an hour"),
        (["2024-01-01 00:00:00,-1"], "2:2", "intensity: -1 is negative; write 0 or more"),
        (["2024-01-01 00:00:00,NaN"], "2:2", "intensity: 'NaN' is not a number"),
        (["2024-01-01 00:00:00,"], "2:2", "intensity: the value is missing"),
        (["01/02/2024 00:00,1"], "2:1", "'01/02/2024 00:00' is not a time; write UTC such as 2022-01-01 00:00:00"),
        (["2024-01-01 00:00:00"], "2:2", "the line has 1 fields"),
    ],
)
def test_a_series_with_a_mistake_is_refused(tmp_path: Path, rows: list[str], place: str, said: str) -> None:
    path = write(tmp_path, *rows)
    with pytest.raises(InputError) as caught:
        read_carbon(path)
    assert str(caught.value).startswith(f"{path}:{place}: ")
    assert said in str(caught.value)


def test_a_file_of_several_zones_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "2024-01-01 00:00,1,ES", "2024-01-01 01:00,1,FR", header="time,grams,Zone Id")
    with pytest.raises(InputError, match=r"grid\.csv:3:3: Zone Id: zone FR follows ES; give a file of one zone"):
        read_carbon(path, "grams")


@given(
    grams=st.lists(st.floats(0, 2000), min_size=3, max_size=30),
    broken=st.sampled_from(["drop", "double", "swap", "none"]),
    at=st.integers(0, 10**6),
)
def test_only_whole_hours_in_order_are_read(
    tmp_path_factory: pytest.TempPathFactory, grams: list[float], broken: str, at: int
) -> None:
    rows = [f"{START + timedelta(hours=hour)},{value!r}" for hour, value in enumerate(grams)]
    place = 1 + at % (len(rows) - 2)
    if broken == "drop":
        del rows[place]
    elif broken == "double":
        rows.insert(place, rows[place])
    elif broken == "swap":
        rows[place], rows[place + 1] = rows[place + 1], rows[place]
    path = write(tmp_path_factory.mktemp("grid"), *rows)
    if broken == "none":
        np.testing.assert_array_equal(read_carbon(path).grams_per_kwh, grams)
    else:
        with pytest.raises(InputError) as caught:
            read_carbon(path)
        assert caught.value.line == place + (3 if broken == "double" else 2)
