"""Writes a new cluster's keys and files, and says what its supervisor is to run."""

import json
from pathlib import Path

from trimtab.local import control_plane_commands, network, node_files
from trimtab.local.certificates import Authority, KeyPair, write_service_account_key
from trimtab.local.kubeconfig import write_kubeconfig
from trimtab.local.layout import ControlPlaneLayout
from trimtab.local.network import Subnet
from trimtab.local.paths import PACKAGE, ClusterPaths
from trimtab.local.supervisor import ComponentSpec, Spec

API_PORT = 6443
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a kubelet sets at its start, for the whole machine. It finds these values already there, in files that only the
# cluster's own mount namespace shows it, and so leaves the machine's alone.
_KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_NODE_LABELS = "node.kubernetes.io/instance-type=local,topology.kubernetes.io/zone=local"
CONTAINERD = "/usr/bin/containerd"
# Places that programs insist on; the cluster mounts its own over them, where nobody else sees it.
FIXED_PLACES = (Path("/var/lib/cni"), Path("/var/lib/kubelet"))
VOLUMES = [f"volume-{index}" for index in range(8)]


class SpecWriter:
    """Writes everything that one cluster starts from."""

    def __init__(self, paths: ClusterPaths, subnet: Subnet, programs: dict[str, Path]) -> None:
        """Describe the cluster; `write` does the work.

        Args:
            paths: Where its files go.
            subnet: Its addresses.
            programs: Program name to where it is.
        """
        self._paths = paths
        self._subnet = subnet
        self._programs = programs

    def write(self) -> Path:
        """Write keys, configuration files and the supervisor's specification; return the latter."""
        paths, run = self._paths, self._paths.run
        for folder in ("kubelet", "cni/net.d", "sysctl", "volume-plugins", "pod-logs", "config"):
            (run / folder).mkdir(parents=True, exist_ok=True)
        for volume in VOLUMES:
            (run / "volumes" / volume).mkdir(parents=True)
            # Containers run as whoever they like; fsGroup does not reach host paths.
            (run / "volumes" / volume).chmod(0o1777)
        authority = Authority(paths.pki)
        layout = self._control_plane(authority)
        self._write_kubeconfig(authority, layout, "admin", "admin", ["system:masters"], paths.kubeconfig)
        self._write_node_files(authority, layout)
        spec = Spec(
            environment={"PATH": _SYSTEM_PATH, "HOME": str(run)},
            setup=self._setup(),
            components=self._components(layout),
        )
        target = run / "supervisor.json"
        target.write_text(json.dumps(spec, indent=1))
        return target

    def _control_plane(self, authority: Authority) -> ControlPlaneLayout:
        subnet = self._subnet
        names = [subnet.node, subnet.first_service, "127.0.0.1", "kubernetes.default.svc", "kubernetes.default"]
        return ControlPlaneLayout(
            programs=self._programs,
            data=self._paths.run / "etcd",
            authority=authority.pair,
            serving=authority.issue("apiserver", "kube-apiserver", addresses=names),
            kubelet_client=authority.issue("kubelet-client", "kube-apiserver"),
            service_account_key=write_service_account_key(authority.directory),
            address=subnet.node,
            port=API_PORT,
            etcd_port=2379,
            etcd_peer_port=2380,
            services=subnet.services,
            audit_policy=PACKAGE / "manifests" / "audit-policy.yaml",
            audit_log=self._paths.audit_log,
        )

    def _write_kubeconfig(
        self,
        authority: Authority,
        layout: ControlPlaneLayout,
        stem: str,
        user: str,
        groups: list[str],
        path: Path | None = None,
    ) -> KeyPair:
        pair = authority.issue(stem, user, groups, addresses=[self._subnet.node])
        write_kubeconfig(
            path or self._component_kubeconfig(stem),
            context=f"trimtab-{self._paths.name}",
            server=layout.server,
            authority=authority.pair.certificate,
            client=pair,
        )
        return pair

    def _component_kubeconfig(self, stem: str) -> Path:
        return self._paths.pki / f"{stem}.kubeconfig"

    def _write_node_files(self, authority: Authority, layout: ControlPlaneLayout) -> None:
        name, subnet, run = self._paths.name, self._subnet, self._paths.run
        issue = self._write_kubeconfig
        kubelet_pair = issue(authority, layout, "kubelet", f"system:node:{name}", ["system:nodes"])
        issue(authority, layout, "kube-proxy", "system:kube-proxy", [])
        issue(authority, layout, "controller-manager", "system:kube-controller-manager", [])
        issue(authority, layout, "scheduler", "system:kube-scheduler", [])
        issue(authority, layout, "dns", "trimtab-local-dns", [])
        issue(authority, layout, "kwok", "trimtab-local-kwok", ["system:masters"])
        files = {
            "config/containerd.toml": node_files.containerd(
                self._paths.containerd, Path("/run/containerd"), node_files.CONTAINERD_SOCKET, run / "cni/net.d"
            ),
            "cni/net.d/10-pods.conflist": node_files.network_plugins(subnet, run / "cni/leases"),
            "config/kubelet.yaml": node_files.kubelet(name, subnet, run, authority.pair.certificate, kubelet_pair),
            "config/kube-proxy.yaml": node_files.kube_proxy(name, subnet, self._component_kubeconfig("kube-proxy")),
            "config/Corefile": node_files.corefile(subnet, self._component_kubeconfig("dns")),
            "resolv.conf": f"nameserver {subnet.node}\n",
        }
        for file_name, content in files.items():
            (run / file_name).write_text(content)

    def _setup(self) -> list[list[str]]:
        """What the supervisor does first: mounts of its own that hide the machine's, and its end of the link."""
        tmpfs = ["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs"]
        commands = [["mount", "--make-rshared", "/"]]
        commands += [[*tmpfs, place] for place in ("/run", "/var/log", *map(str, FIXED_PLACES))]
        for setting, value in _KERNEL_SETTINGS.items():
            stand_in = self._paths.run / "sysctl" / setting.replace("/", ".")
            stand_in.write_text(f"{value}\n")
            if Path("/proc/sys", setting).exists():
                commands.append(["mount", "--bind", str(stand_in), f"/proc/sys/{setting}"])
        return commands + network.inside_commands(self._subnet)

    def _components(self, layout: ControlPlaneLayout) -> list[ComponentSpec]:
        run, subnet, programs = self._paths.run, self._subnet, self._programs
        api = f"{subnet.node}:{API_PORT}"

        def component(name: str, command: list[str], *gates: str) -> ComponentSpec:
            return {
                "name": name,
                "command": command,
                "log": str(self._paths.logs / f"{name}.log"),
                "gates": list(gates),
            }

        kubelet = [
            str(programs["kubelet"]),
            f"--config={run}/config/kubelet.yaml",
            f"--kubeconfig={self._component_kubeconfig('kubelet')}",
            f"--root-dir={run}/kubelet",
            f"--node-ip={subnet.node}",
            f"--hostname-override={self._paths.name}",
            f"--node-labels={_NODE_LABELS}",
        ]
        kwok = [
            str(programs["kwok"]),
            f"--kubeconfig={self._component_kubeconfig('kwok')}",
            "--manage-nodes-with-label-selector=type=kwok",
            "--node-lease-duration-seconds=40",
            f"--node-ip={network.SIMULATED_NODE}",
            f"--cidr={network.SIMULATED_PODS}",
            *(f"--config={path}" for path in sorted((PACKAGE / "kwok").glob("*.yaml"))),
        ]
        commands = control_plane_commands
        return [
            component("etcd", commands.etcd(layout)),
            component("kube-apiserver", commands.apiserver(layout), "127.0.0.1:2379"),
            component(
                "kube-controller-manager",
                commands.controller_manager(layout, self._component_kubeconfig("controller-manager")),
                api,
            ),
            component("kube-scheduler", commands.scheduler(layout, self._component_kubeconfig("scheduler")), api),
            component("containerd", [CONTAINERD, "--config", f"{run}/config/containerd.toml"]),
            component("kubelet", kubelet, api, node_files.CONTAINERD_SOCKET),
            component("kube-proxy", [str(programs["kube-proxy"]), f"--config={run}/config/kube-proxy.yaml"], api),
            component("coredns", [str(programs["coredns"]), "-conf", f"{run}/config/Corefile"], api),
            component("kwok", kwok, api),
        ]
