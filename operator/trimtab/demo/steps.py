"""The steps of the story before serving: install, policies, training, variants, and the simulated GPUs."""

import json

from trimtab.demo.facts import Facts, instant
from trimtab.demo.shell import DemoError, Object, Shell


def _condition(item: Object, kind: str) -> Object:
    conditions = item.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), {})


def state_of(item: Object) -> str:
    """State and message of a workload."""
    ready = _condition(item, "Ready")
    return f"{item.get('status', {}).get('state', '-')}: {ready.get('message', '')}" if ready else ""


def install(shell: Shell, values: tuple[str, ...] = ()) -> None:
    """1. The chart: operator, CRDs, RBAC, Prometheus."""
    shell.helm("upgrade", "--install", "trimtab", "helm/trimtab", "-n", "trimtab-system", "--create-namespace", *values)
    for deployment in ("trimtab-prometheus", "trimtab-operator"):
        shell.kubectl("rollout", "status", f"deployment/{deployment}", "-n", "trimtab-system", "--timeout=180s")


def configure(shell: Shell) -> None:
    """2. Simulated nodes, hardware classes, grids and policies."""
    shell.kubectl("apply", "-f", "manifests/simulated/")
    shell.kubectl("apply", "-f", "policies/hardware/")
    shell.kubectl("apply", "--server-side", "-k", "policies/carbon/")
    shell.kubectl("apply", "-f", "manifests/demo/00-namespace.yaml")
    shell.kubectl("apply", "-f", "manifests/demo/05-policies.yaml")

    def grids_known() -> bool:
        sources = json.loads(shell.query("get", "carbonsources", "-o", "json"))["items"]
        return bool(sources) and all(s.get("status", {}).get("gramsPerKWh") for s in sources)

    shell.until("an intensity for every grid", grids_known, 60)
    shell.kubectl("get", "hw,carbon")


def _progress(shell: Shell, name: str) -> str:
    item = shell.get("tw", name)
    status = item.get("status", {})
    progress = status.get("progress", {})
    if not status:
        return ""
    # In steps of ten percent: a line for each would drown the rest.
    return f"{status.get('state', '-')}, {progress.get('percent', 0) // 10 * 10} % done"


def _grid(shell: Shell, zone: str) -> float:
    sources = json.loads(shell.query("get", "carbonsources", "-o", "json"))["items"]
    known = [s["status"]["gramsPerKWh"] for s in sources if s["spec"]["zone"] == zone and s.get("status")]
    return float(known[0]) if known else 0.0


def _first_step(shell: Shell) -> str:
    """When rank 0 finished its first training step, from its log."""
    pods = shell.items("pods", "trimtab.dev/workload=digits,batch.kubernetes.io/job-completion-index=0")
    for pod in pods:
        if pod["status"].get("phase") not in ("Running", "Succeeded"):
            continue
        for line in shell.query("logs", pod["metadata"]["name"], "-n", "demo").splitlines():
            if '"event": "first_step"' in line:
                return str(json.loads(line)["time"])
    return ""


def train(shell: Shell, facts: Facts) -> None:
    """3. Train with two pods, suspend by an edit of the policy, resume when the grid is clean, finish."""
    shell.kubectl("apply", "-f", "manifests/demo/10-training.yaml")
    applied = instant(shell.get("tw", "digits")["metadata"]["creationTimestamp"])
    first = shell.until("the first training step", lambda: _first_step(shell), 180, lambda: _progress(shell, "digits"))
    facts.first_training_step_seconds = (instant(first) - applied).total_seconds()
    shell.narrator.result(f"first training step {facts.first_training_step_seconds:.1f} s after kubectl apply")

    def partly_done() -> bool:
        status = shell.get("tw", "digits").get("status", {})
        return int(status.get("progress", {}).get("percent", 0)) >= 20

    shell.until("a fifth of the work", partly_done, 300, lambda: _progress(shell, "digits"))
    shell.narrator.say("The grid is dirty now. Lower the ceiling of the policy below it:")
    ceiling = json.dumps({"spec": {"carbon": {"maxIntensityGramsPerKWh": _ceiling(shell)}}})
    shell.kubectl("patch", "epol", "carbon-aware", "-n", "demo", "--type", "merge", "-p", ceiling)

    def suspended() -> bool:
        status = shell.get("tw", "digits").get("status", {})
        pods = [p for p in shell.items("pods", "trimtab.dev/workload=digits") if p["status"].get("phase") == "Running"]
        return status.get("suspensions", 0) >= 1 and not pods

    shell.until("the suspension", suspended, 120, lambda: state_of(shell.get("tw", "digits")))
    shell.narrator.result("suspended after a checkpoint: no pod runs")
    done = shell.until(
        "the end of the training",
        lambda: (
            (shell.get("tw", "digits").get("status", {}).get("completionTime") and shell.get("tw", "digits")) or None
        ),
        900,
        lambda: f"{_progress(shell, 'digits')} (grid {_grid(shell, 'US-CAL-CISO'):.0f} gCO2e/kWh)",
    )
    facts.training = done["status"]
    _check_training(shell, done)


def _ceiling(shell: Shell) -> int:
    """A ceiling just under the present intensity of the grid that the training runs on."""
    zone = json.loads(shell.query("get", "hw", "local-cpu", "-o", "json"))["spec"]["gridZone"]
    return int(0.9 * _grid(shell, zone))


def _check_training(shell: Shell, done: Object) -> None:
    progress = done["status"]["progress"]
    if progress["completedSamples"] != progress["totalSamples"]:
        raise DemoError(f"completed {progress['completedSamples']} of {progress['totalSamples']} samples")
    if progress.get("visitsMin") != progress.get("visitsMax"):
        raise DemoError(f"samples were seen between {progress.get('visitsMin')} and {progress.get('visitsMax')} times")
    accuracy = done["status"]["accuracy"]
    shell.narrator.result(
        f"all {progress['totalSamples']} samples once in each epoch ({progress['visitsMin']} visits each), "
        f"held-out accuracy {accuracy['value']} (95 %: {accuracy['low']} to {accuracy['high']})"
    )
    shell.kubectl("get", "tw", "digits", "-n", "demo", "-o", "wide")


def make_variants(shell: Shell, facts: Facts) -> None:
    """4. ONNX fp32, int8 and pruned, each measured."""
    shell.kubectl("apply", "-f", "manifests/demo/20-variants.yaml")

    def all_measured() -> list[Object] | None:
        items = shell.items("mv")
        failed = [i for i in items if i.get("status", {}).get("state") in ("BuildFailed", "GateFailed")]
        if failed:
            raise DemoError(f"{failed[0]['metadata']['name']}: {state_of(failed[0])}")
        ready = [i for i in items if i.get("status", {}).get("state") == "Ready"]
        return items if items and len(ready) == len(items) else None

    def states() -> str:
        return ", ".join(f"{i['metadata']['name']} {i.get('status', {}).get('state', '-')}" for i in shell.items("mv"))

    for item in shell.until("measured variants", all_measured, 420, states):
        facts.variants[item["metadata"]["name"]] = item["status"]
    shell.kubectl("get", "mv", "-n", "demo", "-o", "wide")


def train_on_gpus(shell: Shell, facts: Facts) -> None:
    """6. A GPU workload on simulated nodes: the planner chooses the class, the real scheduler the node."""
    shell.kubectl("apply", "-f", "manifests/demo/50-gpu-training.yaml")

    def finished() -> Object | None:
        status = (item := shell.get("tw", "resnet50")).get("status", {})
        # The ledger is some seconds behind: on a busy machine the end is known before the first figure.
        return item if status.get("completionTime") and status.get("usage", {}).get("source") else None

    def placed() -> str:
        pods = shell.items("pods", "trimtab.dev/workload=resnet50")
        nodes = sorted({p["spec"].get("nodeName", "-") for p in pods})
        return f"{_progress(shell, 'resnet50')}, on {', '.join(nodes) or 'no node'}" if pods else ""

    nodes: set[str] = set()

    def look() -> str:
        pods = shell.items("pods", "trimtab.dev/workload=resnet50")
        nodes.update(p["spec"]["nodeName"] for p in pods if p["spec"].get("nodeName"))
        return placed()

    done = shell.until("the simulated training", finished, 240, look)
    facts.gpu = {**done["status"], "nodes": sorted(nodes)}
    shell.kubectl("get", "tw", "resnet50", "-n", "demo", "-o", "wide")
    source = done["status"]["usage"]["source"]
    if source != "simulated":
        raise DemoError(f"figures of simulated nodes must say so, but usage.source is {source!r}")
    shell.narrator.result(f"on {done['status']['decision']['hardwareClass']}; every figure of it says {source}")
