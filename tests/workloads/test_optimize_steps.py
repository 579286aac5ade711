"""Every step does what it says, on real models of each family, and what it gives computes what it should."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.workloads import processes  # noqa: E402
from tests.workloads.conftest import training  # noqa: E402
from trimtab_workloads.common.config import ConfigError  # noqa: E402
from trimtab_workloads.common.files import digest_path  # noqa: E402
from trimtab_workloads.optimize import cache, parity, prune, source  # noqa: E402
from trimtab_workloads.optimize.config import Distill, OptimizeConfig, OptimizeGraph, Quantize, Step  # noqa: E402
from trimtab_workloads.optimize.distill import student_widths  # noqa: E402
from trimtab_workloads.optimize.export import export  # noqa: E402
from trimtab_workloads.optimize.factorize import factorize  # noqa: E402
from trimtab_workloads.optimize.graph import optimize_graph  # noqa: E402
from trimtab_workloads.optimize.pipeline import Chain, change, size_of  # noqa: E402
from trimtab_workloads.optimize.quantize import quantize  # noqa: E402
from trimtab_workloads.train import model  # noqa: E402
from trimtab_workloads.train.architecture import Architecture  # noqa: E402

MODELS = {
    "digits-cnn": {"channels": (16, 16, 16), "epochs": 6},
    "digits-encoder": {"channels": (32, 32), "epochs": 6},
    "digits-gru": {"channels": (64,), "epochs": 12, "learningRate": 0.1},
}
FAMILIES = list(MODELS)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A short but real training of each family, each read back from its directory."""
    read = {}
    for family, settings in MODELS.items():
        folder = tmp_path_factory.mktemp(family)
        config = training(folder / "model", model=family, **settings)
        done = processes.run("train", config, folder)
        assert done.process.returncode == 0, done.text()
        read[family] = source.load(folder / "model")
    return read


@pytest.fixture(scope="module")
def floats(sources, tmp_path_factory):
    """Each family's model as it is exported."""
    return {family: exported(data.model, tmp_path_factory.mktemp(family)) for family, data in sources.items()}


def right(network, data):
    with torch.inference_mode():
        return float((network(torch.from_numpy(data.held_out_x)).argmax(1).numpy() == data.held_out_y).mean())


def images(data):
    return data.train_x[: parity.SAMPLES]


def exported(network, folder):
    path = folder / "float.onnx"
    export(network.eval(), path)
    return path


def torch_outputs(network, data):
    with torch.no_grad():
        return network(torch.from_numpy(images(data))).numpy()


def operators(path):
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def chain(data, folder, steps, **settings):
    folder.mkdir(exist_ok=True)
    config = OptimizeConfig(name="v", source=Path("/s"), output=Path("/o"), steps=steps, **settings)
    return Chain(config, data, folder).run()


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_learns_and_computes_the_same_on_onnx_runtime(sources, floats, family):
    data = sources[family]
    assert data.model.architecture.family == family
    assert right(data.model, data) > 0.8
    path = floats[family]
    parity.check_safe(path)
    error = parity.relative_error(
        "export", torch_outputs(data.model, data), parity.outputs(path, images(data)), "float32"
    )
    assert error < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["static", "dynamic", "weightOnly"])
def test_each_family_is_quantized_within_the_tolerance(sources, floats, tmp_path, family, mode):
    data = sources[family]
    path, small = floats[family], tmp_path / "small.onnx"
    quantize(path, small, Quantize(mode=mode), data.train_x, 0)
    error = parity.relative_error(
        "quantize", parity.outputs(path, images(data)), parity.outputs(small, images(data)), "int8"
    )
    assert 0 < error < 0.1


def test_weights_in_blocks_of_four_bits_take_an_eighth(sources, floats, tmp_path):
    data, path = sources["digits-encoder"], floats["digits-encoder"]
    sizes = {}
    for dtype in ("int8", "int4"):
        small = tmp_path / f"{dtype}.onnx"
        quantize(path, small, Quantize(mode="weightOnly", dtype=dtype, block_size=16), data.train_x, 0)
        graph = onnx.load(small).graph
        packed = [node for node in graph.node if node.op_type == "MatMulNBits"]
        # Four in each of two blocks, the embedding and the output: all linear layers.
        assert len(packed) == 10
        bits = {a.i for node in packed for a in node.attribute if a.name == "bits"}
        assert bits == {4 if dtype == "int4" else 8}
        names = {node.input[1] for node in packed}
        sizes[dtype] = sum(onnx.numpy_helper.to_array(t).nbytes for t in graph.initializer if t.name in names)
        parity.relative_error(dtype, parity.outputs(path, images(data)), parity.outputs(small, images(data)), dtype)
    weights = sum(layer.weight.numel() for layer in data.model.modules() if isinstance(layer, torch.nn.Linear))
    assert sizes["int4"] * 2 == pytest.approx(sizes["int8"], rel=0.05)
    assert sizes["int4"] == pytest.approx(weights / 2, rel=0.1)


def test_quantization_aware_training_stores_all_layers_in_integers(sources, tmp_path):
    data = sources["digits-cnn"]
    before = model.dumps(data.model)
    steps = [Step.model_validate({"prune": {"method": "2:4", "finetuneEpochs": 0}})] * 5
    steps += [Step.model_validate({"factorize": {"energy": 1.0, "finetuneEpochs": 0}})]
    steps += [Step(quantize=Quantize(mode="qat", finetune_epochs=2)), Step(optimize_graph=OptimizeGraph())]
    built = chain(data, tmp_path / "qat", tuple(steps))
    assert model.dumps(data.model) == before, "the source, which teaches, is not trained itself"
    graph = onnx.load(built.artifact).graph
    integers = [t for t in graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1]
    assert len(integers) == 5  # 3 convolutions, 2 linear layers.
    predicted = parity.outputs(built.artifact, data.held_out_x).argmax(1)
    assert (predicted == data.held_out_y).mean() > right(data.model, data) - 0.1
    *_, quantized, _ = built.reports
    assert (quantized["name"], quantized["tolerance"]) == ("quantize", parity.TOLERANCES["int8"])
    # The longest report that there can be has to fit a termination message.
    row = {"batch": 4096, "p50Ms": 1234.5678, "p95Ms": 1234.5678, "p99Ms": 1234.5678, "itemsPerSecond": 123456.78}
    rows = [{**row, "cpuSecondsPerItem": 0.123456789}] * 8
    assert len(json.dumps({"steps": built.reports, "profile": rows})) < 3300


@pytest.mark.parametrize("family", ["digits-cnn", "digits-encoder"])
def test_two_of_every_four_weights_along_the_inputs_are_zero_and_stay_so(sources, family):
    data = sources[family]
    pruned, note = change(data.model, data, Step.model_validate({"prune": {"method": "2:4", "finetuneEpochs": 1}}), 0)
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    layers = [layer for layer in pruned.modules() if isinstance(layer, kinds) and layer.weight.shape[1] % 4 == 0]
    assert len(layers) >= 4
    for layer in layers:
        fours = layer.weight.detach().movedim(1, -1).unflatten(-1, (-1, 4))
        assert ((fours != 0).sum(-1) <= 2).all()
        assert (fours != 0).float().mean() == pytest.approx(0.5, abs=0.01)
    assert "zeros" in note
    # The pattern lives on through a later step that trains.
    thinner, _ = change(pruned, data, Step.model_validate({"prune": {"method": "unstructured", "amount": 0.1}}), 0)
    assert prune.sparsity(thinner) >= prune.sparsity(pruned) - 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_is_smaller_and_learns_from_its_teacher(sources, family):
    data = sources[family]
    student, note = change(data.model, data, Step(distill=Distill(width=0.5, depth=1, epochs=4)), 3)
    assert size_of(student) < 0.6 * size_of(data.model)
    assert student.architecture.family == family
    assert right(student, data) > 0.4  # A guess is right once in ten.
    assert note == f"student of widths {student.architecture.channels[0]}"


@pytest.mark.parametrize(
    "step",
    [
        {"prune": {"method": "2:4", "finetuneEpochs": 1}},
        {"prune": {"method": "unstructured", "amount": 0.5, "finetuneEpochs": 1}},
        {"prune": {"method": "structured", "amount": 0.5, "finetuneEpochs": 1}},
        {"distill": {"epochs": 1}},
        {"factorize": {"finetuneEpochs": 1}},
    ],
    ids=lambda step: next(iter(step)),
)
def test_the_source_stays_what_it_is(sources, step):
    data = sources["digits-cnn"]
    before = model.dumps(data.model)
    change(data.model, data, Step.model_validate(step), 0)
    assert model.dumps(data.model) == before


def test_a_students_layers_are_taken_evenly_and_are_never_more_than_the_teachers():
    teacher = Architecture((64, 32, 16, 8))
    assert student_widths(teacher, Distill(width=0.5, depth=2)) == (32, 8)
    assert student_widths(teacher, Distill(width=0.01)) == (1, 1, 1, 1)
    assert student_widths(Architecture((32, 32), family="digits-encoder"), Distill(width=0.3)) == (8, 8)
    with pytest.raises(ConfigError, match=r"distill\.depth: the teacher has 4 layers, a student of 5 is not smaller"):
        student_widths(teacher, Distill(depth=5))


@pytest.mark.parametrize("family", ["digits-cnn", "digits-encoder"])
def test_a_factorized_layer_is_the_nearest_of_its_rank(sources, family):
    data = sources[family]
    thinner, split, seen = factorize(data.model, 0.8)
    assert 0 < split <= seen
    assert size_of(thinner) < size_of(data.model)
    for name, rank in thinner.architecture.low_rank:
        whole = data.model.get_submodule(name).weight.detach().double().flatten(1)
        pair = thinner.get_submodule(name)
        product = pair[1].weight.detach().double().flatten(1) @ pair[0].weight.detach().double().flatten(1)
        values = torch.linalg.svdvals(whole)
        lost = values[rank:].square().sum()
        assert (whole - product).square().sum() == pytest.approx(float(lost), rel=1e-3)
        assert values[:rank].square().sum() >= 0.8 * values.square().sum()
        assert values[: rank - 1].square().sum() < 0.8 * values.square().sum()


def test_nothing_is_split_where_it_would_not_get_smaller(sources):
    data = sources["digits-cnn"]
    same, split, _ = factorize(data.model, 1.0)
    assert split == 0
    assert torch.equal(same(torch.from_numpy(images(data))), data.model(torch.from_numpy(images(data))))


def test_a_thinner_model_is_written_and_read_back(sources):
    data = sources["digits-encoder"]
    thinner, _, _ = factorize(data.model, 0.7)
    again = model.loads(model.dumps(thinner))
    assert again.architecture == thinner.architecture
    x = torch.from_numpy(images(data))
    assert torch.equal(again.eval()(x), thinner.eval()(x))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rewritten_graph_has_fewer_operations_and_the_same_outputs(sources, floats, tmp_path, family):
    data = sources[family]
    path, fewer = floats[family], tmp_path / "fewer.onnx"
    before, after = optimize_graph(path, fewer, OptimizeGraph())
    assert (sum(operators(path).values()), sum(operators(fewer).values())) == (before, after)
    assert after < before
    parity.check_safe(fewer)
    parity.relative_error("graph", parity.outputs(path, images(data)), parity.outputs(fewer, images(data)), "float32")


def test_basic_rewrites_keep_to_standard_operators(floats, tmp_path):
    path, fewer = floats["digits-encoder"], tmp_path / "fewer.onnx"
    optimize_graph(path, fewer, OptimizeGraph(level="basic"))
    assert {node.domain for node in onnx.load(fewer).graph.node} <= {"", "ai.onnx"}


@pytest.mark.parametrize(
    ("family", "method", "said"),
    [
        ("digits-encoder", "structured", "digits-encoder has none; distill narrows it"),
        ("digits-gru", "structured", "digits-gru has none"),
        ("digits-gru", "unstructured", "recurrent layers are not pruned"),
    ],
)
def test_what_does_not_fit_a_family_is_said(sources, family, method, said):
    step = Step.model_validate({"prune": {"method": method, "amount": 0.5}})
    with pytest.raises(ConfigError, match=said):
        change(sources[family].model, sources[family], step, 0)


def test_a_model_that_computes_something_else_is_refused_with_the_place(sources, tmp_path):
    data = sources["digits-cnn"]
    expected = torch_outputs(data.model, data)
    broken = model.loads(model.dumps(data.model))
    with torch.no_grad():
        broken.output.bias[3] += 50.0
    path = exported(broken, tmp_path)
    with pytest.raises(
        parity.ParityError, match=r"export: outputs are off by .*; most for training image \d+: .*\[3\]"
    ):
        parity.relative_error("export", expected, parity.outputs(path, images(data)), "float32")
    with torch.no_grad():
        broken.output.bias[3] = float("nan")
    path = exported(broken, tmp_path)
    with pytest.raises(parity.ParityError, match=r"output 'logits'\[3\] is nan for training image 0"):
        parity.relative_error("export", expected, parity.outputs(path, images(data)), "float32")


def test_weights_in_other_files_and_foreign_operators_are_refused(floats, tmp_path):
    path = floats["digits-cnn"]
    content = onnx.load(path)
    onnx.save(content, tmp_path / "apart.onnx", save_as_external_data=True, size_threshold=0, location="weights.bin")
    with pytest.raises(parity.ParityError, match="an artifact must be one file"):
        parity.check_safe(tmp_path / "apart.onnx")
    content = onnx.load(path)
    content.graph.node[0].domain = "org.example"
    content.opset_import.append(onnx.helper.make_opsetid("org.example", 1))
    onnx.save(content, tmp_path / "foreign.onnx")
    with pytest.raises(parity.ParityError, match=r"only others can run: org\.example"):
        parity.check_safe(tmp_path / "foreign.onnx")
    (tmp_path / "torn.onnx").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(parity.ParityError, match="not valid ONNX"):
        parity.check_safe(tmp_path / "torn.onnx")


STEPS = (
    Step.model_validate({"prune": {"method": "structured", "amount": 0.5, "finetuneEpochs": 1}}),
    Step.model_validate({"factorize": {"energy": 0.9, "finetuneEpochs": 1}}),
    Step.model_validate({"quantize": {}}),
    Step.model_validate({"optimizeGraph": {}}),
)


def reused(built):
    return [(report["name"], report["reused"]) for report in built.reports]


def test_an_equal_beginning_of_a_chain_is_not_run_again(sources, tmp_path):
    data, kept = sources["digits-cnn"], {"cache": tmp_path / "steps"}
    first = chain(data, tmp_path / "a", STEPS, **kept)
    names = ["prune", "factorize", "export", "quantize", "optimizeGraph"]
    assert reused(first) == [(name, False) for name in names]
    again = chain(data, tmp_path / "b", STEPS, **kept)
    assert reused(again) == [(name, True) for name in names]
    assert again.artifact.read_bytes() == first.artifact.read_bytes()
    assert [r.get("relativeError") for r in again.reports] == [r.get("relativeError") for r in first.reports]
    shorter = chain(data, tmp_path / "c", (*STEPS[:2], Step.model_validate({"quantize": {"mode": "dynamic"}})), **kept)
    assert reused(shorter) == [("prune", True), ("factorize", True), ("export", True), ("quantize", False)]


def test_a_result_is_known_by_all_that_it_depends_on():
    one = cache.begin("source", "0")
    assert one == cache.begin("source", "0")
    half = cache.then(one, {"prune": {"amount": 0.5}})
    assert len({one, half, cache.begin("other", "0"), cache.begin("source", "1")}) == 4
    assert half != cache.then(one, {"prune": {"amount": 0.25}})


def test_a_damaged_result_is_made_anew_and_the_oldest_make_room(sources, tmp_path):
    data, kept = sources["digits-cnn"], tmp_path / "steps"
    first = chain(data, tmp_path / "a", (), cache=kept)
    (content,) = kept.glob("*.bin")
    content.write_bytes(content.read_bytes()[:-1])
    assert reused(chain(data, tmp_path / "b", (), cache=kept)) == [("export", False)]
    assert reused(chain(data, tmp_path / "c", (), cache=kept)) == [("export", True)]
    size = first.artifact.stat().st_size
    chain(data, tmp_path / "d", STEPS[2:3], cache=kept, cache_bytes=size)
    assert sum(path.stat().st_size for path in kept.glob("*.bin")) <= size
    assert len(list(kept.glob("*.bin"))) == len(list(kept.glob("*.json"))) == 1


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(sources, tmp_path):
    (tmp_path / "steps").write_text("a file, and no directory")
    built = chain(sources["digits-cnn"], tmp_path / "a", (), cache=tmp_path / "steps")
    assert reused(built) == [("export", False)]


def test_a_model_that_is_too_large_is_refused_before_it_is_read(trained, tmp_path):
    config = {"name": "v", "source": str(trained), "output": str(tmp_path / "out"), "maxBytes": 1000}
    done = processes.run("optimize", config, tmp_path)
    assert done.process.returncode == 2
    result = done.result()
    assert result["reason"] == "TooLarge"
    assert "1000 are allowed (maxSize)" in result["error"]


def test_code_in_a_model_file_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"architecture": Bomb(), "state_dict": {}}, tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    digest_path(tmp_path / "model.pt").write_text(f"{digest}  model.pt\n")
    for name in ("train.npz", "heldout.npz"):
        np.savez(tmp_path / name, x=np.zeros(1), y=np.zeros(1))
    with pytest.raises(ConfigError, match="source: damaged"):
        source.load(tmp_path)
    assert not (tmp_path / "ran").exists()
