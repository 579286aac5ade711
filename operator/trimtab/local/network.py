"""A cluster's addresses, and the one link and two routes that lead to it from the host."""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.local.errors import LocalError
from trimtab.local.process import run, succeeds

# Of 10.0.0.0/8, the upper part: the lower one is what home and company networks use.
_CANDIDATES = range(201, 251)
# What simulated nodes and pods are said to have: addresses that are nobody's (RFC 2544), and here lead nowhere. A
# simulated node must not have the real one's, or the real kubelet would be asked in its name and counted twice.
_SIMULATED = "198.18.0.0/15"
SIMULATED_NODE = "198.18.0.1"
SIMULATED_PODS = "198.19.0.0/16"


@dataclass(frozen=True)
class Subnet:
    """The /16 of one cluster.

    Attributes:
        index: The second byte of its addresses.
    """

    index: int

    @property
    def whole(self) -> ipaddress.IPv4Network:
        """All of it."""
        return ipaddress.IPv4Network(f"10.{self.index}.0.0/16")

    @property
    def host(self) -> str:
        """The host's end of the link."""
        return f"10.{self.index}.0.1"

    @property
    def node(self) -> str:
        """The node: the apiserver, the kubelet and the cluster's DNS answer here."""
        return f"10.{self.index}.0.2"

    @property
    def pods(self) -> str:
        """Where pods get their addresses from."""
        return f"10.{self.index}.64.0/18"

    @property
    def services(self) -> str:
        """Where Services get their addresses from."""
        return f"10.{self.index}.128.0/18"

    @property
    def first_service(self) -> str:
        """The address of the Service `kubernetes`: the apiserver, as pods see it."""
        return f"10.{self.index}.128.1"


def link_name(cluster: str) -> str:
    """Return the name of the host's end of the cluster's link."""
    return f"tt-{cluster}"


def free_subnet(taken: set[int]) -> Subnet:
    """Return the first subnet that neither another cluster has nor the host routes anywhere.

    Args:
        taken: The indexes that other clusters hold.

    Raises:
        LocalError: If all are taken.
    """
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    used = [ipaddress.IPv4Network(_destination(route), strict=False) for route in routes if _destination(route)]
    for index in _CANDIDATES:
        subnet = Subnet(index)
        # A route to everything 10.x is a company network behind a gateway: a more specific one of ours is fine.
        if index not in taken and not any(net.prefixlen >= 9 and net.overlaps(subnet.whole) for net in used):
            return subnet
    raise LocalError("no free subnet between 10.201.0.0/16 and 10.250.0.0/16: stop a cluster (trimtab local down)")


def _destination(route: dict[str, Any]) -> str:
    destination = str(route.get("dst", ""))
    return destination if destination[:1].isdigit() else ""


def connect(cluster: str, subnet: Subnet, pid: int) -> None:
    """Lead a link from the host into the network namespace of a process, and routes to pods and Services.

    Raises:
        LocalError: If the kernel refuses.
    """
    link = link_name(cluster)
    run(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
    run(["ip", "address", "add", f"{subnet.host}/30", "dev", link])
    run(["ip", "link", "set", link, "up"])
    for destination in (subnet.pods, subnet.services):
        run(["ip", "route", "add", destination, "via", subnet.node, "dev", link])


def inside_commands(subnet: Subnet) -> list[list[str]]:
    """Return what sets up the other end, to be run in the namespace."""
    return [
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{subnet.node}/30", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
        ["ip", "route", "add", "default", "via", subnet.host],
        # An answer at once instead of a time-out.
        ["ip", "route", "add", "unreachable", _SIMULATED],
    ]


def disconnect(cluster: str) -> None:
    """Remove the host's end of the link, and with it its address and routes, if it is still there."""
    link = link_name(cluster)
    there = Path("/sys/class/net", link).exists
    # It may go by itself at this moment, with the namespace at its other end.
    if there() and not succeeds(["ip", "link", "delete", link]) and there():
        run(["ip", "link", "delete", link])
