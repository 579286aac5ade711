"""The schedule of trainings whose gangs fit onto nodes: units that are free in parts, node by node, start no gang."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from trimtab.plan.node_fit import NodePacking
from trimtab.plan.schedule.problem import Schedule, SchedulingProblem
from trimtab.plan.training.options import Refused, TrainingOption
from trimtab.plan.training.problem import Candidate
from trimtab.plan.training.timeline import runs_now

_ROUNDS = 3
"""Times that it is solved again without what found no room on the nodes."""


@dataclass(frozen=True)
class Fitted:
    """A schedule, and who could not begin now for want of room on a node."""

    problem: SchedulingProblem
    schedule: Schedule
    candidates: tuple[Candidate, ...]
    """Those that are in it, with the options that fit."""
    refused: dict[str, Refused]
    """By key: the others."""


def solve_on_nodes(
    candidates: tuple[Candidate, ...],
    make: Callable[[tuple[Candidate, ...]], SchedulingProblem],
    solve: Callable[[SchedulingProblem, tuple[Candidate, ...]], Schedule],
    packing: NodePacking,
) -> Fitted:
    """Solve, put the gangs that run now onto the nodes, and solve again without what finds no room there.

    What runs already is on its nodes. Of the others each in turn is put where it leaves most room; one that does not
    fit is offered fewer replicas, or another class, or waits.

    Args:
        candidates: In the order of the queue.
        make: The scheduling problem of some of them.
        solve: Its solution.
        packing: The nodes with what others hold. It is changed.
    """
    refused: dict[str, Refused] = {}
    for last in (*([False] * _ROUNDS), True):
        problem = make(candidates)
        schedule = solve(problem, candidates)
        unfit = _unfit(candidates, schedule, packing.copy())
        if not unfit:
            break
        kept = []
        for candidate in candidates:
            option = unfit.get(candidate.state.meta.key)
            options = candidate.options if option is None else _others(candidate, option, none=last)
            if option is not None and not options:
                refused[candidate.state.meta.key] = _refusal(candidate, option, packing)
                continue
            kept.append(candidate if option is None else replace(candidate, options=options))
        candidates = tuple(kept)
    if unfit:
        problem = make(candidates)
        schedule = solve(problem, candidates)
    return Fitted(problem, schedule, candidates, refused)


def _unfit(candidates: tuple[Candidate, ...], schedule: Schedule, packing: NodePacking) -> dict[str, TrainingOption]:
    """Those that would begin now, and for which the nodes have no room once those before them have theirs."""
    found: dict[str, TrainingOption] = {}
    beginning = []
    for candidate, plan in zip(candidates, schedule.jobs, strict=True):
        run = runs_now(plan)
        if run is None:
            continue
        option = candidate.options[run.mode]
        if _goes_on(candidate, option):
            packing.place(option.name, candidate.state.spec.resources, option.replicas)
        else:
            beginning.append((candidate, option))
    # The largest replicas first: they find room in the fewest places.
    for candidate, option in sorted(beginning, key=lambda each: -each[1].units / each[1].replicas):
        if not packing.place(option.name, candidate.state.spec.resources, option.replicas):
            found[candidate.state.meta.key] = option
    return found


def _goes_on(candidate: Candidate, option: TrainingOption) -> bool:
    job = candidate.state.job
    return (
        job is not None and not job.suspended and (job.hardware_class, job.replicas) == (option.name, option.replicas)
    )


def _others(candidate: Candidate, unfit: TrainingOption, *, none: bool) -> tuple[TrainingOption, ...]:
    """The options that are left: narrower ones on the class, and other classes."""
    if none:
        return ()
    return tuple(o for o in candidate.options if o.name != unfit.name or o.replicas < unfit.replicas)


def _refusal(candidate: Candidate, option: TrainingOption, packing: NodePacking) -> Refused:
    resource = option.hardware.spec.resource_name
    room = packing.room(option.name, candidate.state.spec.resources)
    each = option.units / option.replicas
    text = (
        f"{option.name}: no node has room for all of the gang: {option.replicas} replicas of {each:g} {resource}, each "
        f"whole on one node, where others leave room for {room} at most"
    )
    return Refused(option.name, "CapacityShort", text)
