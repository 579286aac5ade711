"""Real servers of single models, with the settings that a ServingWorkload's `spec.triton` has."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient

from tests.workloads import processes
from tests.workloads.processes import eventually
from trimtab.api.triton import TritonSettings
from trimtab.apply.children.triton_settings import base_digest, base_settings, settings_text
from trimtab.apply.triton_load import load_version

MODEL = "made"


@dataclass
class ModelServer:
    """A running server."""

    entry: processes.Entry
    folder: Path
    http: int
    grpc: int
    metrics: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc}"

    @property
    def client(self) -> Any:
        return grpcclient.InferenceServerClient(self.address)

    def ready(self) -> bool:
        """Whether the server and its model are ready, as the pod's probe asks."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/v2/models/{MODEL}/ready") as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError):
            return False

    def config(self) -> Any:
        """The model's configuration, as the server has it."""
        with self.client as client:
            return client.get_model_config(MODEL).config

    def reload(self, settings: Mapping[str, Any], sha256: str = "") -> None:
        """What the operator does with settings that were changed, or with a file that was made anew."""
        digests = {"1": sha256} if sha256 else {}
        load_version(self.address, MODEL, 1, 60, settings_text(TritonSettings.model_validate(settings), digests))

    def statistics(self) -> Any:
        """The model's statistics."""
        with self.client as client:
            (stats,) = client.get_inference_statistics(MODEL).model_stats
        return stats

    def pending(self) -> int:
        """Requests that wait for the model."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(
            int(float(line.split()[-1])) for line in lines if line.startswith("nv_inference_pending_request_count{")
        )

    def probe(self, folder: Path) -> processes.Entry:
        """The pod's liveness probe."""
        return processes.run("serve.probe", {"model": MODEL, "httpPort": self.http}, folder)


@contextlib.contextmanager
def running(
    path: Path,
    folder: Path,
    settings: Mapping[str, Any],
    sha256: str = "",
    environment: Mapping[str, str] | None = None,
    **changes: Any,
) -> Iterator[ModelServer]:
    """A server of one model; on leaving it has ended."""
    triton = TritonSettings.model_validate(settings)
    folder.mkdir(exist_ok=True)
    (folder / "version").write_text("1\n")
    (folder / "settings").write_text(settings_text(triton, {"1": sha256} if sha256 else {}))
    http, grpc, metrics = processes.free_ports(3)
    config = {
        "model": MODEL,
        "variants": [{"name": "one", "version": 1, "path": str(path)}],
        "activeFile": str(folder / "version"),
        "settingsFile": str(folder / "settings"),
        "base": base_digest(triton),
        **base_settings(triton),
        "exitTimeoutSeconds": 5,
        "address": "127.0.0.1",
        "httpPort": http,
        "grpcPort": grpc,
        "metricsPort": metrics,
        "workDirectory": str(folder),
        **changes,
    }
    with processes.entry("serve", config, folder / "server", environment) as entry:
        server = ModelServer(entry, folder, http, grpc, metrics)
        eventually(lambda: entry.process.poll() is not None or server.ready(), entry.text)
        assert entry.process.poll() is None, entry.text()
        yield server
        if entry.process.poll() is None:
            entry.process.terminate()
            entry.process.wait(processes.PATIENCE_SECONDS)
    for left in Path("/dev/shm").glob(f"trimtab-triton-{grpc}-*"):
        left.unlink()


def tensor(name: str, values: Any) -> Any:
    """An input of float32."""
    array = np.asarray(values, np.float32)
    made = grpcclient.InferInput(name, array.shape, "FP32")
    made.set_data_from_numpy(array)
    return made
