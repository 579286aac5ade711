"""Where energy figures come from, and how far they may be off."""

from collections.abc import Iterable
from typing import Final

from trimtab.api.common import EnergyError, FigureSource, Usage
from trimtab.api.hardware import PowerSource
from trimtab.ledger.attribution import HELD_MODEL, MODEL, OWN_METER
from trimtab.ledger.booking import SIMULATED

DCGM_ENERGY: Final = "DCGM energy counter"
DCGM_POWER: Final = "DCGM power gauge"
KEPLER: Final = PowerSource.KEPLER.value
RAPL: Final = PowerSource.RAPL.value

_ERRORS: Final = {
    DCGM_ENERGY: (5.0, "the GPU's own sensor, which NVML gives to within 5 %; the host is not in it"),
    DCGM_POWER: (
        8.0,
        "the GPU's own sensor, which NVML gives to within 5 %, sampled at scrapes: what changed between two is"
        " not seen (taken as 3 %)",
    ),
    OWN_METER: (5.0, "whatever publishes trimtab_power_watts for the pod; taken as a GPU's sensor"),
    RAPL: (5.0, "RAPL counts CPU packages and memory; board, disks and power supply are not in it"),
    KEPLER: (5.0, "Kepler reads RAPL: CPU packages and memory; board, disks and power supply are not in it"),
    MODEL: (
        33.0,
        "the class's power curve by use: mean error of a straight line between measured end points against RAPL on four"
        " CPUs (95 % interval 21 to 44 %)",
    ),
    HELD_MODEL: (
        106.0,
        "accelerators that nobody meters are taken to work as the mean training of the Zeus tables: mean error on those"
        " left out (95 % interval 39 to 185 %); run dcgm-exporter",
    ),
    SIMULATED: (100.0, "a declared profile: nothing was measured"),
}
"""Percent and origin by source, the best first; `docs/ledger.md` has the measurements behind them."""

_ORDER: Final = tuple(_ERRORS)


def worst(sources: Iterable[str]) -> str:
    """The least exact of several sources; empty without any."""
    known = [one for one in sources if one in _ERRORS]
    return max(known, key=_ORDER.index, default="")


def error_of(source: str) -> EnergyError | None:
    """How far energy from this source may be off."""
    found = _ERRORS.get(source)
    return EnergyError(percent=found[0], origin=found[1]) if found else None


def figure_source(source: str) -> FigureSource | None:
    """Measured, modelled or simulated."""
    if not source:
        return None
    if source == SIMULATED:
        return FigureSource.SIMULATED
    return FigureSource.MODELLED if source in (MODEL, HELD_MODEL) else FigureSource.MEASURED


def sources_of(usage: Usage, new: Iterable[str]) -> dict[str, object]:
    """The fields of an account that say how good its energy is: a sum is only as good as its worst part."""
    source = worst((usage.power_source, *_before(usage), *new))
    return {"power_source": source, "source": figure_source(source), "energy_error": error_of(source)}


def _before(usage: Usage) -> tuple[str, ...]:
    """What an account from before sources had names says of itself."""
    if usage.power_source or usage.source is None:
        return ()
    old = {FigureSource.SIMULATED: SIMULATED, FigureSource.MODELLED: MODEL, FigureSource.MEASURED: OWN_METER}
    return (old[usage.source],)
