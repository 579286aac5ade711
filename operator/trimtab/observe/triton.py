"""The edge to Triton: which version of its model each serving pod answers with, and with which settings."""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

# Pods are reached directly whatever the environment says of proxies, and a call must not wait for a slow reconnect.
_CHANNEL = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)]


@dataclass(frozen=True)
class Server:
    """A Triton server, and the model asked for."""

    ip: str
    model: str


@dataclass(frozen=True)
class Loaded:
    """What a server says of its model."""

    version: int | None = None
    """The version that answers; None when the server cannot be asked or none is ready."""
    settings: str = ""
    """Digests of the settings that it was loaded with; empty where the model does not say."""


class TritonVersions:
    """Asks serving pods, several at a time. Connections are kept while their pod is asked for again."""

    def __init__(self, port: int = 8001, timeout_seconds: float = 1.0, parallel: int = 16) -> None:
        self._port, self._timeout_seconds = port, timeout_seconds
        self._executor = ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="triton")
        self._clients: dict[str, InferenceServerClient] = {}

    def loaded(self, servers: Iterable[Server]) -> dict[Server, Loaded]:
        """What each server answers with."""
        asked = list(dict.fromkeys(servers))
        self._keep({server.ip for server in asked})
        return dict(zip(asked, self._executor.map(self._ask, asked), strict=True))

    def close(self) -> None:
        """Close all connections and end the threads."""
        self._executor.shutdown()
        self._keep(set())

    def _keep(self, ips: set[str]) -> None:
        for ip in self._clients.keys() - ips:
            self._clients.pop(ip).close()
        for ip in ips - self._clients.keys():
            self._clients[ip] = InferenceServerClient(address(ip, self._port), channel_args=_CHANNEL)

    def _ask(self, server: Server) -> Loaded:
        client = self._clients[server.ip]
        try:
            metadata = client.get_model_metadata(server.model, client_timeout=self._timeout_seconds)
            config = client.get_model_config(server.model, client_timeout=self._timeout_seconds).config
        except InferenceServerException:
            # Starting, stopping or unreachable: what it serves is not known, and the planner is told just that.
            return Loaded()
        said = config.parameters["settings"].string_value if "settings" in config.parameters else ""
        return Loaded(newest(metadata.versions), said)


def newest(versions: Iterable[str]) -> int | None:
    """The version that answers requests that name none: the newest ready one."""
    return max((int(version) for version in versions if re.fullmatch(r"[0-9]+", version)), default=None)


def address(ip: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
