"""What defines each policy, on small workloads of real applications."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.simulate.elastic.workloads import (
    FIRST_20,
    SMALL_CLUSTER,
    applications,
    mean_completion_seconds,
    run,
    run_file,
)
from trimtab.plan.elastic.placement import ClusterShape, replicas_of
from trimtab.simulate.elastic.cluster import ROUND_SECONDS, ClusterRun, StuckError, prepare
from trimtab.simulate.elastic.job import RESTART_SECONDS
from trimtab.simulate.elastic.policies.optimus import Optimus
from trimtab.simulate.elastic.policies.pollux import Pollux
from trimtab.simulate.elastic.policies.run_at_once import RunAtOnce
from trimtab.simulate.elastic.policies.tiresias import QUEUE_GPU_SECONDS, Tiresias
from trimtab.simulate.elastic.policies.trimtab import Trimtab
from trimtab.simulate.elastic.policy import ElasticPolicy
from trimtab.simulate.inputs.pollux import TrainingRequest, read_workload

POLICIES = {
    "run-at-once": RunAtOnce,
    "tiresias": Tiresias,
    "optimus": Optimus,
    "pollux": lambda: Pollux(seed=1),
    "trimtab": Trimtab,
}


def short(count: int) -> tuple[TrainingRequest, ...]:
    return read_workload(FIRST_20)[:count]


def ends(found: ClusterRun) -> dict[str, float | None]:
    return {job.name: job.completion_seconds for job in found.jobs}


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_ends_all_jobs_and_the_same_way_each_time(name: str) -> None:
    first, second = (run(POLICIES[name](), short(4), SMALL_CLUSTER) for _ in range(2))
    assert ends(first) == ends(second)
    for job in first.jobs:
        assert job.progress == job.application.total_progress
        assert job.completion_seconds is not None
        assert job.completion_seconds >= job.request.submit_seconds + RESTART_SECONDS


@pytest.mark.parametrize("name", POLICIES)
def test_no_round_uses_more_gpu_time_than_there_is(name: str) -> None:
    found = run(POLICIES[name](), short(4), SMALL_CLUSTER)
    for each in found.rounds:
        used = sum(usage.computing_gpu_seconds + usage.restarting_gpu_seconds for usage in each.usages.values())
        assert 0 <= used <= SMALL_CLUSTER.gpus * ROUND_SECONDS + 1e-6


@pytest.mark.parametrize("name", ["run-at-once", "tiresias"])
def test_users_scale_is_kept(name: str) -> None:
    policy = POLICIES[name]()
    found = prepare(short(12), applications(), policy, SMALL_CLUSTER)
    for _ in found.completions():
        for job in found.jobs:
            assert replicas_of(job.placement) in (0, job.request.replicas)


def test_run_at_once_never_moves_a_job() -> None:
    found = run_file(RunAtOnce(), FIRST_20, SMALL_CLUSTER)
    assert all(job.starts == 1 for job in found.jobs)


def test_tiresias_lets_a_new_job_by_those_that_had_their_share() -> None:
    gpus = 8
    shape = ClusterShape(2, 4)
    demotion = QUEUE_GPU_SECONDS / gpus
    long = TrainingRequest("long", 0.0, "yolov3", gpus, 64)
    late = TrainingRequest("late", demotion + 600.0, "cifar10", gpus, 2048)
    tiresias, once = ends(run(Tiresias(), (long, late), shape)), ends(run(RunAtOnce(), (long, late), shape))
    assert (tiresias["late"] or 0) < late.submit_seconds + 2000 < (once["late"] or 0)
    early = replace(late, submit_seconds=600.0)
    waiting = ends(run(Tiresias(), (long, early), shape))
    assert (waiting["late"] or 0) > demotion, "in one queue the first goes first"
    assert (waiting["long"] or 0) > (waiting["late"] or 0)


def test_optimus_gives_most_to_the_job_that_gains_most_time() -> None:
    jobs = (TrainingRequest("short", 0.0, "cifar10", 4, 2048), TrainingRequest("long", 0.0, "bert", 4, 384))
    found = prepare(jobs, applications(), Optimus(), SMALL_CLUSTER)
    placements = found.policy.allocate(found.jobs, SMALL_CLUSTER, 60.0)
    assert replicas_of(placements["long"]) > replicas_of(placements["short"]) > 0
    assert sum(map(replicas_of, placements.values())) <= SMALL_CLUSTER.gpus


def test_on_a_full_cluster_goodput_beats_the_users_scale_and_worth_beats_goodput() -> None:
    tiresias, pollux, ours = (
        mean_completion_seconds(run(policy, short(10), SMALL_CLUSTER))
        for policy in (Tiresias(), Pollux(seed=1), Trimtab())
    )
    assert ours <= pollux < tiresias


def test_a_job_grows_only_as_far_as_it_was_measured() -> None:
    found = prepare(short(3), applications(), Trimtab(), ClusterShape(16, 4))
    seen = dict.fromkeys((job.name for job in found.jobs), 0)
    for _ in found.completions():
        pass
    for each in found.rounds:
        for index, usage in each.usages.items():
            held = round((usage.computing_gpu_seconds + usage.restarting_gpu_seconds) / ROUND_SECONDS)
            name = found.jobs[index].name
            assert held <= max(4, 4 * seen[name])
            seen[name] = max(seen[name], held)
    assert max(seen.values()) > 4


class Idle:
    """Runs nothing."""

    def agent(self, request, application):  # type: ignore[no-untyped-def]
        return Trimtab().agent(request, application)

    def allocate(self, jobs, shape, now_seconds):  # type: ignore[no-untyped-def]
        return {}


class Greedy(Idle):
    """Gives out what is not there."""

    def allocate(self, jobs, shape, now_seconds):  # type: ignore[no-untyped-def]
        return {jobs[0].name: ((0, shape.gpus_per_node + 1),)}


@pytest.mark.parametrize(("policy", "error"), [(Idle(), StuckError), (Greedy(), ValueError)])
def test_a_policy_that_cannot_work_is_stopped(
    policy: ElasticPolicy, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.simulate.elastic.cluster.PATIENCE_SECONDS", 7200.0)
    with pytest.raises(error, match=r"no job ended|node 0 has 4"):
        list(prepare(short(2), applications(), policy, SMALL_CLUSTER).completions())


def test_the_reader_says_where_a_workload_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "workload.csv"
    path.write_text("name,time,application,num_replicas,batch_size\na,0,ncf,1,512\na,10,ncf,1,512\n")
    with pytest.raises(ValueError, match=r"workload\.csv:3:1: .*'a' is listed twice"):
        read_workload(path)
    path.write_text("name,time,application,num_replicas,batch_size\na,0,ncf,0,512\n")
    with pytest.raises(ValueError, match=r"workload\.csv:2:4: .*at least 1"):
        read_workload(path)


def test_completion_is_counted_from_submission() -> None:
    found = run(RunAtOnce(), short(1), SMALL_CLUSTER)
    job = found.jobs[0]
    # Placed at the end of its round, restarted, trained: ncf takes 46 s.
    start = np.ceil(job.request.submit_seconds / ROUND_SECONDS) * ROUND_SECONDS
    assert job.completion_seconds == pytest.approx(start + RESTART_SECONDS + 46, abs=5)
