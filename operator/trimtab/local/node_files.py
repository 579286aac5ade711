"""The configuration files of containerd, the network plugins, the kubelet, kube-proxy and the cluster's DNS."""

import json
from pathlib import Path
from typing import Any

import yaml

from trimtab.local.certificates import KeyPair
from trimtab.local.cgroups import group_name
from trimtab.local.network import Subnet

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "docker.io/trimtab/pause:1"


def containerd(root: Path, state: Path, socket: str, network_configuration: Path | None) -> str:
    """Return containerd's configuration.

    Args:
        root: Where contents and layers are.
        state: Where running containers are.
        socket: Where it listens.
        network_configuration: The folder with the network's configuration; without it, no pods can run.
    """
    disabled = [f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs")]
    disabled += ["io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
    if network_configuration is None:
        disabled.append("io.containerd.grpc.v1.cri")
    lines = [
        "version = 2",
        f'root = "{root}"',
        f'state = "{state}"',
        f"disabled_plugins = {json.dumps(disabled)}",
        "[grpc]",
        f'address = "{socket}"',
        '[plugins."io.containerd.internal.v1.opt"]',
        f'path = "{root}/opt"',
    ]
    if network_configuration is not None:
        lines += [
            '[plugins."io.containerd.grpc.v1.cri"]',
            f'sandbox_image = "{PAUSE_IMAGE}"',
            # Where lowering oom_score_adj is not permitted, every sandbox would fail otherwise.
            "restrict_oom_score_adj = true",
            '[plugins."io.containerd.grpc.v1.cri".cni]',
            f'bin_dir = "{cni_plugins()}"',
            f'conf_dir = "{network_configuration}"',
            '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]',
            'runtime_type = "io.containerd.runc.v2"',
            '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]',
            "SystemdCgroup = false",
        ]
    return "\n".join(lines) + "\n"


def cni_plugins() -> Path:
    """Return where the network plugins are: Debian's place, or that of their own releases."""
    debian = Path("/usr/lib/cni")
    return debian if (debian / "bridge").exists() else Path("/opt/cni/bin")


def network_plugins(subnet: Subnet, leases: Path) -> str:
    """Return the configuration of the pods' network: a bridge on the node.

    Args:
        subnet: The cluster's addresses.
        leases: Where the handed out addresses are noted.
    """
    ipam = {
        "type": "host-local",
        "dataDir": str(leases),
        "ranges": [[{"subnet": subnet.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, portmap]}, indent=2)


def kubelet(cluster: str, subnet: Subnet, run: Path, authority: Path, serving: KeyPair) -> str:
    """Return the kubelet's configuration.

    Args:
        cluster: The cluster's name.
        subnet: The cluster's addresses.
        run: The cluster's directory.
        authority: The certificate of the authority that clients are checked against.
        serving: What the kubelet shows.
    """
    return _yaml(
        "kubelet.config.k8s.io/v1beta1",
        "KubeletConfiguration",
        address=subnet.node,
        authentication={
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        authorization={"mode": "Webhook"},
        tlsCertFile=str(serving.certificate),
        tlsPrivateKeyFile=str(serving.key),
        containerRuntimeEndpoint=f"unix://{CONTAINERD_SOCKET}",
        cgroupDriver="cgroupfs",
        cgroupRoot=f"/{group_name(cluster)}",
        failCgroupV1=False,
        enforceNodeAllocatable=[],
        localStorageCapacityIsolation=False,
        failSwapOn=False,
        clusterDomain="cluster.local",
        clusterDNS=[subnet.node],
        resolvConf=str(run / "resolv.conf"),
        podLogsDir=str(run / "pod-logs"),
        volumePluginDir=str(run / "volume-plugins"),
        # The machine's disk is its user's: the node neither evicts pods nor deletes images when it is nearly full.
        evictionHard={"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        imageGCHighThresholdPercent=100,
        imageGCLowThresholdPercent=99,
        maxPods=250,
        makeIPTablesUtilChains=False,
        healthzPort=0,
        kubeAPIQPS=200,
        kubeAPIBurst=400,
        serializeImagePulls=False,
        syncFrequency="5s",
        nodeStatusReportFrequency="30s",
        shutdownGracePeriod="0s",
    )


def kube_proxy(cluster: str, subnet: Subnet, kubeconfig: Path) -> str:
    """Return kube-proxy's configuration; it leaves the kernel's connection tracking as it is."""
    return _yaml(
        "kubeproxy.config.k8s.io/v1alpha1",
        "KubeProxyConfiguration",
        mode="nftables",
        bindAddress=subnet.node,
        hostnameOverride=cluster,
        clusterCIDR=subnet.pods,
        clientConnection={"kubeconfig": str(kubeconfig)},
        healthzBindAddress="127.0.0.1:10256",
        metricsBindAddress="127.0.0.1:10249",
        nftables={"minSyncPeriod": "100ms"},
        conntrack={
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    )


def corefile(subnet: Subnet, kubeconfig: Path) -> str:
    """Return the configuration of the cluster's DNS: its own names, and a quick no to all others.

    The cluster cannot reach the outside, so names from there would be of no use.
    """
    return f"""\
cluster.local in-addr.arpa {{
    bind {subnet.node}
    errors
    ready {subnet.node}:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
}}
. {{
    bind {subnet.node}
    errors
    template IN ANY . {{
        rcode NXDOMAIN
    }}
}}
"""


def _yaml(api_version: str, kind: str, **fields: Any) -> str:
    return str(yaml.safe_dump({"apiVersion": api_version, "kind": kind, **fields}, sort_keys=False))
