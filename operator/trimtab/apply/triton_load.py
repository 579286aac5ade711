"""One live switch of one Triton server, over gRPC."""

import json
from typing import Any, Final

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

_ASK_SECONDS: Final = 5.0
# Pods are reached directly, whatever the environment says of proxies.
_CHANNEL: Final = [("grpc.enable_http_proxy", 0)]


def with_version(config: dict[str, Any], version: int) -> str:
    """The model's configuration with the policy to serve exactly one version, as JSON for a load."""
    # Under the name that the configuration has it: beside it, `versionPolicy` would be passed over.
    return json.dumps({**config, "version_policy": {"specific": {"versions": [version]}}})


def address(ip: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def load_version(address: str, model: str, version: int, timeout_seconds: float) -> None:
    """Load one version of a model in place of the others.

    Args:
        address: Of the server's gRPC port.
        model: Name of the model.
        version: The version that shall serve.
        timeout_seconds: Longest that the load may take.

    Raises:
        InferenceServerException: when the server cannot be asked, or does not serve the version afterwards; the old
            one serves on.
    """
    client = InferenceServerClient(address, channel_args=_CHANNEL)
    try:
        answer = client.get_model_config(model, as_json=True, client_timeout=_ASK_SECONDS)
        client.load_model(model, config=with_version(answer["config"], version), client_timeout=timeout_seconds)
        served = list(client.get_model_metadata(model, client_timeout=_ASK_SECONDS).versions)
        if str(version) not in served:  # The old one may still be listed while its last requests end.
            raise InferenceServerException(f"the load went through, but versions {served} of {model} are served")
    finally:
        client.close()
