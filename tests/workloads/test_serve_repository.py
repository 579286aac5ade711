from __future__ import annotations

import json

import pytest

model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2")

from google.protobuf import json_format, text_format  # noqa: E402

from trimtab_workloads.common.config import ConfigError  # noqa: E402
from trimtab_workloads.serve import repository  # noqa: E402
from trimtab_workloads.serve.config import ServeConfig  # noqa: E402


@pytest.fixture
def config(tmp_path):
    (tmp_path / "one.onnx").write_bytes(b"1")
    (tmp_path / "version").write_text("1\n")
    return ServeConfig.model_validate(
        {
            "model": "digits",
            "variants": [
                {"name": "one", "version": 1, "path": str(tmp_path / "one.onnx")},
                {"name": "two", "version": 2, "path": str(tmp_path / "two.onnx")},
            ],
            "activeFile": str(tmp_path / "version"),
            "maxBatchSize": 16,
            "maxQueueDelayMicroseconds": 250,
            "instances": 2,
            "threads": 3,
            "workDirectory": str(tmp_path / "work"),
        }
    )


def test_the_configuration_is_what_triton_understands(config):
    repository.build(config, repository.active_version(config))
    text = (config.work_directory / "models/digits/config.pbtxt").read_text()
    parsed = text_format.Parse(text, model_config.ModelConfig())
    as_json = json_format.Parse(json.dumps(repository.model_configuration(config, 1)), model_config.ModelConfig())
    assert parsed == as_json
    assert (parsed.max_batch_size, parsed.dynamic_batching.max_queue_delay_microseconds) == (16, 250)
    assert list(parsed.version_policy.specific.versions) == [1]
    assert parsed.instance_group[0].count == 2
    assert parsed.parameters["threads"].string_value == "3"


def test_a_missing_variant_is_said_and_found_once_it_is_there(config, tmp_path, capsys):
    path = repository.build(config, 1) / "digits"
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "variant two (version 2)" in said
    assert (path / "1/model.onnx").read_bytes() == b"1"
    assert not (path / "2/model.onnx").exists()
    (tmp_path / "two.onnx").write_bytes(b"2")
    assert (path / "2/model.onnx").read_bytes() == b"2"


def test_without_the_active_variant_there_is_no_start(config):
    with pytest.raises(ConfigError, match=r"variant two .*two\.onnx does not exist, and it is the active one"):
        repository.build(config, 2)


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
    assert [path.name for path in repository.build(config, 1).iterdir()] == ["digits"]
