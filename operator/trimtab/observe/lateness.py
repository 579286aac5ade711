"""How many requests of each serving workload were later than its target: minute by minute, over the last hour.

One query for all workloads gives what their servers told in some past minutes; each minute is read once. After a
restart of the operator the hour is read again, some minutes in each pass. What a minute is judged by is the best that
its server tells, pod by pod:

- buckets of Triton's latency histogram, from request to first response. Triton has it for decoupled models (those that
  stream, as language models do), with `--metrics-config=histogram_latencies=true`;
- quantiles of its latency summary, over a sliding window of a minute (`summary_latencies=true`);
- the mean times in queue and at work, which it always tells.

A request that the server rejected, its queue being full or its time in it too long, was not served in time. Those that
failed otherwise say nothing of latency, and do not count.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.api.serving import LatenessSource
from trimtab.observe.facts import SERVING
from trimtab.observe.prometheus import seconds
from trimtab.observe.series import Series, clean
from trimtab.plan.serving.lateness import share_above_buckets, share_above_means, share_above_quantiles
from trimtab.plan.serving_facts import LateShare
from trimtab.plan.snapshot import ServingState

HOUR_SECONDS = 3600.0
_LEAST_STEP_SECONDS = 60.0
"""Triton's summaries are over a minute."""
_MOST_STEPS_A_READ = 5
"""At 1,000 services of three pods, so many are 130,000 rows: half of the time that a query may take."""
_PODS = "namespace, workload, model, version, pod"
_FIGURE = "figure"
_ANSWERED, _REJECTED, _QUEUE, _COMPUTE, _QUANTILE, _BUCKET = (
    "answered", "rejected", "queue", "compute", "quantile", "bucket",
)  # fmt: skip


def step_seconds(scrape_interval_seconds: float) -> float:
    """Length of what is read as one: a minute, or several scrapes where that is more."""
    return max(_LEAST_STEP_SECONDS, 4.0 * scrape_interval_seconds)


def lateness_query(step: float, steps: int) -> str:
    """What servers told in each of the last `steps` steps: to be evaluated at the end of one.

    Each row has a label `figure`. Prometheus evaluates a subquery at whole multiples of its step.
    """
    chosen = f'workload_kind="{SERVING}",workload!=""'

    def increase(metric: str, more: str = "") -> str:
        return f"increase({metric}{{{chosen}{more}}}[{seconds(step)}])"

    compute = " + ".join(increase(f"nv_inference_compute_{part}_duration_us") for part in ("input", "infer", "output"))
    rejected = increase("nv_inference_request_failure", ',reason="REJECTED"')
    # The last reading of a server that has just gone still counts: so not the instant's.
    summary = f"last_over_time(nv_inference_request_summary_us{{{chosen}}}[{seconds(step)}])"
    rows = {
        _ANSWERED: f"sum by ({_PODS}) ({increase('nv_inference_request_success')})",
        _REJECTED: f"sum by ({_PODS}) ({rejected})",
        _QUEUE: f"sum by ({_PODS}) ({increase('nv_inference_queue_duration_us')})",
        _COMPUTE: f"sum by ({_PODS}) ({compute})",
        _QUANTILE: f"max by ({_PODS}, quantile) ({summary})",
        _BUCKET: f"sum by ({_PODS}, le) ({increase('nv_inference_first_response_histogram_ms_bucket')})",
    }
    joined = " or ".join(f'label_replace({row}, "{_FIGURE}", "{name}", "", "")' for name, row in rows.items())
    return f"({joined})[{seconds(step * steps)}:{seconds(step)}]"


@dataclass
class Minute:
    """What is known of one workload's requests in one step."""

    requests: float = 0.0
    """Answered or rejected."""
    late: float = 0.0
    by_source: dict[LatenessSource, float] = field(default_factory=lambda: defaultdict(float))
    """Requests by what they were judged by."""


@dataclass
class _Server:
    """What one version of the model in one pod told of one step."""

    figures: dict[str, float] = field(default_factory=dict)
    quantiles: dict[float, float] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)


def read_minutes(
    series: Iterable[Series], model: str, bound_milliseconds: float, begin_seconds: float
) -> dict[float, Minute]:
    """One workload's requests in each step that something is known of.

    Args:
        series: Its rows of the query.
        model: The model that the target is for.
        bound_milliseconds: What is late.
        begin_seconds: When the workload was made (unix time): steps before are a namesake's.

    Returns:
        By the end of the step, in unix time.
    """
    servers: dict[float, dict[tuple[str, str], _Server]] = defaultdict(lambda: defaultdict(_Server))
    for one in (s for s in series if s.label("model") == model):
        for at, value in one.points:
            if at > begin_seconds:
                _note(servers[at][one.label("pod"), one.label("version")], one, value)
    minutes = {}
    for at, told in servers.items():
        minute = Minute()
        for server in told.values():
            _count(minute, server, bound_milliseconds)
        minutes[at] = minute
    return minutes


def _note(server: _Server, series: Series, value: float) -> None:
    figure = series.label(_FIGURE)
    if figure == _QUANTILE:
        level = clean(series.label("quantile"))
        if level is not None and 0.0 < level < 1.0:
            server.quantiles[level] = value
    elif figure == _BUCKET:
        edge = series.label("le")
        number = math.inf if edge == "+Inf" else clean(edge)
        if number is not None:
            server.buckets[number] = value
    else:
        server.figures[figure] = value


def _count(minute: Minute, server: _Server, bound_milliseconds: float) -> None:
    figures = server.figures
    rejected, answered = figures.get(_REJECTED, 0.0), figures.get(_ANSWERED, 0.0)
    share, source = share_above_buckets(server.buckets, bound_milliseconds), LatenessSource.HISTOGRAM
    if share is not None:
        answered = server.buckets[math.inf]
    elif answered > 0.0:
        share, source = share_above_quantiles(server.quantiles, bound_milliseconds * 1000.0), LatenessSource.SUMMARY
        if share is None:
            wait, work = (figures.get(name, 0.0) / answered / 1000.0 for name in (_QUEUE, _COMPUTE))
            share, source = share_above_means(wait, work, bound_milliseconds), LatenessSource.ESTIMATE
    minute.requests += answered + rejected
    minute.late += answered * (share or 0.0) + rejected
    if answered > 0.0:
        minute.by_source[source] += answered


def late_share(minutes: Iterable[Minute], step: float) -> LateShare | None:
    """The share over an hour, each request counting the same.

    Returns:
        None when no request is known of.
    """
    known = list(minutes)
    requests = sum(m.requests for m in known)
    by_source: dict[LatenessSource, float] = defaultdict(float)
    for minute in known:
        for source, count in minute.by_source.items():
            by_source[source] += count
    if requests <= 0.0:
        return None
    late = sum(m.late for m in known)
    return LateShare(
        share=min(1.0, late / requests),
        known_share=min(1.0, len(known) * step / HOUR_SECONDS),
        # Where all were rejected nothing had to be judged.
        source=max(by_source, key=lambda s: by_source[s], default=LatenessSource.HISTOGRAM),
    )


@dataclass(frozen=True)
class Read:
    """Steps to be read by one query."""

    end_seconds: float
    """End of the last (unix time): when to evaluate."""
    steps: int


class LatenessMemory:
    """What was read of the last hour, so that nothing is read twice. For one thread at a time."""

    def __init__(self, step: float) -> None:
        self.step = step
        self._read: dict[float, dict[str, Minute]] = {}
        """By the end of each step that was read, the workloads of which something was known."""
        self._targets: dict[str, tuple[str, str, int]] = {}
        self._not_before = -math.inf
        self._most_steps = _MOST_STEPS_A_READ

    def due(self, states: Sequence[ServingState], now_seconds: float, lag_seconds: float) -> Read | None:
        """What to read next; None when all is read.

        A workload whose target or model is another one now has its past judged anew: the hour is read again.

        Args:
            states: All serving workloads.
            now_seconds: Unix time.
            lag_seconds: How long after an instant its samples are in Prometheus.
        """
        targets = {s.meta.key: (s.meta.uid, s.spec.model, s.spec.targets.latency.milliseconds) for s in states}
        if any(self._targets[key] != target for key, target in targets.items() if key in self._targets):
            self._read.clear()
        for minutes in self._read.values():
            for gone in self._targets.keys() - targets.keys():
                minutes.pop(gone, None)
        self._targets = targets
        last = (now_seconds - lag_seconds) // self.step * self.step
        wanted = [last - i * self.step for i in range(round(HOUR_SECONDS / self.step))]
        for old in [at for at in self._read if at < wanted[-1]]:
            del self._read[old]
        missing = [at for at in wanted if at not in self._read]
        if not missing or not states or now_seconds < self._not_before:
            return None
        # The newest first: they tell most of what is now.
        end = missing[0]
        steps = 1
        while steps < min(len(missing), self._most_steps) and missing[steps] == end - steps * self.step:
            steps += 1
        return Read(end, steps)

    def take(self, read: Read, states: Sequence[ServingState], series: Mapping[str, Sequence[Series]]) -> None:
        """Take up what a query gave.

        Args:
            read: What was asked for.
            states: All serving workloads.
            series: The rows, by `namespace/name` of the workload.
        """
        ends = [read.end_seconds - i * self.step for i in range(read.steps)]
        found: dict[float, dict[str, Minute]] = {at: {} for at in ends}
        for state in states:
            minutes = read_minutes(
                series.get(state.meta.key, ()), state.spec.model, state.spec.targets.latency.milliseconds,
                state.meta.created_at.timestamp(),
            )  # fmt: skip
            for at, minute in minutes.items():
                if at in found:
                    found[at][state.meta.key] = minute
        self._read.update(found)
        self._most_steps = min(_MOST_STEPS_A_READ, self._most_steps + 1)

    def failed(self, now_seconds: float) -> None:
        """A read gave nothing: a smaller one is tried after a step, so that it holds up one pass and not each."""
        self._not_before = now_seconds + self.step
        self._most_steps = max(1, self._most_steps // 2)

    def share(self, key: str) -> LateShare | None:
        """Of one workload, as far as it was read."""
        return late_share((minutes[key] for minutes in self._read.values() if key in minutes), self.step)
