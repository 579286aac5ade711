"""Every setting of `spec.triton` on a real tritonserver: that it is taken, what it does, and that it changes live."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import urllib.request
from itertools import count

import numpy as np
import pytest

pytest.importorskip("pytriton")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
grpcclient = pytest.importorskip("tritonclient.grpc")

from tests.workloads import onnx_models, processes  # noqa: E402
from tests.workloads.processes import eventually  # noqa: E402
from tests.workloads.test_serve_live import stubs_of  # noqa: E402
from tests.workloads.triton_servers import MODEL, running, tensor  # noqa: E402
from trimtab.api.triton import TritonSettings  # noqa: E402
from trimtab.apply.children.triton_settings import settings_digest, settings_text  # noqa: E402
from trimtab.observe.triton import Loaded, Server, TritonVersions  # noqa: E402
from trimtab_workloads.serve import triton  # noqa: E402
from trimtab_workloads.serve.probe import probe  # noqa: E402

_NAMES = count()
FAILURE = grpcclient.InferenceServerException


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    makers = (
        onnx_models.doubler, onnx_models.accumulator, onnx_models.counter, onnx_models.picky, onnx_models.slow,
    )  # fmt: skip
    return {make.__name__: make(folder / f"{make.__name__}.onnx") for make in makers}


class Load:
    """Closed-loop clients, each with an inference that the caller gives; stops when it is left."""

    def __init__(self, server, clients, **options):
        self._server, self._options = server, options
        self._stop = threading.Event()
        self.answered, self.errors = 0, []
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self):
        with self._server.client as client:
            while not self._stop.is_set():
                try:
                    self._one(client)
                    self.answered += 1
                except FAILURE as error:
                    self.errors.append(error.message())

    def _one(self, client):
        size = next(_NAMES) % 3 + 1
        x = np.random.default_rng(size).random((size, 3), np.float32)
        result = client.infer(MODEL, [tensor("x", x)], client_timeout=30, **self._options)
        np.testing.assert_allclose(result.as_numpy("y"), 2 * x)
        np.testing.assert_allclose(result.as_numpy("total"), x.sum(axis=1, keepdims=True), rtol=1e-5)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.answered > 20 or self.errors)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_any_model_is_served_by_its_own_tensors_and_warmed_up_before_it_is_ready(models, tmp_path):
    settings = {"warmup": {"requests": 3, "batch": 8}, "instances": 2, "logVerbose": 1, "preferredBatchSizes": [4, 8]}
    with running(models["doubler"], tmp_path / "server", settings) as server:
        # The backend's lines reach the server's log by a way of their own, and may come late.
        eventually(lambda: server.entry.text().count("warmed up by 3 inferences of 8") == 2, server.entry.text)
        assert server.statistics().inference_count == 0, "warm-up is nobody's request"
        with Load(server, 2) as load:
            pass
        assert load.errors == []
        assert list(server.config().dynamic_batching.preferred_batch_size) == [4, 8]
        alive = server.probe(tmp_path / "probe")
        assert alive.process.returncode == 0, alive.text()


def test_settings_change_on_a_running_server_without_a_failed_request(models, tmp_path):
    first = {"maxBatchSize": 8}
    changes = [
        {"maxBatchSize": 16, "maxQueueDelayMicroseconds": 200, "preferredBatchSizes": [8]},
        {"maxBatchSize": 16, "instances": 2},
        {"maxBatchSize": 16, "instances": 2, "threads": 2, "logVerbose": 1, "warmup": {}},
        {"queue": {"priorityLevels": 3, "defaultPriority": 2, "maxQueueSize": 500}},
        first,
    ]
    versions = TritonVersions()
    with running(models["doubler"], tmp_path / "server", first) as server:
        versions = TritonVersions(port=server.grpc)
        asked = Server("127.0.0.1", MODEL)

        def loaded():
            return versions.loaded([asked])[asked]

        with Load(server, 3) as load:
            before = server.entry.process.pid
            for settings in changes:
                server.reload(settings)
                digest = settings_digest(TritonSettings.model_validate(settings))
                assert loaded() == Loaded(1, digest)
                since = load.answered
                eventually(lambda since=since: load.answered > since + 50 or load.errors)
            with pytest.raises(FAILURE, match="the log of the pod's container says why"):
                # Past the rules of the API: what Triton refuses leaves what serves.
                server.reload({"maxBatchSize": 4, "preferredBatchSizes": [8]})
            since = load.answered
            eventually(lambda: load.answered > since + 50 or load.errors)
        assert load.errors == []
        assert loaded() == Loaded(1, settings_digest(TritonSettings.model_validate(first)))
        assert server.entry.process.pid == before
        assert server.entry.process.poll() is None
        assert len(server.config().instance_group) == 1
        assert server.config().instance_group[0].count == 1
        with server.client as client:
            assert client.get_log_settings().settings["log_verbose_level"].uint32_param == 0
    versions.close()


def flood(server, x, requests, **options):
    """Requests all at once; their answers or errors."""
    with server.client as client:
        answers = []
        for _ in range(requests):
            client.async_infer(MODEL, [tensor("x", x)], lambda result, error: answers.append(error), **options)
        eventually(lambda: len(answers) == requests)
    return [str(error) if error else "" for error in answers]


ITEM = np.ones((1, 64, 512))


def test_a_full_queue_refuses_at_once_and_a_busy_server_is_still_alive(models, tmp_path):
    settings = {"maxBatchSize": 1, "queue": {"maxQueueSize": 2}}
    with running(models["slow"], tmp_path / "server", settings) as server:
        answers = flood(server, ITEM, 60)
        refused = [error for error in answers if error]
        assert all(error.startswith("[StatusCode.UNAVAILABLE]") for error in refused), refused[0]
        assert {"Exceeds maximum queue size"} == {error.split("] ")[-1] for error in refused}
        assert 0 < len(refused) < 58
        stop = threading.Event()

        def busy():
            while not stop.is_set():
                flood(server, ITEM, 20)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for number in range(3):
                alive = server.probe(tmp_path / f"probe-{number}")
                assert alive.process.returncode == 0, alive.text()
        finally:
            stop.set()
            thread.join()


def test_requests_that_wait_too_long_are_rejected_or_delayed(models, tmp_path):
    queue = {"defaultTimeoutMicroseconds": 20_000}
    with running(models["slow"], tmp_path / "server", {"maxBatchSize": 1, "queue": queue}) as server:
        answers = flood(server, ITEM, 60)
        late = [error for error in answers if error]
        assert late
        assert len(late) < 60
        assert {"Request timeout expired"} == {error.split("] ")[-1] for error in late}
        server.reload({"maxBatchSize": 1, "queue": {**queue, "timeoutAction": "Delay"}})
        assert flood(server, ITEM, 60) == [""] * 60


def test_requests_of_the_first_priority_go_before_others(models, tmp_path):
    settings = {"maxBatchSize": 1, "queue": {"priorityLevels": 2, "defaultPriority": 2}}
    with running(models["slow"], tmp_path / "server", settings) as server, server.client as client:
        order = []

        def ask(priority):
            client.async_infer(
                MODEL, [tensor("x", ITEM)], lambda result, error: order.append((priority, error)), priority=priority
            )

        for _ in range(40):
            ask(0)
        for _ in range(5):
            ask(1)
        eventually(lambda: len(order) == 45)
    assert not [error for _, error in order if error]
    firsts = [index for index, (priority, _) in enumerate(order) if priority == 1]
    # Those that were sent last, but for what ran by then, were answered long before the end.
    assert max(firsts) < 35, firsts


def test_an_answer_is_given_again_and_the_probe_is_not_fooled_by_it(models, tmp_path):
    with running(models["doubler"], tmp_path / "server", {"responseCache": {"size": "64Mi"}}) as server:
        with server.client as client:
            for _ in range(5):
                result = client.infer(MODEL, [tensor("x", [[1, 2, 3]])])
                assert result.as_numpy("y").tolist() == [[2, 4, 6]]
        stats = server.statistics().inference_stats
        assert (stats.cache_miss.count, stats.cache_hit.count) == (1, 4)
        alive = [server.probe(tmp_path / f"alive-{number}") for number in range(2)]
        assert [it.process.returncode for it in alive] == [0, 0], alive[0].text()
        for stub in stubs_of(server.entry.process.pid):
            os.kill(stub, signal.SIGKILL)
        dead = server.probe(tmp_path / "dead")
        assert dead.process.returncode == 1
        assert dead.text().startswith("inference failed: ")


def test_the_rate_limiter_lets_no_more_run_than_there_is_of_its_resource(models, tmp_path):
    def overlap(server):
        """Time at work over time gone by, of four instances under a flood."""
        before, begun = server.statistics().inference_stats.compute_infer.ns, time.monotonic_ns()
        assert flood(server, ITEM, 60) == [""] * 60
        return (server.statistics().inference_stats.compute_infer.ns - before) / (time.monotonic_ns() - begun)

    settings = {"maxBatchSize": 1, "instances": 4}
    limiter = {"resources": [{"name": "turn", "perExecution": 1, "available": 1}]}
    with running(models["slow"], tmp_path / "limited", {**settings, "rateLimiter": limiter}) as server:
        limited = overlap(server)
    with running(models["slow"], tmp_path / "free", settings) as server:
        free = overlap(server)
    assert limited <= 1
    assert free > 1.5


def test_a_server_is_found_where_nvidias_image_has_it(models, tmp_path):
    """The same server in that image's layout: /opt/tritonserver, with one stub beside the Python backend."""
    wheel, image = triton.installation(), tmp_path / "opt"
    python = image / "backends/python"
    python.mkdir(parents=True)
    for name in ("bin", "caches"):
        (image / name).symlink_to(wheel / name)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        (python / name).symlink_to(wheel / "backends/python" / name)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = "triton_python_backend_stub"
    (python / stub).symlink_to(wheel / "python_backend_stubs" / version / stub)
    there = {"TRIMTAB_TRITON_DIRECTORY": str(image)}
    cached = {"responseCache": {"size": "64Mi"}}
    with running(models["doubler"], tmp_path / "server", cached, environment=there) as server, server.client as client:
        assert server.entry.events("serving")[0]["command"][0] == str(image / "bin/tritonserver")
        assert client.infer(MODEL, [tensor("x", [[1, 2, 3]])]).as_numpy("y").tolist() == [[2, 4, 6]]


def test_a_file_that_is_not_the_one_that_was_measured_is_not_served(models, tmp_path):
    def sha256(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()

    file = tmp_path / "model.onnx"
    shutil.copy(models["doubler"], file)
    first = sha256(file)
    with running(file, tmp_path / "server", {}, first) as server, server.client as client:

        def answer():
            return client.infer(MODEL, [tensor("x", [[1, 2, 3]])]).as_numpy("y").tolist()

        assert answer() == [[2, 4, 6]]
        # Somebody puts another file in its place, in one step, as the optimizer does.
        onnx_models.doubler(tmp_path / "other.onnx", factor=5.0)
        os.replace(tmp_path / "other.onnx", file)
        with pytest.raises(FAILURE, match=f"has the SHA-256 {sha256(file)}, but what was measured.* has {first}"):
            server.reload({"maxBatchSize": 16}, first)
        assert answer() == [[2, 4, 6]]
        # The same file, once it was measured: the new digest alone has it loaded.
        server.reload({}, sha256(file))
        assert answer() == [[5, 10, 15]]
    wrong = {
        "model": MODEL, "variants": [{"name": "one", "version": 1, "path": str(file)}],
        "activeFile": str(tmp_path / "server/version"), "settingsFile": str(tmp_path / "settings"),
        "workDirectory": str(tmp_path / "none"),
    }  # fmt: skip
    (tmp_path / "settings").write_text(settings_text(TritonSettings(), {"1": first}))
    (tmp_path / "none").mkdir()
    refused = processes.run("serve", wrong, tmp_path / "refused")
    assert refused.process.returncode == 2
    assert f"version 1: {file} has the SHA-256" in refused.text()


def test_a_warm_up_that_fails_leaves_what_serves_and_says_why(models, tmp_path):
    with running(models["picky"], tmp_path / "server", {}) as server, server.client as client:
        x = np.eye(1, 4, dtype=np.float32)
        assert client.infer(MODEL, [tensor("x", x)]).as_numpy("y").shape == (1, 4)
        # Its free dimension must be 4: the zeros of a warm-up have 1 there, and ONNX Runtime refuses them.
        with pytest.raises(FAILURE, match=r"warm-up of 2 items: .*MatMul"):
            server.reload({"warmup": {"batch": 2}})
        assert client.infer(MODEL, [tensor("x", x)]).as_numpy("y").shape == (1, 4)
        with pytest.raises(FAILURE, match=r"ONNX Runtime: .*MatMul"):
            client.infer(MODEL, [tensor("x", np.eye(1, 3, dtype=np.float32))])
        with pytest.raises(FAILURE, match="unexpected inference input 'none'"):
            client.infer(MODEL, [tensor("none", x)])
        with pytest.raises(FAILURE, match="unexpected shape"):
            client.infer(MODEL, [tensor("x", x[0])])
        assert client.infer(MODEL, [tensor("x", x)]).as_numpy("y").shape == (1, 4)


def test_a_state_alone_makes_a_model_recurrent(models, tmp_path):
    settings = {"maxBatchSize": 2, "sequence": {"states": [{"input": "h", "output": "next"}]}}
    with running(models["counter"], tmp_path / "server", settings) as server, server.client as client:
        steps = [
            client.infer(MODEL, [tensor("x", [[1]])], sequence_id=5, sequence_start=n == 0).as_numpy("y")[0, 0]
            for n in range(3)
        ]
    assert steps == [1, 2, 3]


def test_requests_in_flight_over_http_get_the_time_that_they_may_take(models, tmp_path):
    """After SIGTERM each is answered, within the exit timeout that spec.availability.longestRequest becomes."""
    settings = {"maxBatchSize": 1}
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 64, 512], "datatype": "FP32", "data": [1.0] * 64 * 512}]})
    with running(models["slow"], tmp_path / "server", settings, exitTimeoutSeconds=60) as server:
        statuses = []

        def ask():
            # A connection of its own, closed after the answer: one that idles keeps the server for the whole timeout.
            request = urllib.request.Request(
                f"http://127.0.0.1:{server.http}/v2/models/{MODEL}/infer", body.encode(), {"Connection": "close"}
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    statuses.append(answer.status)
            except OSError as error:
                statuses.append(repr(error))

        threads = [threading.Thread(target=ask) for _ in range(30)]
        for thread in threads:
            thread.start()
        # All of them are in the server's hands, one of them at work: what it has not taken yet is nobody's promise.
        eventually(lambda: len(statuses) + server.pending() >= 29)
        assert len(statuses) < 25, "too fast to show anything"
        server.entry.process.terminate()
        for thread in threads:
            thread.join()
        assert server.entry.wait() == 0, server.entry.text()
    assert statuses == [200] * 30


def test_a_slow_or_stalled_model_is_told_from_a_busy_one(models, tmp_path):
    """The probe waits for an answer; without one, it is others that are answered meanwhile that make it alive."""
    with running(models["slow"], tmp_path / "server", {"maxBatchSize": 1}) as server:
        stop = threading.Event()

        def busy():
            while not stop.is_set():
                flood(server, ITEM, 100)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            eventually(lambda: server.pending() > 50)
            probe(MODEL, server.http, inference_seconds=0.1)
        finally:
            stop.set()
            thread.join()
        stubs = stubs_of(server.entry.process.pid)
        for stub in stubs:
            os.kill(stub, signal.SIGSTOP)
        # The probe's patience ends, Triton calls the backend unhealthy, or it ends itself: whatever comes first.
        with pytest.raises(OSError, match=r"timed out|not healthy|closed connection|reset by peer|refused"):
            probe(MODEL, server.http, inference_seconds=1)
        for stub in stubs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(stub, signal.SIGKILL)


@pytest.mark.parametrize("strategy", ["Oldest", "Direct"])
def test_a_recurrent_model_keeps_the_state_of_each_sequence(models, tmp_path, strategy):
    sequence = {
        "strategy": strategy,
        "maxIdle": "1s",
        "controls": [{"kind": "Start", "input": "first"}, {"kind": "Ready", "input": "ready"}][:1],
        "states": [{"input": "h", "output": "next"}],
    }
    settings = {
        "maxBatchSize": 4,
        "instances": 2,
        "maxQueueDelayMicroseconds": 2000,
        "sequence": sequence,
        "warmup": {},
    }
    with running(models["accumulator"], tmp_path / "server", settings) as server, server.client as client:
        totals, sums = dict.fromkeys(range(1, 7), 0.0), {}
        for step in range(5):
            answers = {}
            for who in totals:
                totals[who] += who * (step + 1)
                client.async_infer(
                    MODEL,
                    [tensor("x", [[who * (step + 1), -1]])],
                    lambda result, error, who=who, answers=answers: answers.update({who: error or result}),
                    sequence_id=who,
                    sequence_start=step == 0,
                    sequence_end=step == 4,
                )
            eventually(lambda answers=answers: len(answers) == len(totals))
            for who, result in answers.items():
                assert not isinstance(result, Exception), result
                assert result.as_numpy("y").tolist() == [[totals[who], -(step + 1)]]
                assert result.as_numpy("was_first").tolist() == [[float(step == 0)]]
            sums = answers
        assert len(sums) == 6

        def step(who, **flags):
            return client.infer(MODEL, [tensor("x", [[1, 1]])], sequence_id=who, **flags).as_numpy("y")[0, 0]

        # One that ended, or that nobody began, has no state to go on from; one that begins again begins at zero.
        with pytest.raises(FAILURE, match="must specify the START flag"):
            step(1)
        assert [step(7, sequence_start=True), step(7), step(7, sequence_start=True), step(7)] == [1, 2, 1, 2]

        def given_up():
            try:
                step(7)
            except FAILURE as error:
                return "must specify the START flag" in error.message()
            time.sleep(1.5)  # Longer than maxIdle: each step would keep it alive.
            return False

        eventually(given_up)
        alive = server.probe(tmp_path / "probe")
        assert alive.process.returncode == 0, alive.text()
