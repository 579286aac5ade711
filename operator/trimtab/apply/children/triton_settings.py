"""What a Triton server is told: the part that a running one takes by a reload, and the part that needs a new pod.

The first goes into the ConfigMap that is mounted beside the active version, in the JSON form of Triton's own
ModelConfig, so that a server that starts and a server that is reloaded are told the very same. The second is in the
pod template. Each has a digest; `base.live` names what a server runs with.
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from trimtab.api.quantity import parse_quantity
from trimtab.api.triton import QueuePolicy, RateLimiter, SequenceBatching, SequenceStrategy, TritonSettings
from trimtab.apply.children.names import Manifest, spec_hash

_NO_DIGESTS: Final[Mapping[str, str]] = MappingProxyType({})
_FALSE_TRUE = {"FP32": "fp32_false_true", "INT32": "int32_false_true", "BOOL": "bool_false_true"}
_CONTROL = {"Start": "START", "Ready": "READY", "End": "END", "CorrelationId": "CORRID"}


def base_settings(triton: TritonSettings) -> Manifest:
    """What the pod template holds: the model's tensors that Triton fills in, and options of the server itself."""
    sequence, limiter = triton.sequence, triton.rate_limiter
    return {
        "states": [s.to_manifest() for s in sequence.states] if sequence else [],
        "controls": [c.input for c in sequence.controls] if sequence else [],
        "responseCacheBytes": int(parse_quantity(triton.response_cache.size)) if triton.response_cache else 0,
        "rateLimiterResources": {r.name: r.available for r in limiter.resources} if limiter else {},
    }


def live_settings(triton: TritonSettings, sha256: Mapping[str, str] = _NO_DIGESTS) -> Manifest:
    """What a running server takes: the sections of ModelConfig that are chosen here, and what goes beside
    them.
    """
    return {
        "modelConfig": {
            "max_batch_size": triton.max_batch_size,
            **_scheduling(triton),
            "instance_group": [{"count": triton.instances, "kind": "KIND_AUTO", **_limits(triton.rate_limiter)}],
            **({"response_cache": {"enable": True}} if triton.response_cache else {}),
        },
        "threads": triton.threads,
        # Not Triton's own warm-up: that counts as requests, and a failed one is called a success or ends the server.
        "warmup": triton.warmup.to_manifest() if triton.warmup else None,
        "logVerbose": triton.log_verbose,
        # A file that is made anew is loaded anew; one that is not what was measured is not served.
        "sha256": dict(sha256),
    }


def base_digest(triton: TritonSettings, variants: Sequence[Manifest] = ()) -> str:
    """Names the part that needs a new pod: settings, and the variants that it knows."""
    return spec_hash({**base_settings(triton), "variants": list(variants)})


def settings_text(triton: TritonSettings, sha256: Mapping[str, str] = _NO_DIGESTS) -> str:
    """The part that a running server takes, as the ConfigMap holds it, with its digest."""
    live = live_settings(triton, sha256)
    return json.dumps({"digest": spec_hash(live), **live}, sort_keys=True)


def settings_digest(
    triton: TritonSettings, variants: Sequence[Manifest] = (), sha256: Mapping[str, str] = _NO_DIGESTS
) -> str:
    """Names all settings, as a server's model says which it has: `base.live`."""
    return f"{base_digest(triton, variants)}.{spec_hash(live_settings(triton, sha256))}"


def settings_to_load(said: str, triton: TritonSettings, variants: Sequence[Manifest], sha256: Mapping[str, str]) -> str:
    """What a running server is to be loaded with, as `settings_text`; empty where a reload would not help.

    Args:
        said: The digests that the server says it runs with. One that says nothing, or has another base, is replaced.
        triton: The settings wanted.
        variants: Those that the pods know.
        sha256: Digest of each version's file.
    """
    base, _, live = said.partition(".")
    wanted_base, _, wanted_live = settings_digest(triton, variants, sha256).partition(".")
    return settings_text(triton, sha256) if base == wanted_base and live != wanted_live else ""


def _scheduling(triton: TritonSettings) -> Manifest:
    waiting: Manifest = {"max_queue_delay_microseconds": triton.max_queue_delay_microseconds}
    if triton.preferred_batch_sizes:
        waiting["preferred_batch_size"] = list(triton.preferred_batch_sizes)
    if triton.sequence is not None:
        return {"sequence_batching": _sequence(triton.sequence, waiting)}
    return {"dynamic_batching": {**waiting, **(_queue(triton.queue) if triton.queue else {})}}


def _queue(queue: QueuePolicy) -> Manifest:
    levels: Manifest = {}
    if queue.priority_levels:
        levels = {"priority_levels": queue.priority_levels, "default_priority_level": queue.default_priority}
    return {
        **levels,
        "default_queue_policy": {
            "timeout_action": queue.timeout_action.upper(),
            "default_timeout_microseconds": queue.default_timeout_microseconds,
            "allow_timeout_override": queue.allow_timeout_override,
            "max_queue_size": queue.max_queue_size,
        },
    }


def _sequence(sequence: SequenceBatching, waiting: Manifest) -> Manifest:
    if sequence.strategy is SequenceStrategy.DIRECT:
        strategy: dict[str, Any] = {"direct": waiting}
    else:
        strategy = {"oldest": {**waiting, "max_candidate_sequences": sequence.max_candidate_sequences}}
    controls = []
    for control in sequence.controls:
        kind = f"CONTROL_SEQUENCE_{_CONTROL[control.kind]}"
        values = _FALSE_TRUE.get(control.data_type)
        told: Manifest = {"data_type": f"TYPE_{control.data_type}"} if values is None else {values: [0, 1]}
        controls.append({"name": control.input, "control": [{"kind": kind, **told}]})
    idle = round(sequence.max_idle.total_seconds() * 1e6)
    return {"max_sequence_idle_microseconds": idle, **strategy, **({"control_input": controls} if controls else {})}


def _limits(limiter: RateLimiter | None) -> Manifest:
    if limiter is None:
        return {}
    # Global: one server is one pool, whatever devices its instances are on.
    held = [{"name": r.name, "global": True, "count": r.per_execution} for r in limiter.resources]
    return {"rate_limiter": {"resources": held, "priority": limiter.priority}}
