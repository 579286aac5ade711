"""CarbonSources of every kind as they are in the Snapshot."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import cast

from trimtab.api.carbon import CarbonSourceSpec, CarbonSourceStatus
from trimtab.api.signals import TableIntensity
from trimtab.kube.client import KubeClient
from trimtab.observe.carbon import Series
from trimtab.observe.carbon_reader import CarbonReader
from trimtab.observe.facts import KindFact
from trimtab.observe.signals.background import SignalFetcher
from trimtab.observe.signals.fetch import LiveSources
from trimtab.observe.signals.http import Http
from trimtab.observe.signals.live_series import live_series
from trimtab.observe.signals.signal import Reason
from trimtab.observe.trace import MOST_GRAMS_PER_KWH
from trimtab.plan.snapshot import CarbonState, IntensityPoint
from trimtab.tables import TableError, load, override_path
from trimtab.tables.reader import Table

_COUNTRIES, _REGIONS = "intensity_by_country", "intensity_by_cloud_region"


class CarbonSources:
    """Reads what lies in the cluster, and looks at what is fetched in the background. One thread at a time."""

    def __init__(
        self, kube: KubeClient, refresh_seconds: float, prometheus_url: str = "", tables_directory: str = ""
    ) -> None:
        """Set up.

        Args:
            kube: Reads ConfigMaps and Secrets.
            refresh_seconds: ConfigMaps and tables are read again at most this often.
            prometheus_url: The operator's own Prometheus; empty when there is none.
            tables_directory: Where files that replace rows of tables are looked for; empty means that there are none.
        """
        self._reader = CarbonReader(kube, refresh_seconds)
        self._tables = _Tables(tables_directory, timedelta(seconds=refresh_seconds))
        self._http = Http()
        self._fetcher = SignalFetcher(LiveSources(kube, self._http, prometheus_url).fetch)

    def states(self, facts: Iterable[KindFact], since: datetime, now: datetime) -> tuple[CarbonState, ...]:
        """Every source with its series, from `since` to the end of its forecast."""
        states, config_maps, live = [], set(), set()
        for fact in facts:
            spec = cast(CarbonSourceSpec, fact.spec)
            if spec.config_map is not None:
                config_maps.add(spec.config_map)
            if spec.live is not None:
                live.add(fact.meta.name)
            series = self._series(fact.meta.name, spec, fact.meta.created_at, since, now)
            status = cast(CarbonSourceStatus, fact.status)
            states.append(CarbonState(meta=fact.meta, spec=spec, status=status, **vars(series)))
        self._reader.forget(config_maps)
        self._fetcher.forget(live)
        return tuple(states)

    def close(self) -> None:
        """Fetch nothing more."""
        self._fetcher.close()
        self._http.close()

    def _series(
        self, name: str, spec: CarbonSourceSpec, created_at: datetime, since: datetime, now: datetime
    ) -> Series:
        if spec.live is not None:
            return live_series(spec, self._fetcher.look(name, spec, now), since, now)
        if spec.table is not None:
            return self._tables.series(spec.table, since, now)
        return self._reader.series(spec, created_at, since, now)


class _Tables:
    """The tables of yearly means, with people's own files over them."""

    def __init__(self, directory: str, refresh: timedelta) -> None:
        self._directory, self._refresh = directory, refresh
        self._read: dict[str, tuple[datetime, Table]] = {}

    def series(self, wanted: TableIntensity, since: datetime, now: datetime) -> Series:
        """The mean that a table gives, for all times."""
        try:
            grams = self._grams(wanted, now)
        except TableError as error:
            return Series(problem=str(error), reason=Reason.BAD_ANSWER)
        if grams is None:
            where = wanted.country or wanted.cloud_region
            table = _COUNTRIES if wanted.country else _REGIONS
            return Series(
                problem=f"table {table} has no row for {where!r}: correct it, or give {table}.csv with that row",
                reason=Reason.NOT_FOUND,
            )
        return Series((IntensityPoint(start=since, grams_per_kwh=grams),))

    def _grams(self, wanted: TableIntensity, now: datetime) -> float | None:
        if wanted.country is not None:
            table = self._table(_COUNTRIES, ("country",), now)
            row = table.find(wanted.country)
            # By the code of three letters too.
            row = row or next((r for r in table if r.cells.get("country_alpha3") == wanted.country), None)
        else:
            row = self._table(_REGIONS, ("provider", "region"), now).find(*(wanted.cloud_region or "/").split("/", 1))
        return row.number("grams_per_kwh", highest=MOST_GRAMS_PER_KWH) if row is not None else None

    def _table(self, name: str, key: tuple[str, ...], now: datetime) -> Table:
        held = self._read.get(name)
        if held is None or not timedelta(0) <= now - held[0] < self._refresh:
            held = (now, load(name, override_path(self._directory, name), key=key))
            self._read[name] = held
        return held[1]
