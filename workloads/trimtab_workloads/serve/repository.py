"""Builds Triton's model repository: one model, a version for each variant."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format
from pydantic import ValidationError
from tritonclient.grpc.model_config_pb2 import ModelConfig

import trimtab_workloads
from trimtab_workloads.common.config import ConfigError, one_line
from trimtab_workloads.common.log import log
from trimtab_workloads.serve.config import ServeConfig, Settings, Variant
from trimtab_workloads.serve.integrity import WrongFileError, check
from trimtab_workloads.serve.signature import Signature, read

ARTIFACT = "model.onnx"
# Variants are versions of one model, and the one that serves is chosen by policy: see `version_policy`.
Configuration = dict[str, Any]


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


def settings(config: ServeConfig) -> Settings:
    """The settings that the operator wants the server to start with.

    Raises:
        ConfigError: The file is missing, or holds something else.
    """
    if config.settings_file is None:
        return Settings()
    try:
        return Settings.model_validate_json(config.settings_file.read_text())
    except OSError as error:
        raise ConfigError(f"settingsFile: cannot read {config.settings_file}: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"settingsFile: {config.settings_file}: {one_line(error)}") from error


def build(config: ServeConfig, active: int, chosen: Settings) -> Path:
    """Builds the repository anew; returns its path.

    The .onnx files are linked, not copied: a variant that is made again, or only after the server started, is read
    from the volume at its next load, without a restart.

    Raises:
        ConfigError: The active variant's file is missing, is not the one that was measured or is no model, or the
            settings are none that Triton knows. Any other missing variant is said in the log; loading it fails until
            its file is there.
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
    (path,) = (variant.path for variant in config.variants if variant.version == active)
    try:
        check(path, chosen.sha256.get(str(active)))
    except WrongFileError as error:
        raise ConfigError(f"variants: version {active}: {error}") from error
    signature = read(path, [(state.input, state.output) for state in config.states], config.controls)
    (model / "config.pbtxt").write_text(to_pbtxt(model_configuration(config, active, chosen, signature)))
    return repository


def _missing(variant: Variant, active: int) -> None:
    message = f"variant {variant.name} (version {variant.version}): {variant.path} does not exist"
    if variant.version == active:
        raise ConfigError(f"variants: {message}, and it is the active one")
    log("variant_missing", message=message)


def model_configuration(config: ServeConfig, active: int, chosen: Settings, signature: Signature) -> Configuration:
    """The model's configuration in the JSON form of Triton's ModelConfig message.

    A switch is a load with this configuration, whose `version_policy` names another version; other settings are a load
    with other sections of it.
    """
    states = [[state.input, state.output] for state in config.states]
    return {
        "name": config.model,
        "backend": "python",
        "input": list(signature.inputs),
        "output": list(signature.outputs),
        "version_policy": {"specific": {"versions": [active]}},
        **chosen.model_config_sections,
        "parameters": {
            "threads": {"string_value": str(chosen.threads)},
            "sha256": {"string_value": json.dumps(chosen.sha256, sort_keys=True)},
            "warmup": {"string_value": _warmup(chosen)},
            "settings": {"string_value": f"{config.base}.{chosen.digest}"},
            "states": {"string_value": json.dumps(states)},
            "source_directory": {"string_value": str(Path(trimtab_workloads.__file__).parent.parent)},
        },
    }


def _warmup(chosen: Settings) -> str:
    # The operator writes the same text: a server that is reloaded with what it has is then not loaded anew.
    return json.dumps(chosen.warmup.model_dump() if chosen.warmup else None, sort_keys=True)


def to_pbtxt(configuration: Configuration) -> str:
    """The configuration as protobuf text, for config.pbtxt.

    Raises:
        ConfigError: It is no ModelConfig: a section or a field that Triton does not know, or a value of another type.
    """
    try:
        return text_format.MessageToString(json_format.ParseDict(configuration, ModelConfig()))
    except json_format.ParseError as error:
        raise ConfigError(f"settingsFile: modelConfig: {error}") from error
