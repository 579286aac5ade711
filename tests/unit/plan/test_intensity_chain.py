"""Which source of a zone is in force, and what the ledger takes from several."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worlds import NOW, meta, snapshot
from trimtab.api.carbon import CarbonSourceSpec
from trimtab.api.common import ConditionStatus
from trimtab.plan.carbon_conditions import carbon_source_conditions
from trimtab.plan.conditions import carbon_condition
from trimtab.plan.intensity import in_force, intensity_at, is_fresh, points_by_zone, ranked, usable_series
from trimtab.plan.snapshot import CarbonState, IntensityPoint

HOUR = timedelta(hours=1)


def source(
    name: str,
    *grams: float,
    zone: str = "ES",
    start: int = 0,
    until: int | None = None,
    problem: str = "",
    reason: str = "",
    **spec: Any,
) -> CarbonState:
    """Points an hour apart, the first so many hours from now."""
    given = spec if len(spec) > ("priority" in spec) else {"ukCarbonIntensity": {}, **spec}
    return CarbonState(
        meta=meta(name, namespace=""),
        spec=CarbonSourceSpec.model_validate({"zone": zone, **given}),
        points=tuple(IntensityPoint(start=NOW + HOUR * (start + i), grams_per_kwh=g) for i, g in enumerate(grams)),
        known_until=None if until is None else NOW + HOUR * until,
        problem=problem,
        reason=reason,
    )


def names(chosen: dict[str, CarbonState]) -> dict[str, str]:
    return {zone: state.meta.name for zone, state in chosen.items()}


def test_the_lowest_priority_number_comes_first_then_the_name() -> None:
    chain = ranked([source("c", priority=5), source("b"), source("a"), source("d", priority=0)])["ES"]
    assert [s.meta.name for s in chain] == ["d", "c", "a", "b"]


def test_a_mean_comes_last_unless_told_otherwise() -> None:
    mean, table = source("a", static={"gramsPerKWh": 100}), source("b", table={"country": "ES"})
    assert [s.meta.name for s in ranked([mean, table, source("z")])["ES"]] == ["z", "a", "b"]
    first = source("b", table={"country": "ES"}, priority=1)
    assert [s.meta.name for s in ranked([source("z"), first])["ES"]] == ["b", "z"]


def test_the_next_fresh_one_is_used_when_one_is_stale_and_the_first_again_when_it_recovers() -> None:
    mean = source("mean", 500.0, start=-9, static={"gramsPerKWh": 500})
    good, stale = source("live", 100.0, 90.0), source("live", 100.0, 90.0, problem="stale")
    assert names(in_force([mean, good], NOW)) == {"ES": "live"}
    assert names(in_force([mean, stale], NOW)) == {"ES": "mean"}
    assert usable_series([mean, stale], NOW)["ES"] == mean.points


def test_where_none_is_fresh_what_reaches_beyond_the_present_counts_as_before() -> None:
    reaching, ended = source("reaching", 1.0, 2.0, problem="p"), source("ended", 3.0, start=-5, problem="p")
    assert names(in_force([ended, reaching], NOW)) == {"ES": "reaching"}
    assert in_force([ended], NOW) == {}
    assert in_force([source("nothing")], NOW) == {}


STATES = st.builds(
    lambda index, zone, grams, start, until, problem, priority: source(
        f"s{index}",
        *grams,
        zone=zone,
        start=start,
        until=None if until is None else start + until,
        problem="p" if problem else "",
        priority=priority,
    ),
    st.integers(0, 99),
    st.sampled_from(["ES", "DE"]),
    st.lists(st.integers(0, 900).map(float), max_size=6),
    st.integers(-8, 4),
    st.none() | st.integers(0, 8),
    st.booleans(),
    st.none() | st.integers(0, 3),
)
CHAINS = st.lists(STATES, max_size=6, unique_by=lambda s: s.meta.name)


@given(CHAINS, st.randoms())
def test_the_source_in_force_is_the_first_fresh_one(sources: list[CarbonState], random: Any) -> None:
    chosen = in_force(sources, NOW)
    shuffled = random.sample(sources, len(sources))
    assert names(in_force(shuffled, NOW)) == names(chosen), "the order of the list says nothing"
    for zone, chain in ranked(sources).items():
        fresh = [s for s in chain if is_fresh(s, NOW)]
        if fresh:
            assert chosen[zone] is fresh[0]
            assert all((s.spec.rank, s.meta.name) >= (fresh[0].spec.rank, fresh[0].meta.name) for s in fresh)
        elif zone in chosen:
            assert chosen[zone].points
            assert not chosen[zone].problem or chosen[zone].points[-1].start > NOW
    assert {zone: s.points for zone, s in chosen.items()} == usable_series(sources, NOW)


@given(CHAINS)
def test_exactly_one_source_of_a_zone_shows_that_it_is_in_force(sources: list[CarbonState]) -> None:
    shown = {
        o.key: {c.type: c for c in o.conditions} for o in carbon_source_conditions(snapshot(carbon=tuple(sources)))
    }
    chosen = in_force(sources, NOW)
    assert len(shown) == len(sources)
    for state in sources:
        force, fresh = shown[state.meta.key]["InForce"], shown[state.meta.key]["CarbonDataFresh"]
        assert (force.status is ConditionStatus.TRUE) == (chosen.get(state.spec.zone) is state)
        assert (fresh.status is ConditionStatus.TRUE) == is_fresh(state, NOW)


@given(CHAINS)
def test_the_ledger_takes_at_each_instant_the_first_source_that_knows_it(sources: list[CarbonState]) -> None:
    series = points_by_zone(sources)
    for zone, chain in ranked(sources).items():
        chain = tuple(s for s in chain if s.points)
        assert (zone in series) == bool(chain)
        if not chain:
            continue
        starts = [p.start for p in series[zone]]
        assert starts == sorted(set(starts))
        if len(chain) == 1:
            assert series[zone] == chain[0].points
            continue
        for hour in range(-10, 14):
            at = NOW + HOUR * hour
            knowing = [s for s in chain if s.points[0].start <= at and (s.known_until is None or at < s.known_until)]
            if knowing:
                assert intensity_at(series[zone], at) == intensity_at(knowing[0].points, at)


def test_a_gap_of_the_first_source_is_filled_by_the_next() -> None:
    live = source("live", 100.0, 110.0, start=-6, until=-4)
    mean = source("mean", 500.0, start=-9, static={"gramsPerKWh": 500})
    series = points_by_zone([live, mean])["ES"]
    assert [intensity_at(series, NOW + HOUR * hour) for hour in (-10, -8, -6, -5, -4, 0)] == [
        None, 500.0, 100.0, 110.0, 500.0, 500.0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("states", "status", "reason", "said"),
    [
        ([source("live", 1.0)], "True", "Fresh", "zone ES by CarbonSource live (priority 100)"),
        (
            [source("live", problem="HTTP 401", reason="Unauthorized"), source("mean", 1.0, static={"gramsPerKWh": 1})],
            "True",
            "Fresh",
            "zone ES by CarbonSource mean (priority 1000); not fresh: live: HTTP 401",
        ),
        (
            [source("live", problem="HTTP 401", reason="Unauthorized")],
            "False",
            "Unauthorized",
            "zone ES: live: HTTP 401",
        ),
        ([source("trace", problem="no row")], "False", "SourceFailed", "zone ES: trace: no row"),
        ([source("live", 1.0, 2.0, problem="old", reason="Stale")], "False", "Stale", "stays in force as far as it"),
        ([], "False", "NoCarbonSource", "no CarbonSource with spec.zone 'ES'"),
    ],
)
def test_workloads_say_what_their_zone_is_decided_by(
    states: list[CarbonState], status: str, reason: str, said: str
) -> None:
    world = snapshot(carbon=(*states, source("other", 5.0, zone="DE")))
    shown = carbon_condition(world, "ES", "ES" in usable_series(world.carbon, NOW))
    assert (shown.status, shown.reason) == (status, reason)
    assert said in shown.message


def test_conditions_of_a_chain_tell_the_whole_story() -> None:
    live = source("live", 100.0, problem="HTTP 429; next try at 15:00:00 UTC", reason="RateLimited")
    second = source("second", 200.0, priority=200)
    mean = source("mean", 300.0, static={"gramsPerKWh": 300})
    world = snapshot(carbon=(live, second, mean))
    shown = {o.key: {c.type: c for c in o.conditions} for o in carbon_source_conditions(world)}
    assert shown["live"]["CarbonDataFresh"].reason == "RateLimited"
    assert "next try at 15:00:00" in shown["live"]["CarbonDataFresh"].message
    assert (shown["live"]["InForce"].status, shown["live"]["InForce"].reason) == ("False", "NotFresh")
    assert "decided by CarbonSource second (priority 200)" in shown["live"]["InForce"].message
    assert (shown["second"]["InForce"].status, shown["second"]["InForce"].reason) == ("True", "Fallback")
    assert "live: HTTP 429" in shown["second"]["InForce"].message
    assert (shown["mean"]["InForce"].status, shown["mean"]["InForce"].reason) == ("False", "OtherComesFirst")
