"""Real ranks over gloo on loopback: stopped, resumed, killed."""

from __future__ import annotations

import contextlib
import signal
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from tests.workloads import processes  # noqa: E402
from tests.workloads.conftest import training  # noqa: E402
from trimtab_workloads.common.stop import StopRequest  # noqa: E402
from trimtab_workloads.train import checkpoint, data, model, state  # noqa: E402
from trimtab_workloads.train.config import TrainConfig  # noqa: E402
from trimtab_workloads.train.group import Group  # noqa: E402
from trimtab_workloads.train.loop import Hooks, Loop  # noqa: E402
from trimtab_workloads.train.metrics import RankMetrics  # noqa: E402


@contextlib.contextmanager
def gang(config, size, folder):
    """All ranks of a training."""
    config = config | {"worldSize": size, "masterPort": processes.free_ports(1)[0]}
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                processes.entry("train", config, folder / str(rank), {"JOB_COMPLETION_INDEX": str(rank)})
            )
            for rank in range(size)
        ]


def test_work_is_done_exactly_once_across_a_stop_a_torn_checkpoint_and_another_world_size(tmp_path):
    directory = tmp_path / "model"
    # Batches of 50 cut 1,437 samples into uneven shards and a last batch of 37.
    config = training(directory, epochs=5, checkpointIntervalSeconds=0.2, samplesPerSecondLimit=2500)
    with gang(config, 2, tmp_path / "first") as ranks:
        ranks[0].wait_for("checkpoint", 2)
        port = ranks[0].events("started")[0]["metrics_port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = answer.read().decode()
        # One rank is asked; all stop, after the same step.
        ranks[1].process.send_signal(signal.SIGTERM)
        assert [rank.wait() for rank in ranks] == [143, 143], [rank.text() for rank in ranks]
        stopped = ranks[0].result()
    assert "trimtab_training_total_samples 7185.0" in metrics
    assert "trimtab_training_world_size 2.0" in metrics
    assert 'trimtab_training_step_seconds_count{phase="communication"}' in metrics
    assert stopped["stopped"]
    assert 0 < stopped["completedSamples"] < stopped["totalSamples"] == 7185
    newest = max(directory.glob("checkpoint-*.pt"))
    newest.write_bytes(newest.read_bytes()[:-1])

    with gang(config | {"samplesPerSecondLimit": None}, 3, tmp_path / "second") as ranks:
        assert [rank.wait() for rank in ranks] == [0, 0, 0], [rank.text() for rank in ranks]
        result = ranks[0].result()
        resumed = ranks[0].events("training_resumed")[0]
    assert 0 < resumed["completed_samples"] < stopped["completedSamples"]
    assert (result["visitsMin"], result["visitsMax"]) == (5, 5)
    assert result["completedSamples"] == result["totalSamples"] == 7185
    assert result["resumes"] == 1
    assert result["accuracyLow"] < result["accuracy"] < result["accuracyHigh"]

    # The same training, never stopped and alone, comes to the same weights but for the order of sums.
    settings = TrainConfig.model_validate(config | {"samplesPerSecondLimit": None})
    loop = Loop(settings, data.load(), Group(0, 1), RankMetrics(CollectorRegistry()), StopRequest())
    alone = state.start(settings, loop.plan.samples)
    assert loop.run(alone, Hooks())
    pairs = zip(weights(directory), alone.model.state_dict().values(), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=0.02, atol=0.002)

    # Once the last checkpoint is there, a rank that is started again needs no peer.
    with processes.entry("train", config | {"worldSize": 3}, tmp_path / "again", {"JOB_COMPLETION_INDEX": "0"}) as rank:
        assert rank.wait() == 0, rank.text()
        assert rank.result() == result


def weights(directory):
    return list(model.loads((directory / "model.pt").read_bytes()).state_dict().values())


def test_a_rank_whose_peer_is_killed_fails_at_once_and_the_gang_resumes(tmp_path):
    config = training(
        tmp_path / "model", epochs=3, checkpointIntervalSeconds=0.2, samplesPerSecondLimit=2500, peerTimeoutSeconds=60
    )
    with gang(config, 2, tmp_path / "first") as ranks:
        ranks[0].wait_for("checkpoint", 1)
        ranks[1].process.kill()
        # Long before the timeout for a silent peer: the broken connection tells.
        assert ranks[0].process.wait(30) == 1, ranks[0].text()
        assert "lost a peer" in ranks[0].result()["error"]
    assert checkpoint.load_newest(tmp_path / "model") is not None


def test_a_stop_while_waiting_for_the_others_is_obeyed(tmp_path):
    config = training(tmp_path / "model", worldSize=2, masterPort=processes.free_ports(1)[0])
    with processes.entry("train", config, tmp_path, {"JOB_COMPLETION_INDEX": "0"}) as rank:
        rank.wait_for("rendezvous")
        rank.process.send_signal(signal.SIGTERM)
        assert rank.wait() == 143, rank.text()
        assert rank.result() == {
            "kind": "training",
            "stopped": True,
            "rank": 0,
            "completedSamples": 0,
            "totalSamples": 2874,
        }
