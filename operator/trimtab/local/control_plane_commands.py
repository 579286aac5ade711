"""The command lines of etcd, the apiserver, the controller manager and the scheduler."""

from pathlib import Path

from trimtab.local.layout import ControlPlaneLayout

# The clients' own limits, and not the work, would decide how fast hundreds of simulated pods get going.
_CLIENT_LIMITS = ["--kube-api-qps=1000", "--kube-api-burst=2000"]


def etcd(layout: ControlPlaneLayout) -> list[str]:
    """Return the command of etcd; nothing is synced to disk, as nothing outlives the cluster."""
    client = f"http://127.0.0.1:{layout.etcd_port}"
    peer = f"http://127.0.0.1:{layout.etcd_peer_port}"
    return [
        str(layout.programs["etcd"]),
        "--name=local",
        f"--data-dir={layout.data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=local={peer}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=4294967296",
        "--auto-compaction-retention=5m",
        "--log-level=warn",
    ]


def apiserver(layout: ControlPlaneLayout, *extra: str) -> list[str]:
    """Return the command of the apiserver.

    Args:
        layout: Files and addresses.
        extra: More flags.
    """
    command = [
        str(layout.programs["kube-apiserver"]),
        f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
        f"--bind-address={layout.address}",
        f"--secure-port={layout.port}",
        f"--service-cluster-ip-range={layout.services}",
        f"--tls-cert-file={layout.serving.certificate}",
        f"--tls-private-key-file={layout.serving.key}",
        f"--client-ca-file={layout.authority.certificate}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        "--profiling=false",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={layout.service_account_key}",
        f"--service-account-signing-key-file={layout.service_account_key}",
        f"--kubelet-certificate-authority={layout.authority.certificate}",
        f"--kubelet-client-certificate={layout.kubelet_client.certificate}",
        f"--kubelet-client-key={layout.kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        *extra,
    ]
    if layout.audit_policy is not None:
        command += [f"--audit-policy-file={layout.audit_policy}", f"--audit-log-path={layout.audit_log}"]
    return command


def controller_manager(layout: ControlPlaneLayout, kubeconfig: Path) -> list[str]:
    """Return the command of the controller manager."""
    return [
        str(layout.programs["kube-controller-manager"]),
        f"--kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        f"--root-ca-file={layout.authority.certificate}",
        f"--service-account-private-key-file={layout.service_account_key}",
        "--use-service-account-credentials=true",
        "--concurrent-job-syncs=10",
        *_CLIENT_LIMITS,
    ]


def scheduler(layout: ControlPlaneLayout, kubeconfig: Path) -> list[str]:
    """Return the command of the scheduler."""
    return [
        str(layout.programs["kube-scheduler"]),
        f"--kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        *_CLIENT_LIMITS,
    ]
