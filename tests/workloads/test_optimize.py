"""Variants are really smaller, still accurate, and say the truth about themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.workloads import processes  # noqa: E402
from trimtab_workloads.common.config import ConfigError  # noqa: E402
from trimtab_workloads.common.files import read_verified  # noqa: E402
from trimtab_workloads.common.interval import wilson  # noqa: E402
from trimtab_workloads.common.session import create_session  # noqa: E402
from trimtab_workloads.optimize import prune, source  # noqa: E402
from trimtab_workloads.optimize.quantize import has_vnni  # noqa: E402
from trimtab_workloads.train import model  # noqa: E402


@pytest.fixture(scope="module")
def original(trained):
    return source.load(trained)


def right(network, data):
    with torch.inference_mode():
        return float((network(torch.from_numpy(data.held_out_x)).argmax(1).numpy() == data.held_out_y).mean())


def artifact(entry):
    return Path(entry.config["output"]) / "model.onnx"


def test_structured_pruning_removes_channels_and_keeps_the_accuracy_before_any_training(original):
    smaller = prune.remove_channels(original.model, 0.5, torch.from_numpy(original.train_x))
    assert [tuple(c.weight.shape) for c in smaller.convolutions] == [(16, 1, 3, 3), (16, 16, 3, 3), (16, 16, 3, 3)]
    assert len(model.dumps(smaller)) < 0.6 * len(model.dumps(original.model))
    assert right(smaller, original) > right(original.model, original) - 0.04
    # The reconstruction is what keeps it: the surviving filters alone are far worse.
    bare = model.DigitsCNN(smaller.architecture)
    keeps = [prune._strongest(c.weight.detach(), 0.5) for c in original.model.convolutions]
    inputs = torch.tensor([0])
    with torch.no_grad():
        for old, new, keep in zip(original.model.convolutions, bare.convolutions, keeps, strict=True):
            new.weight.copy_(old.weight[keep][:, inputs])
            new.bias.copy_(old.bias[keep])
            inputs = keep
        columns = (inputs[:, None] * 16 + torch.arange(16)).reshape(-1)
        bare.hidden.weight.copy_(original.model.hidden.weight[:, columns])
        bare.hidden.bias.copy_(original.model.hidden.bias)
        bare.output.load_state_dict(original.model.output.state_dict())
    assert right(bare, original) < right(smaller, original)


def test_nothing_removed_changes_nothing(original):
    x = torch.from_numpy(original.held_out_x)
    same = prune.remove_channels(original.model, 0.001, torch.from_numpy(original.train_x[:64]))
    with torch.inference_mode():
        assert (same(x).argmax(1) == original.model(x).argmax(1)).float().mean() > 0.99


def test_unstructured_pruning_zeroes_the_smallest_weights_and_keeps_the_shape(original):
    network = model.loads(model.dumps(original.model))
    prune.mask_weights(network, 0.6)
    prune.settle_masks(network)
    assert prune.sparsity(network) == pytest.approx(0.6, abs=1e-3)
    assert network.architecture == original.model.architecture
    before = torch.cat([c.weight.detach().abs().flatten() for c in original.model.convolutions])
    after = torch.cat([c.weight.detach().abs().flatten() for c in network.convolutions])
    assert before[after == 0].max() <= before[after != 0].min()


def test_the_export_computes_what_torch_computes_for_any_batch(original, variants):
    session = create_session(artifact(variants["fp32"]), 1)
    assert [(i.name, i.type, i.shape[1:]) for i in session.get_inputs()] == [("input", "tensor(float)", [1, 8, 8])]
    assert [o.name for o in session.get_outputs()] == ["logits"]
    for batch in (1, 7, 32):
        x = original.held_out_x[:batch]
        with torch.inference_mode():
            expected = original.model(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(session.run(None, {"input": x})[0], expected, rtol=1e-3, atol=1e-4)


def test_the_quantized_variant_computes_in_int8_and_stays_accurate(original, variants):
    graph = onnx.load(artifact(variants["small"])).graph
    kinds = {initializer.name: initializer.data_type for initializer in graph.initializer}
    weights = [node.input[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in kinds]
    assert sum(kinds[name] == onnx.TensorProto.INT8 for name in weights) == 5  # 3 convolutions, 2 linear layers.
    small, plain = variants["small"].result(), variants["fp32"].result()
    assert small["accuracy"] >= plain["accuracy"] - 0.04
    assert small["sizeBytes"] < 0.4 * plain["sizeBytes"]


@pytest.mark.parametrize("name", ["fp32", "small"])
def test_the_result_is_what_the_artifact_does(original, variants, name):
    result = variants[name].result()
    content = read_verified(artifact(variants[name]))
    assert len(content) == result["sizeBytes"]
    session = create_session(artifact(variants[name]), 1)
    predicted = session.run(None, {"input": original.held_out_x})[0].argmax(1)
    with torch.inference_mode():
        baseline = original.model(torch.from_numpy(original.held_out_x)).argmax(1).numpy()
    hits = int((predicted == original.held_out_y).sum())
    assert result["accuracy"] == pytest.approx(hits / 360, abs=1e-6)
    assert (result["accuracyLow"], result["accuracyHigh"]) == pytest.approx(wilson(hits, 360), abs=1e-6)
    assert result["agreement"] == pytest.approx((predicted == baseline).mean(), abs=1e-6)
    gain = result["variantOnlyRight"] - result["baselineOnlyRight"]
    assert gain == round(360 * (result["accuracy"] - result["baselineAccuracy"]))
    assert [row["batch"] for row in result["profile"]] == [1, 8]
    for row in result["profile"]:
        assert 0 < row["p50Ms"] <= row["p95Ms"] <= row["p99Ms"]
        assert row["cpuSecondsPerItem"] > 0
    # The measuring process has ONNX Runtime in it, and not torch.
    assert 20e6 < result["peakMemoryBytes"] < 250e6
    assert variants[name].termination.stat().st_size < 4096


def test_a_rerun_replaces_the_artifact_with_an_equal_one(variants, tmp_path):
    before = variants["small"].result()
    again = processes.run("optimize", variants["small"].config, tmp_path)
    assert again.process.returncode == 0, again.text()
    assert again.result()["sha256"] == before["sha256"]
    left = sorted(path.name for path in artifact(variants["small"]).parent.iterdir())
    assert left == ["model.onnx", "model.onnx.sha256", "result.json"]


def test_a_source_that_is_not_trained_yet_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"source: .*model\.pt.* does not exist; is the training complete\?"):
        source.load(tmp_path)


def test_vnni_is_read_from_the_flags_of_the_cpu(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("flags\t\t: fpu avx2 avx512f\n")
    assert not has_vnni(path)
    path.write_text("flags\t\t: fpu avx2 avx_vnni\n")
    assert has_vnni(path)
    assert not has_vnni(tmp_path / "none")
