"""Builds Triton's model repository: one model, a version for each variant."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import trimtab_workloads
from trimtab_workloads.common.config import ConfigError
from trimtab_workloads.common.log import log
from trimtab_workloads.common.tensors import INPUT, OUTPUT
from trimtab_workloads.serve.config import ServeConfig, Variant

ARTIFACT = "model.onnx"
# Variants are versions of one model, and the one that serves is chosen by policy: see `version_policy`.
Configuration = dict[str, object]


def active_version(config: ServeConfig) -> int:
    """The version that the operator wants served.

    Raises:
        ConfigError: The file is missing, is no number, or names a version that is not among the variants.
    """
    try:
        text = config.active_file.read_text().strip()
    except OSError as error:
        raise ConfigError(f"activeFile: cannot read {config.active_file}: {error.strerror}") from error
    versions = sorted(variant.version for variant in config.variants)
    if not text.isdigit() or int(text) not in versions:
        raise ConfigError(f"activeFile: {config.active_file} must hold one of {versions}, it holds {text!r}")
    return int(text)


def build(config: ServeConfig, active: int) -> Path:
    """Builds the repository anew; returns its path.

    The .onnx files are linked, not copied: a variant that is made again, or only after the server started, is read
    from the volume at its next load, without a restart.

    Raises:
        ConfigError: The active variant's file is missing. Any other missing one is said in the log; loading it fails
            until its file is there.
    """
    repository = config.work_directory / "models"
    shutil.rmtree(repository, ignore_errors=True)
    model = repository / config.model
    model.mkdir(parents=True)
    backend = files("trimtab_workloads.serve").joinpath("backend/model.py").read_text()
    for variant in config.variants:
        if not variant.path.is_file():
            _missing(variant, active)
        version = model / str(variant.version)
        version.mkdir()
        (version / "model.py").write_text(backend)
        (version / ARTIFACT).symlink_to(variant.path.absolute())
    (model / "config.pbtxt").write_text(to_pbtxt(model_configuration(config, active)))
    return repository


def _missing(variant: Variant, active: int) -> None:
    message = f"variant {variant.name} (version {variant.version}): {variant.path} does not exist"
    if variant.version == active:
        raise ConfigError(f"variants: {message}, and it is the active one")
    log("variant_missing", message=message)


def model_configuration(config: ServeConfig, active: int) -> Configuration:
    """The model's configuration in the JSON form of Triton's ModelConfig message.

    A switch is a load with this configuration, whose `version_policy` names another version.
    """
    return {
        "name": config.model,
        "backend": "python",
        "max_batch_size": config.max_batch_size,
        "input": [{"name": INPUT, "data_type": "TYPE_FP32", "dims": [1, 8, 8]}],
        "output": [{"name": OUTPUT, "data_type": "TYPE_FP32", "dims": [10]}],
        "version_policy": {"specific": {"versions": [active]}},
        "dynamic_batching": {"max_queue_delay_microseconds": config.max_queue_delay_microseconds},
        "instance_group": [{"kind": "KIND_CPU", "count": config.instances}],
        "parameters": {
            "threads": {"string_value": str(config.threads)},
            "source_directory": {"string_value": str(Path(trimtab_workloads.__file__).parent.parent)},
        },
    }


def to_pbtxt(configuration: Configuration) -> str:
    """The configuration as protobuf text, for config.pbtxt; `parameters` is the message's only map field."""
    return "\n".join(_lines(configuration)) + "\n"


def _lines(message: Configuration) -> list[str]:
    lines: list[str] = []
    for key, value in message.items():
        if key == "parameters" and isinstance(value, dict):
            for name, item in value.items():
                lines += [f"{key} {{", f'  key: "{name}"', "  value {", *_indent(_lines(item), 4), "  }", "}"]
        elif isinstance(value, dict):
            lines += [f"{key} {{", *_indent(_lines(value), 2), "}"]
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    lines += [f"{key} {{", *_indent(_lines(item), 2), "}"]
                else:
                    lines.append(f"{key}: {_scalar(item)}")
        else:
            lines.append(f"{key}: {_scalar(value)}")
    return lines


def _indent(lines: list[str], spaces: int) -> list[str]:
    return [" " * spaces + line for line in lines]


def _scalar(value: object) -> str:
    # Enum values (TYPE_FP32, KIND_CPU) are bare words in protobuf text; other strings are quoted as in JSON.
    if isinstance(value, str) and not value.startswith(("TYPE_", "KIND_")):
        return json.dumps(value)
    return str(value)
