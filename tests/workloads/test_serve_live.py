"""A real tritonserver under a real load: switched, refused, killed inside, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("pytriton")
pytest.importorskip("onnxruntime")
grpcclient = pytest.importorskip("tritonclient.grpc")

from tests.workloads import processes  # noqa: E402
from tests.workloads.processes import eventually  # noqa: E402
from trimtab_workloads.benchmark.arrivals import arrivals, from_stages  # noqa: E402
from trimtab_workloads.benchmark.config import Stage  # noqa: E402


@dataclass
class Server:
    entry: processes.Entry
    http: int
    grpc: int
    metrics: int
    late_variant: Path

    @property
    def client(self):
        return grpcclient.InferenceServerClient(f"127.0.0.1:{self.grpc}")

    def switch(self, version: int) -> None:
        """What the operator does: the model's own configuration with another version policy."""
        with self.client as client:
            config = client.get_model_config("digits", as_json=True)["config"]
            config["version_policy"] = {"specific": {"versions": [version]}}
            client.load_model("digits", config=json.dumps(config))

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/v2/health/ready") as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError):
            return False


@pytest.fixture(scope="module")
def server(variants, tmp_path_factory):
    """A server that the tests leave as they found it."""
    with serving(variants, tmp_path_factory.mktemp("serving")) as it:
        yield it


@pytest.fixture
def doomed(variants, tmp_path):
    """A server that a test may ruin."""
    with serving(variants, tmp_path) as it:
        yield it


@contextlib.contextmanager
def serving(variants, tmp_path, settings=None, **changes):
    http, grpc, metrics = processes.free_ports(3)
    active = tmp_path / "version"
    active.write_text("1\n")
    paths = [Path(variants[name].config["output"]) / "model.onnx" for name in ("fp32", "small")]
    late = tmp_path / "late.onnx"
    config = {
        "model": "digits",
        "variants": [
            {"name": f"v{i}", "version": i, "path": str(path)} for i, path in enumerate([*paths, late], start=1)
        ],
        "activeFile": str(active),
        "exitTimeoutSeconds": 5,
        "maxConnectionAgeSeconds": 1,
        "address": "127.0.0.1",
        "httpPort": http,
        "grpcPort": grpc,
        "metricsPort": metrics,
        "workDirectory": str(tmp_path),
        **changes,
    }
    if settings is not None:
        config["settingsFile"] = str(tmp_path / "settings")
        (tmp_path / "settings").write_text(settings)
    regions = f"trimtab-triton-{grpc}-"
    # What a killed server left in /dev/shm must not stay.
    stale = Path("/dev/shm", f"{regions}left-behind")
    stale.touch()
    with processes.entry("serve", config, tmp_path / "server") as entry:
        it = Server(entry, http, grpc, metrics, late)
        eventually(lambda: entry.process.poll() is not None or it.ready(), entry.text)
        assert entry.process.poll() is None, entry.text()
        assert not stale.exists()
        assert list(stale.parent.glob(f"{regions}*")), "the prefix is not that of the regions"
        yield it
        if entry.process.poll() is None:
            entry.process.terminate()
            entry.process.wait(processes.PATIENCE_SECONDS)
    for left in stale.parent.glob(f"{regions}*"):
        left.unlink()


def load_config(server, trained, **changes):
    return {
        "url": f"127.0.0.1:{server.grpc}",
        "model": "digits",
        "heldout": str(trained / "heldout.npz"),
        "metricsPort": 0,
        "maxConnectionSeconds": 0.5,
        "timeoutSeconds": 20,
        **changes,
    }


@contextlib.contextmanager
def load(server, trained, folder, rate, **changes):
    """A load that runs until it is left."""
    stages = folder / "stages.json"
    folder.mkdir()
    stages.write_text(json.dumps({"requestsPerSecond": rate}))
    with processes.entry(
        "benchmark.load", load_config(server, trained, stagesFile=str(stages), **changes), folder
    ) as entry:
        entry.wait_for("second", 2)
        yield entry
        stages.write_text('{"stop": true}')
        assert entry.wait() == 0, entry.text()


def seconds_more(entry, count):
    """Waits for the load's next lines."""
    entry.wait_for("second", len(entry.events("second")) + count)


def test_versions_are_switched_and_bad_ones_refused_without_a_failed_request(server, trained, variants, tmp_path):
    # The client keeps its connections for good: it is the server that hands them back, without a failed request.
    with load(server, trained, tmp_path / "load", 60, maxConnectionSeconds=1000) as running:
        server.switch(2)
        seconds_more(running, 2)
        with pytest.raises(grpcclient.InferenceServerException, match="load failed"):
            server.switch(3)
        seconds_more(running, 1)
        shutil.copy(variants["fp32"].config["output"] + "/model.onnx", server.late_variant)
        server.switch(3)
        seconds_more(running, 2)
        server.switch(1)
        seconds_more(running, 1)
    result = running.result()
    assert (result["failed"], result["errors"]) == (0, {})
    assert result["sent"] == result["ok"] == sum(result["byVersion"].values())
    assert set(result["byVersion"]) == {"1", "2", "3"}
    accuracies = [variants[name].result()["accuracy"] for name in ("fp32", "small")]
    assert min(accuracies) - 0.05 < result["accuracy"] <= 1
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics}/metrics") as answer:
        metrics = answer.read().decode()
    assert 'nv_inference_request_summary_us{model="digits",version="1",quantile="0.95"}' in metrics


def test_batches_are_split_as_they_were_joined(server, trained):
    np = pytest.importorskip("numpy")
    with np.load(trained / "heldout.npz") as content:
        x = content["x"]
    with server.client as client:

        def start(part):
            tensor = grpcclient.InferInput("input", part.shape, "FP32")
            tensor.set_data_from_numpy(part)
            answers = []
            client.async_infer("digits", [tensor], lambda result, error: answers.append((result, error)))
            return answers

        sizes = [1, 5, 2, 8, 1, 3] * 4
        starts = np.cumsum([0, *sizes])
        pending = [start(x[a : a + n]) for a, n in zip(starts, sizes, strict=False)]
        eventually(lambda: all(pending))
        together = np.concatenate([answers[0][0].as_numpy("logits") for answers in pending])
        alone = np.concatenate([one[0][0].as_numpy("logits") for one in map(wait(start), np.split(x[:80], 80))])
    assert [len(answers[0][0].as_numpy("logits")) for answers in pending] == sizes
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


def wait(start):
    def started(part):
        answers = start(part)
        eventually(lambda: bool(answers))
        return answers

    return started


def test_the_probe_sees_a_dead_backend_that_triton_calls_ready(doomed, tmp_path):
    config = {"model": "digits", "httpPort": doomed.http}
    alive = processes.run("serve.probe", config, tmp_path / "alive")
    assert alive.process.returncode == 0, alive.text()
    for stub in stubs_of(doomed.entry.process.pid):
        os.kill(stub, signal.SIGKILL)
    dead = processes.run("serve.probe", config, tmp_path / "dead")
    assert dead.process.returncode == 1
    assert dead.text().startswith("inference failed: ")
    assert doomed.ready()


def stubs_of(pid):
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(child) for child in (task / "children").read_text().split()]
    found = {c for c in children if "triton_python_backend_stub" in Path(f"/proc/{c}/cmdline").read_text()}
    assert found
    return found


def test_a_stopping_server_answers_what_it_accepted(doomed, trained, tmp_path):
    """Requests in flight at SIGTERM are answered; later ones fail at once, are counted, and are not sent again.

    That Triton refuses them on open connections is why a pod must be drained before the signal.
    """
    with load(doomed, trained, tmp_path / "load", 100) as running:
        doomed.entry.process.terminate()
        assert doomed.entry.wait() == 0, doomed.entry.text()
        seconds_more(running, 1)
        running.process.send_signal(signal.SIGTERM)
        assert running.wait() == 0
    result = running.result()
    assert result["ok"] > 0
    assert result["ok"] + result["failed"] == result["sent"]
    refused = ("UNAVAILABLE: failed to connect", "NOT_FOUND: Request for unknown model: 'digits' has no available")
    assert all(reason.startswith(refused) for reason in result["errors"]), result["errors"]


def test_a_stalled_server_is_charged_for_what_it_kept_waiting(server, trained, tmp_path):
    """Open loop: while nothing is answered, requests go on falling due, until the bound on those in flight."""
    stages = [{"seconds": 3, "requestsPerSecond": 100}]
    config = load_config(server, trained, stages=stages, maxInFlight=60, maxConnectionSeconds=30, seed=3)
    with processes.entry("benchmark.load", config, tmp_path / "load") as running:
        running.wait_for("second", 1)
        frozen = [server.entry.process.pid, *stubs_of(server.entry.process.pid)]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        seconds_more(running, 1)
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        assert running.wait() == 0, running.text()
    result = running.result()
    planned = [Stage(seconds=3, requests_per_second=100)]
    assert result["sent"] == sum(a.is_request for a in arrivals(from_stages(planned, False), 3))
    assert result["ok"] + result["failed"] == result["sent"]
    assert set(result["errors"]) <= {"not sent: 60 requests were in flight"}
    # Of those that fell due in the stalled second, the earliest waited for most of it.
    assert result["p99Ms"] > 300
