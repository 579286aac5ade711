"""Kubeconfig files, for the administrator and for the components."""

import base64
from pathlib import Path

import yaml

from trimtab.local.certificates import KeyPair


def write_kubeconfig(path: Path, *, context: str, server: str, authority: Path, client: KeyPair) -> Path:
    """Write a kubeconfig with its certificates inside, readable to this user only, and return its path.

    Args:
        path: The file to write.
        context: The name of its one context.
        server: The address of the apiserver, such as https://127.0.0.1:6443.
        authority: The certificate of the authority that signed the apiserver's.
        client: The client's certificate and key.
    """
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [
            {"name": context, "cluster": {"server": server, "certificate-authority-data": _encoded(authority)}}
        ],
        "users": [
            {
                "name": context,
                "user": {
                    "client-certificate-data": _encoded(client.certificate),
                    "client-key-data": _encoded(client.key),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))
    return path


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
