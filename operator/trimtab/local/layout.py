"""Everything that the command lines of the components refer to."""

from dataclasses import dataclass
from pathlib import Path

from trimtab.local.certificates import KeyPair


@dataclass(frozen=True)
class ControlPlaneLayout:
    """What etcd and the apiserver need to know.

    Attributes:
        programs: Program name to where it is.
        data: etcd's database.
        authority: The certificate authority that signs everybody.
        serving: The apiserver's certificate.
        kubelet_client: What the apiserver shows to kubelets.
        service_account_key: Signs and checks service account tokens.
        address: Where the apiserver listens.
        port: Its port.
        etcd_port: etcd's port for clients, on loopback.
        etcd_peer_port: etcd's port for peers, of which there are none; on loopback.
        services: The subnet of Services.
        audit_policy: What is logged of requests, if anything.
        audit_log: Where to.
    """

    programs: dict[str, Path]
    data: Path
    authority: KeyPair
    serving: KeyPair
    kubelet_client: KeyPair
    service_account_key: Path
    address: str
    port: int
    etcd_port: int
    etcd_peer_port: int
    services: str
    audit_policy: Path | None = None
    audit_log: Path | None = None

    @property
    def server(self) -> str:
        """The apiserver's address as a URL."""
        return f"https://{self.address}:{self.port}"
