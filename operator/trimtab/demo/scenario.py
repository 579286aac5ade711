"""The scenario from end to end."""

import time
from pathlib import Path

from trimtab.demo import serving_steps, steps
from trimtab.demo.events import followed
from trimtab.demo.facts import Facts
from trimtab.demo.shell import Shell

QUIET_RPS, HIGH_RPS = 30.0, 180.0
"""Load that one pod carries with ease, and load that it cannot carry. Bounded: it goes to the cluster's own pods
alone."""


def run(shell: Shell, facts: Facts, started_at_seconds: float, values: tuple[str, ...]) -> Facts:
    """Run all steps, in order, on a cluster that is ready.

    Args:
        shell: The user's shell.
        facts: Filled in on the way, so that a failed run also shows how far it came.
        started_at_seconds: `time.monotonic()` at the start of the command.
        values: Options for helm, such as `-f FILE`.

    Raises:
        DemoError: when a step does not come out as it should.
    """
    tell = shell.narrator
    tell.heading(1, "Install: operator, CRDs and Prometheus by Helm")
    steps.install(shell, values)
    facts.cluster_and_operator_ready_seconds = time.monotonic() - started_at_seconds
    tell.result(f"cluster and operator ready after {facts.cluster_and_operator_ready_seconds:.0f} s")
    with followed(shell.kubectl_path, shell.kubeconfig, tell):
        tell.heading(2, "Hardware classes, a carbon source and policies")
        steps.configure(shell)
        tell.heading(3, "Train on two pods; suspend and resume with the grid")
        steps.train(shell, facts)
        tell.heading(4, "Make and measure variants")
        steps.make_variants(shell, facts)
        tell.heading(5, "Serve, scale by latency, switch by budget, scale down")
        serving_steps.serve(shell, facts)
        serving_steps.raise_load(shell, facts, QUIET_RPS, HIGH_RPS)
        serving_steps.switch(shell, facts)
        serving_steps.lower_load(shell, facts, QUIET_RPS)
        tell.heading(6, "A GPU training on simulated nodes")
        steps.train_on_gpus(shell, facts)
    tell.heading(7, "What there is now")
    shell.kubectl("get", "tw,sw,mv", "-n", "demo")
    _table(shell, facts)
    return facts


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _table(shell: Shell, facts: Facts) -> None:
    progress, usage = facts.training.get("progress", {}), facts.training.get("usage", {})
    gpu = facts.gpu.get("decision", {})
    rows = [
        ("cluster and operator ready", _seconds(facts.cluster_and_operator_ready_seconds)),
        ("kubectl apply to the first training step", _seconds(facts.first_training_step_seconds)),
        ("training: samples done / to do", f"{progress.get('completedSamples')} / {progress.get('totalSamples')}"),
        (
            "training: suspensions, held-out accuracy",
            f"{facts.training.get('suspensions')}, {_accuracy(facts.training)}",
        ),
        ("training: energy, cost, carbon", _usage(usage)),
        *((f"variant {name}", _variant(status)) for name, status in sorted(facts.variants.items())),
        ("latency breach to a new pod that serves", _seconds(facts.breach_to_new_pod_seconds)),
        ("most replicas, variants served", f"{facts.largest_replicas}, {' -> '.join(facts.variants_served)}"),
        ("failed requests in the switch", f"{facts.failed_requests_in_switch} of {facts.requests_in_switch}"),
        ("failed requests in all", f"{facts.failed_requests} of {facts.requests}"),
        ("GPU training (simulated)", f"{gpu.get('hardwareClass')} on {', '.join(facts.gpu.get('nodes', []))}"),
        ("GPU training: energy, cost, carbon", _usage(facts.gpu.get("usage", {}))),
    ]
    shell.narrator.table("The run in figures", ("what", "figure"), rows)
    shell.narrator.say("The cluster is still up. Look around, and end it with: make down")
    shell.narrator.say(
        '  eval "$(.venv/bin/trimtab local env)"; kubectl get tw,sw,mv -A; kubectl describe sw digits -n demo'
    )


def _accuracy(status: dict[str, object]) -> str:
    figure = status.get("accuracy")
    return str(figure["value"]) if isinstance(figure, dict) else "-"


def _usage(usage: dict[str, str]) -> str:
    if not usage:
        return "-"
    wh, usd, grams = (float(usage[k]) for k in ("energyWattHours", "costUSD", "carbonGrams"))
    return f"{wh:.3g} Wh, {usd:.3g} USD, {grams:.3g} gCO2e ({usage.get('source')})"


def _variant(status: dict[str, object]) -> str:
    profile, artifact = status.get("profile"), status.get("artifact")
    if not isinstance(profile, list) or not isinstance(artifact, dict):
        return "-"
    return (
        f"accuracy {_accuracy(status)}, {int(artifact['sizeBytes']) / 1024:.0f} KiB, "
        f"p95 {float(profile[0]['p95Milliseconds']):.1f} ms, {float(profile[0]['itemsPerSecond']):.0f} items/s"
    )


def write(facts: Facts, path: Path) -> None:
    """Keep the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(facts.model_dump_json(indent=2))
