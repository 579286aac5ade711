"""Builders for tests of the ledger: meters from plain numbers, in seconds from NOW on."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from tests.unit.worlds import NOW, hardware
from trimtab.ledger.booking import Booked, book, edges_between, milliseconds
from trimtab.ledger.cumulative import Cumulative
from trimtab.ledger.meter import DeviceMeter, NodeMeter, PodMeter, Reading
from trimtab.plan.snapshot import HardwareState

T0 = milliseconds(NOW)
KEY = "TrainingWorkload/demo/digits"


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def ms(seconds: float) -> int:
    return T0 + round(seconds * 1000)


def counter(points: Iterable[tuple[float, float]], scale: int = 10**9) -> Cumulative:
    found = Cumulative.counter([(ms(t), round(v * scale)) for t, v in points])
    assert found is not None
    return found


def steady(rate: float, start: float = -60, end: float = 200, step: float = 5, scale: int = 10**9) -> Cumulative:
    count = round((end - start) / step)
    return counter([(start + i * step, rate * i * step) for i in range(count + 1)], scale)


def pod(name: str, cpu: Cumulative | None, account: str = KEY, node: str = "n1", **facts: object) -> PodMeter:
    return PodMeter(account, f"demo/{name}", node, str(facts.pop("hardware_class", "local-cpu")), cpu, **facts)  # type: ignore[arg-type]


def node(cpu: Cumulative | None, name: str = "n1", hardware_class: str = "local-cpu", **facts: object) -> NodeMeter:
    return NodeMeter(name, hardware_class, cpu, **facts)  # type: ignore[arg-type]


def reading(nodes: Iterable[NodeMeter], pods: Iterable[PodMeter], start: float, end: float, **facts: object) -> Reading:
    nodes, pods = tuple(nodes), tuple(pods)
    series = [m for n in nodes for m in n.meters] + [c for p in pods for c in (p.cpu, p.energy) if c is not None]
    times = sorted({t for one in series for t in one.times})
    pulse = Cumulative(tuple(times), (0,) * len(times)) if times else None
    return Reading(ms(start), ms(end), pulse, nodes, pods, **facts)  # type: ignore[arg-type]


def booked(
    given: Reading,
    start: float,
    end: float,
    classes: Mapping[str, HardwareState] | None = None,
    units: Mapping[str, int] | None = None,
    grams: float = 100.0,
) -> Booked:
    known = classes if classes is not None else {"local-cpu": hardware()}
    accounts = sorted({KEY, *(p.account for p in given.pods)})
    declared = {name: units or dict.fromkeys(accounts, 500) for name in known}
    return book(given, edges_between(ms(start), ms(end)), accounts, known, declared, lambda *_: grams)


__all__ = ["DeviceMeter"]
