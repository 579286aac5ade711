"""The steps of the story that serve: load up, breach, scale, switch by an edit of the policy, load down."""

import json
from datetime import datetime
from typing import Any

from trimtab.demo.facts import Facts, instant
from trimtab.demo.shell import DemoError, Object, Shell
from trimtab.demo.steps import state_of

SERVING = "digits"
LOAD_SELECTOR = "job-name=load"


def _set_load(shell: Shell, requests_per_second: float, stop: bool = False) -> None:
    """Change the load: the generator reads it from its ConfigMap."""
    stages = {"requestsPerSecond": requests_per_second, **({"stop": True} if stop else {})}
    patch = json.dumps({"data": {"stages.json": json.dumps(stages)}})
    shell.kubectl("patch", "configmap", "load", "-n", "demo", "--type", "merge", "-p", patch)


def _load_lines(shell: Shell) -> list[dict[str, Any]]:
    """What the load generator has logged, a line a second."""
    phases = {pod["status"].get("phase") for pod in shell.items("pods", LOAD_SELECTOR)}
    if not phases & {"Running", "Succeeded"}:
        return []
    text = shell.query("logs", "-n", "demo", "-l", LOAD_SELECTOR, "--tail=-1")
    return [line for line in map(json.loads, filter(None, text.splitlines())) if line.get("event") == "second"]


def _observed(shell: Shell) -> str:
    item = shell.get("sw", SERVING)
    status = item.get("status", {})
    if not status:
        return ""
    decision, observed = status.get("decision", {}), status.get("observed", {})
    reason = (decision.get("reasons") or [{}])[-1].get("code", "")
    return (
        f"{status.get('state')}: {status.get('readyReplicas', 0)}/{decision.get('replicas', 0)} x "
        f"{status.get('activeVariant') or '-'} ({reason}), {float(observed.get('latencyMilliseconds') or 0):.0f} ms"
    )


def serve(shell: Shell, facts: Facts) -> None:
    """5a. Triton behind a Service, with the most accurate variant."""
    shell.kubectl("apply", "-f", "manifests/demo/30-serving.yaml")

    def serves() -> Object | None:
        item = shell.get("sw", SERVING)
        return item if item.get("status", {}).get("activeVariant") else None

    item = shell.until("a Triton pod that serves", serves, 240, lambda: state_of(shell.get("sw", SERVING)))
    _note(facts, item)
    shell.kubectl("get", "sw", "-n", "demo")


def _note(facts: Facts, item: Object) -> None:
    status = item.get("status", {})
    facts.largest_replicas = max(facts.largest_replicas, status.get("readyReplicas", 0))
    active = status.get("activeVariant")
    if active and active not in facts.variants_served:
        facts.variants_served.append(active)


def _ready_pods(shell: Shell) -> dict[str, datetime]:
    ready: dict[str, datetime] = {}
    for pod in shell.items("pods", f"trimtab.dev/workload={SERVING},trimtab.dev/workload-kind=ServingWorkload"):
        for condition in pod["status"].get("conditions", []):
            if condition["type"] == "Ready" and condition["status"] == "True":
                ready[pod["metadata"]["name"]] = instant(condition["lastTransitionTime"])
    return ready


def _breach_began(shell: Shell, since: datetime, target_ms: float) -> datetime | None:
    """The first second after `since` in which clients saw the percentile above the target."""
    for line in _load_lines(shell):
        at = instant(line["time"])
        if at >= since and line.get("p95Ms") is not None and line["p95Ms"] > target_ms:
            return at
    return None


def raise_load(shell: Shell, facts: Facts, quiet_rps: float, high_rps: float) -> None:
    """5b. More load than one pod carries: the operator scales by the latency target."""
    shell.kubectl("apply", "-f", "manifests/demo/40-load.yaml")
    shell.until("requests", lambda: [x for x in _load_lines(shell) if x.get("ok")] or None, 120)
    before = _ready_pods(shell)
    target_ms = float(shell.get("sw", SERVING)["spec"]["targets"]["latency"]["milliseconds"])
    shell.narrator.say(f"{quiet_rps:g} requests/s are carried by {len(before)} pod; now {high_rps:g}:")
    raised = instant(_load_lines(shell)[-1]["time"])
    _set_load(shell, high_rps)

    def scaled() -> dict[str, datetime] | None:
        _note(facts, shell.get("sw", SERVING))
        new = {name: at for name, at in _ready_pods(shell).items() if name not in before}
        return new or None

    new = shell.until("a new Triton pod", scaled, 240, lambda: _observed(shell))
    breach, ready = _breach_began(shell, raised, target_ms), min(new.values())
    if breach is None:
        shell.narrator.say("the new pod was there before clients saw the target broken")
        facts.breach_to_new_pod_seconds = 0.0
    else:
        facts.breach_to_new_pod_seconds = max(0.0, (ready - breach).total_seconds())
        shell.narrator.result(f"from the breach to a new pod that serves: {facts.breach_to_new_pod_seconds:.0f} s")

    def settled() -> bool:
        item = shell.get("sw", SERVING)
        _note(facts, item)
        status = item["status"]
        wanted = status["decision"]["replicas"]
        recent = [x.get("p95Ms") or 0.0 for x in _load_lines(shell)[-5:]]
        return status.get("readyReplicas") == wanted and bool(recent) and max(recent) <= target_ms

    shell.until("latency within the target again", settled, 240, lambda: _observed(shell))
    shell.kubectl("get", "sw", "-n", "demo")


def _totals(shell: Shell) -> tuple[int, int]:
    lines = _load_lines(shell)
    return sum(x.get("ok", 0) for x in lines), sum(x.get("failed", 0) for x in lines)


def switch(shell: Shell, facts: Facts) -> None:
    """5c. A lower budget: a cheaper variant that still meets the accuracy floor takes over, live."""
    before = shell.get("sw", SERVING)["status"]
    old, price = before["activeVariant"], float(before["decision"]["rate"]["costUSDPerHour"])
    most_accurate = max(facts.variants, key=lambda name: float(facts.variants[name]["accuracy"]["value"]), default=old)
    if old != most_accurate:
        raise DemoError(
            f"{old} serves before the budget was lowered, not {most_accurate}: see kubectl describe sw digits"
        )
    ok_before, failed_before = _totals(shell)
    limit = f"{0.7 * price:.4f}"
    shell.narrator.say(f"{old} costs {price:.4g} USD/h. Lower the budget to {limit} USD/h:")
    patch = json.dumps({"spec": {"limits": {"costUSDPerHour": limit}}})
    shell.kubectl("patch", "epol", "serving-budget", "-n", "demo", "--type", "merge", "-p", patch)

    def switched() -> str | None:
        item = shell.get("sw", SERVING)
        _note(facts, item)
        active = item["status"].get("activeVariant")
        within = float(item["status"]["decision"]["rate"]["costUSDPerHour"]) <= float(limit)
        return active if active and active != old and within else None

    new = shell.until("the switch to a cheaper variant", switched, 240, lambda: _observed(shell))
    ok_after, failed_after = _totals(shell)
    facts.requests_in_switch = ok_after + failed_after - ok_before - failed_before
    facts.failed_requests_in_switch = failed_after - failed_before
    floor = float(shell.get("sw", SERVING)["spec"]["targets"]["minAccuracy"])
    accuracy = float(shell.get("sw", SERVING)["status"]["accuracy"]["value"])
    if accuracy < floor:
        raise DemoError(f"{new} has accuracy {accuracy}, below the floor of {floor}")
    shell.narrator.result(
        f"{old} -> {new} (accuracy {accuracy:g}, floor {floor:g}) under load: "
        f"{facts.failed_requests_in_switch} of {facts.requests_in_switch} requests failed"
    )
    shell.kubectl("get", "sw", "-n", "demo")


def lower_load(shell: Shell, facts: Facts, quiet_rps: float) -> None:
    """5d. The load falls: the operator scales down, after the stabilization window."""
    _set_load(shell, quiet_rps)

    def down() -> bool:
        item = shell.get("sw", SERVING)
        _note(facts, item)
        return len(_ready_pods(shell)) == int(item["spec"]["minReplicas"])

    shell.until("the scale-down", down, 300, lambda: _observed(shell))
    _set_load(shell, 0.0, stop=True)

    def summary() -> Object | None:
        for pod in shell.items("pods", LOAD_SELECTOR):
            for container in pod["status"].get("containerStatuses", []):
                ended = container.get("state", {}).get("terminated")
                if ended and ended.get("message"):
                    told: Object = json.loads(ended["message"])
                    return told
        return None

    total = shell.until("the load generator's summary", summary, 120)
    facts.requests, facts.failed_requests = total["sent"], total["failed"]
    facts.serving = {**shell.get("sw", SERVING)["status"], "load": total}
    shell.narrator.result(f"scaled down; {total['failed']} of {total['sent']} requests failed over all of it")
