"""The real workload that these tests run on, and a short way to run a policy on it."""

from functools import cache
from pathlib import Path

from trimtab.plan.elastic.placement import ClusterShape
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.cluster import ClusterRun, prepare
from trimtab.simulate.elastic.policy import ElasticPolicy
from trimtab.simulate.inputs.pollux import TrainingRequest, read_applications, read_workload

DATA = Path(__file__).parents[2] / "data" / "pollux"
WORKLOAD = DATA / "workloads" / "workload-3.csv"
FIRST_20 = DATA / "workloads" / "first-20.csv"
APPLICATIONS = ("bert", "cifar10", "deepspeech2", "ncf", "yolov3")
PAPER_CLUSTER = ClusterShape(16, 4)
SMALL_CLUSTER = ClusterShape(4, 4)


@cache
def applications() -> dict[str, Application]:
    return {name: Application(trace) for name, trace in read_applications(DATA / "traces", APPLICATIONS).items()}


def run(policy: ElasticPolicy, requests: tuple[TrainingRequest, ...], shape: ClusterShape) -> ClusterRun:
    found = prepare(requests, applications(), policy, shape)
    assert sorted(found.completions()) == sorted(request.name for request in requests)
    return found


def run_file(policy: ElasticPolicy, path: Path, shape: ClusterShape) -> ClusterRun:
    return run(policy, read_workload(path), shape)


def mean_completion_seconds(found: ClusterRun) -> float:
    times = [(job.completion_seconds or 0.0) - job.request.submit_seconds for job in found.jobs]
    return sum(times) / len(times)
