from __future__ import annotations

import json

import pytest

model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2")
pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from google.protobuf import json_format, text_format  # noqa: E402

from tests.workloads import onnx_models  # noqa: E402
from trimtab.api.triton import TritonSettings  # noqa: E402
from trimtab.apply.children.triton_settings import settings_digest, settings_text  # noqa: E402
from trimtab.apply.triton_load import with_settings, with_version  # noqa: E402
from trimtab_workloads.common.config import ConfigError  # noqa: E402
from trimtab_workloads.serve import repository, signature  # noqa: E402
from trimtab_workloads.serve.config import ServeConfig  # noqa: E402

FULL = {
    "maxBatchSize": 16,
    "maxQueueDelayMicroseconds": 250,
    "preferredBatchSizes": [4, 16],
    "instances": 2,
    "threads": 3,
    "queue": {
        "priorityLevels": 2, "defaultPriority": 2, "maxQueueSize": 9, "defaultTimeoutMicroseconds": 5000,
        "timeoutAction": "Delay",
    },
    "rateLimiter": {"resources": [{"name": "core", "perExecution": 1, "available": 2}], "priority": 3},
    "responseCache": {"size": "64Mi"},
    "warmup": {"requests": 3, "batch": 8},
    "logVerbose": 1,
}  # fmt: skip
SEQUENCE = {
    "maxBatchSize": 8,
    "sequence": {
        "strategy": "Direct",
        "maxIdle": "5s",
        "controls": [
            {"kind": "Start", "input": "first"},
            {"kind": "CorrelationId", "input": "who", "dataType": "UINT64"},
        ],
        "states": [{"input": "h", "output": "next"}],
    },
}


@pytest.fixture
def config(tmp_path):
    onnx_models.doubler(tmp_path / "one.onnx")
    (tmp_path / "settings").write_text(settings_text(TritonSettings.model_validate(FULL)))
    (tmp_path / "version").write_text("1\n")
    return ServeConfig.model_validate(
        {
            "model": "digits",
            "variants": [
                {"name": "one", "version": 1, "path": str(tmp_path / "one.onnx")},
                {"name": "two", "version": 2, "path": str(tmp_path / "two.onnx")},
            ],
            "activeFile": str(tmp_path / "version"),
            "settingsFile": str(tmp_path / "settings"),
            "base": "abc",
            "workDirectory": str(tmp_path / "work"),
        }
    )


def built(config):
    repository.build(config, repository.active_version(config), repository.settings(config))
    text = (config.work_directory / "models" / config.model / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config.ModelConfig())


def test_the_configuration_is_what_triton_understands(config):
    parsed = built(config)
    assert list(parsed.version_policy.specific.versions) == [1]
    assert [(it.name, list(it.dims)) for it in parsed.input] == [("x", [3])]
    assert [(it.name, list(it.dims)) for it in parsed.output] == [("y", [3]), ("total", [1])]
    assert parsed.parameters["threads"].string_value == "3"
    batching, (group,) = parsed.dynamic_batching, parsed.instance_group
    assert (parsed.max_batch_size, batching.max_queue_delay_microseconds) == (16, 250)
    assert list(batching.preferred_batch_size) == [4, 16]
    assert (batching.priority_levels, batching.default_priority_level) == (2, 2)
    policy = batching.default_queue_policy
    assert (policy.max_queue_size, policy.default_timeout_microseconds, policy.timeout_action) == (
        9,
        5000,
        policy.DELAY,
    )
    assert (group.count, group.rate_limiter.priority) == (2, 3)
    assert [(r.name, r.count, getattr(r, "global")) for r in group.rate_limiter.resources] == [("core", 1, True)]
    assert parsed.response_cache.enable
    assert json.loads(parsed.parameters["warmup"].string_value) == {"requests": 3, "batch": 8}


def test_a_server_that_starts_and_one_that_is_reloaded_are_told_the_same(config, tmp_path):
    """Whatever it had before: the operator's reload ends in the configuration that a new pod would have."""
    wanted = built(config)
    for before in ({}, {"warmup": {}, "instances": 5}, {**FULL, "queue": None}):
        (tmp_path / "settings").write_text(settings_text(TritonSettings.model_validate(before)))
        has = json_format.MessageToDict(built(config), preserving_proto_field_name=True)
        text = settings_text(TritonSettings.model_validate(FULL))
        override = with_version(with_settings(has, json.loads(text)), 1)
        assert json_format.Parse(override, model_config.ModelConfig()) == wanted


def test_what_the_server_says_of_its_settings_is_what_the_operator_looks_for(config):
    triton = TritonSettings.model_validate(FULL)
    base, _, live = settings_digest(triton).partition(".")
    said = built(config.model_copy(update={"base": base})).parameters["settings"].string_value
    assert said == f"{base}.{live}"
    # What a running server cannot take is in the first half, everything else in the second.
    for change, same_base in (
        ({"maxBatchSize": 32}, True), ({"threads": 1}, True), ({"logVerbose": 0}, True), ({"warmup": None}, True),
        ({"responseCache": None}, False), ({"rateLimiter": None}, False),
    ):  # fmt: skip
        changed = settings_digest(TritonSettings.model_validate({**FULL, **change})).partition(".")
        assert (changed[0] == base) is same_base
        assert changed != (base, ".", live)


def test_sequences_of_a_recurrent_model(config, tmp_path):
    onnx_models.accumulator(tmp_path / "one.onnx")
    sequence = {**SEQUENCE["sequence"], "controls": SEQUENCE["sequence"]["controls"][:1]}
    (tmp_path / "settings").write_text(settings_text(TritonSettings.model_validate({**SEQUENCE, "sequence": sequence})))
    states = [{"input": "h", "output": "next"}]
    recurrent = ServeConfig.model_validate(
        {**json.loads(config.model_dump_json(by_alias=True)), "states": states, "controls": ["first"]}
    )
    parsed = built(recurrent)
    assert [it.name for it in parsed.input] == ["x"]
    assert [it.name for it in parsed.output] == ["y", "was_first"]
    batching = parsed.sequence_batching
    assert (batching.max_sequence_idle_microseconds, batching.WhichOneof("strategy_choice")) == (5_000_000, "direct")
    (control,) = batching.control_input
    assert (control.name, control.control[0].kind) == ("first", control.control[0].CONTROL_SEQUENCE_START)
    assert list(control.control[0].fp32_false_true) == [0, 1]
    assert not parsed.HasField("dynamic_batching")
    for wrong, message in (
        ({"controls": ["none"]}, "control 'none': .* has no such input, only first, h, x"),
        ({"states": [{"input": "h", "output": "none"}]}, "state 'none': .* has no such output"),
    ):
        with pytest.raises(ConfigError, match=message):
            built(ServeConfig.model_validate({**json.loads(recurrent.model_dump_json(by_alias=True)), **wrong}))


def test_every_control_is_one_that_triton_knows():
    text = settings_text(TritonSettings.model_validate(SEQUENCE))
    sections = {**json.loads(text)["modelConfig"], "name": "m"}
    parsed = json_format.ParseDict(sections, model_config.ModelConfig())
    who = parsed.sequence_batching.control_input[1].control[0]
    assert (who.kind, who.data_type) == (who.CONTROL_SEQUENCE_CORRID, model_config.TYPE_UINT64)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "settingsFile: .*settings: .*Invalid JSON"),
        ('{"threads": 0}', "settingsFile: .*threads: Input should be greater than 0"),
        ('{"modelConfig": {"max_batch": 3}}', 'settingsFile: modelConfig: .*no field named "max_batch"'),
    ],
)
def test_settings_that_triton_would_not_know_are_named(config, tmp_path, content, message):
    (tmp_path / "settings").write_text(content)
    with pytest.raises(ConfigError, match=message):
        built(config)


def test_a_file_that_is_no_model_is_said_in_one_line(config, tmp_path):
    (tmp_path / "one.onnx").write_bytes(b"broken")
    with pytest.raises(ConfigError, match=r"variants: .*one\.onnx is no model that ONNX Runtime can load: ") as error:
        built(config)
    assert "\n" not in str(error.value)


def test_a_model_without_a_batch_dimension_is_refused(tmp_path):
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    path = onnx_models.save(
        tmp_path / "fixed.onnx", [node], [onnx_models.tensor("x", 1, 3)], [onnx_models.tensor("y", 1, 3)]
    )
    with pytest.raises(
        ConfigError, match=r"tensor 'x' of .* has shape \[1, 3\]; the first dimension must be a free one"
    ):
        signature.read(path)


def test_a_missing_variant_is_said_and_found_once_it_is_there(config, tmp_path, capsys):
    path = repository.build(config, 1, repository.settings(config)) / "digits"
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "variant two (version 2)" in said
    assert (path / "1/model.onnx").read_bytes() == (tmp_path / "one.onnx").read_bytes()
    assert not (path / "2/model.onnx").exists()
    (tmp_path / "two.onnx").write_bytes(b"2")
    assert (path / "2/model.onnx").read_bytes() == b"2"


def test_without_the_active_variant_there_is_no_start(config):
    with pytest.raises(ConfigError, match=r"variant two .*two\.onnx does not exist, and it is the active one"):
        repository.build(config, 2, repository.settings(config))


@pytest.mark.parametrize("content", ["", "two", "3", "-1"])
def test_the_active_version_must_be_a_variant(config, content):
    config.active_file.write_text(content)
    with pytest.raises(ConfigError, match=r"must hold one of \[1, 2\]"):
        repository.active_version(config)


def test_a_missing_active_file_is_said(config):
    config.active_file.unlink()
    with pytest.raises(ConfigError, match="activeFile: cannot read"):
        repository.active_version(config)


def test_a_rebuild_leaves_nothing_of_the_old_repository(config):
    (config.work_directory / "models/old/1").mkdir(parents=True)
    assert [path.name for path in repository.build(config, 1, repository.settings(config)).iterdir()] == ["digits"]
