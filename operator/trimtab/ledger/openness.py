"""Which cells of an account are not closed yet: a sample that belongs to them is still to come, or was lost.

A cell is closed when every series that it is worked out from has samples on both sides of it, or has ended. That it
ended is told by the scrapes that went on without it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from trimtab.ledger.cumulative import LONGEST_STEP_MS, Cumulative
from trimtab.ledger.meter import ExpectedPod, NodeMeter, PodMeter, Reading

Spans = list[tuple[int, int]]
"""Stretches of time (ms)."""

_ALWAYS = 1 << 62


class Openness:
    """What of a reading is not closed."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._nodes = {node.node: node for node in reading.nodes}
        self._names = {name: frozenset(names) for name, names in reading.expected_nodes.items()}
        self._everywhere = self._dark()
        self._by_node = {node.node: self._node(node) for node in reading.nodes}

    def of_account(self, key: str, pods: Iterable[PodMeter]) -> Spans:
        """Open stretches of a workload's account."""
        spans = list(self._everywhere)
        expected = {one.pod: one for one in self._reading.expected.get(key, ())}
        seen = set()
        for pod in pods:
            seen.add(pod.pod)
            spans += self._pod(pod, expected.get(pod.pod))
            spans += self._by_node.get(pod.node, ())
        for one in expected.values():
            if one.pod not in seen:
                spans.append((one.started, _ALWAYS))
        return spans

    def of_class(self, name: str) -> Spans:
        """Open stretches of the account of a class's nodes."""
        spans = list(self._everywhere)
        for node in self._reading.nodes:
            if node.hardware_class == name:
                spans += self._by_node[node.node]
        if not self._names.get(name, frozenset()) <= self._nodes.keys():
            spans.append((self._reading.start, _ALWAYS))  # A ready node of which nothing was scraped.
        return spans

    def holes(self, key: str, pods: Sequence[PodMeter]) -> Spans:
        """Holes in the series that an account is worked out from, whose both ends are known."""
        series = [one for pod in pods for one in (pod.cpu, pod.energy, pod.work) if one is not None]
        names = {pod.node for pod in pods}
        of_class = key.removeprefix("HardwareClass/")
        for node in self._reading.nodes:
            if node.node in names or (of_class != key and node.hardware_class == of_class):
                series += node.meters
        if self._reading.pulse is not None:
            series.append(self._reading.pulse)
        return sorted({hole for one in series for hole in one.holes()})

    def _dark(self) -> Spans:
        """Where nothing at all was scraped, and it cannot be told yet what was before or came after."""
        pulse, reading = self._reading.pulse, self._reading
        if pulse is None:
            return [(reading.start, _ALWAYS)]
        spans = [(pulse.last, _ALWAYS)]
        if pulse.first - reading.start > LONGEST_STEP_MS and not reading.revisit:
            spans.append((reading.start, pulse.first))
        return spans

    def _goes_on(self, series: Cumulative, node: NodeMeter | None) -> bool:
        """Whether the node was scraped for long enough after a series' last sample to say that the series ended."""
        return node is not None and node.cpu is not None and node.cpu.last > self._next_due(series)

    def _elsewhere(self, series: Cumulative) -> bool:
        """The same of anything that was scraped."""
        pulse = self._reading.pulse
        return pulse is not None and pulse.last > self._next_due(series)

    def _next_due(self, series: Cumulative) -> int:
        """When the next sample of a series would have come at the latest: slow exporters are given their time."""
        return series.last + self._reading.patience_ms + 2 * series.longest_step()

    def _pod(self, pod: PodMeter, expected: ExpectedPod | None) -> Spans:
        spans: Spans = []
        for series in (pod.cpu, pod.energy, pod.work):
            if series is None:
                continue
            ended = self._goes_on(series, self._nodes.get(pod.node))
            ended = ended or (expected is None and self._elsewhere(series))
            if not ended:
                spans.append((series.last, _ALWAYS))
            late = series.first - self._reading.start > LONGEST_STEP_MS
            born_here = pod.started is not None and pod.started >= self._reading.start
            if late and not born_here and not self._reading.revisit:
                spans.append((self._reading.start, series.first))
        return spans

    def _node(self, node: NodeMeter) -> Spans:
        """Of the node's own meters, all of which its pods' shares are worked out from."""
        spans: Spans = []
        here = node.node in self._names.get(node.hardware_class, frozenset())
        for meter in node.meters:
            # A node that is gone takes its meters with it; one whose exporter was taken away goes on without.
            gone = self._elsewhere(meter) and (not here or self._goes_on(meter, node))
            if not gone:
                spans.append((meter.last, _ALWAYS))
            if meter.first - self._reading.start > LONGEST_STEP_MS and not self._reading.revisit:
                spans.append((self._reading.start, meter.first))
        return spans


def flags(spans: Spans, edges: Sequence[int]) -> list[bool]:
    """Whether each cell is touched by one of the stretches."""
    merged = sorted(spans)
    result = [False] * (len(edges) - 1)
    for start, end in merged:
        for cell in range(len(result)):
            if edges[cell] < end and start < edges[cell + 1]:
                result[cell] = True
    return result


def pods_by_account(pods: Iterable[PodMeter]) -> Mapping[str, list[PodMeter]]:
    """Pods of each workload."""
    grouped: dict[str, list[PodMeter]] = defaultdict(list)
    for pod in pods:
        grouped[pod.account].append(pod)
    return grouped
