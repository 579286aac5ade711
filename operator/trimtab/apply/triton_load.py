"""One live switch of one Triton server, over gRPC."""

import json
from typing import Any, Final

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

_ASK_SECONDS: Final = 5.0
_NOT_POLLED: Final = "failed to poll from model repository"
_CHOSEN: Final = (
    "max_batch_size", "dynamic_batching", "sequence_batching", "instance_group", "response_cache",
)  # fmt: skip
"""Sections of ModelConfig that settings choose; what they leave out is gone."""
# Pods are reached directly, whatever the environment says of proxies.
_CHANNEL: Final = [("grpc.enable_http_proxy", 0)]


def with_version(config: dict[str, Any], version: int) -> str:
    """The model's configuration with the policy to serve exactly one version, as JSON for a load."""
    # Under the name that the configuration has it: beside it, `versionPolicy` would be passed over.
    return json.dumps({**config, "version_policy": {"specific": {"versions": [version]}}})


def with_settings(config: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The model's configuration with other settings.

    Args:
        config: The configuration that the server has, as JSON of ModelConfig.
        settings: `modelConfig` (sections that replace the server's), `threads`, `warmup`,
            `sha256` (of each version's file) and `digest`.
    """
    kept = {name: section for name, section in config.items() if name not in _CHOSEN}
    base, _, _ = config["parameters"]["settings"]["string_value"].partition(".")
    parameters = {
        **config["parameters"],
        "threads": {"string_value": str(settings["threads"])},
        "sha256": {"string_value": json.dumps(settings["sha256"], sort_keys=True)},
        "warmup": {"string_value": json.dumps(settings["warmup"], sort_keys=True)},
        "settings": {"string_value": f"{base}.{settings['digest']}"},
    }
    return {**kept, **settings["modelConfig"], "parameters": parameters}


def address(ip: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def load_version(address: str, model: str, version: int, timeout_seconds: float, settings: str = "") -> None:
    """Load one version of a model in place of the others.

    Args:
        address: Of the server's gRPC port.
        model: Name of the model.
        version: The version that shall serve.
        timeout_seconds: Longest that the load may take.
        settings: JSON of what to load it with, also how much the server logs; empty keeps what there is.

    Raises:
        InferenceServerException: when the server cannot be asked, or does not serve the version afterwards; the old
            one serves on.
    """
    client = InferenceServerClient(address, channel_args=_CHANNEL)
    try:
        answer = client.get_model_config(model, as_json=True, client_timeout=_ASK_SECONDS)
        config = answer["config"]
        if settings:
            chosen = json.loads(settings)
            config = with_settings(config, chosen)
            client.update_log_settings({"log_verbose_level": chosen["logVerbose"]}, client_timeout=_ASK_SECONDS)
        _load(client, model, with_version(config, version), timeout_seconds)
        served = list(client.get_model_metadata(model, client_timeout=_ASK_SECONDS).versions)
        if str(version) not in served:  # The old one may still be listed while its last requests end.
            raise InferenceServerException(f"the load went through, but versions {served} of {model} are served")
    finally:
        client.close()


def _load(client: InferenceServerClient, model: str, config: str, timeout_seconds: float) -> None:
    try:
        client.load_model(model, config=config, client_timeout=timeout_seconds)
    except InferenceServerException as error:
        if _NOT_POLLED in error.message():
            # A configuration that breaks Triton's own rules: which one, it says only in its log.
            text = f"{error.message()}: Triton refuses the configuration, the log of the pod's container says why"
            raise InferenceServerException(text, error.status()) from error
        raise
