"""Remembers what ended containers said, because their pods may be deleted a moment later."""

from collections import OrderedDict
from dataclasses import dataclass, replace

from trimtab.observe.facts import TRAINING, VARIANT, PodFact
from trimtab.observe.results import better_training, training_result, variant_failure_reason, variant_result
from trimtab.plan.snapshot import TrainingResult, VariantResult


@dataclass(frozen=True, slots=True)
class LastWords:
    """What the pods of one Job left behind."""

    training: TrainingResult | None = None
    variant: VariantResult | None = None
    variant_error: str = ""
    variant_failure_reason: str = ""


NOTHING_SAID = LastWords()


class ResultMemory:
    """Last words by uid of the Job. Not thread-safe: the cache that holds it is.

    The oldest entries are dropped beyond the limit: by then their results have long been written to status.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._by_job: OrderedDict[str, LastWords] = OrderedDict()

    def note(self, fact: PodFact) -> None:
        """Take up what a pod's containers said, if they said anything."""
        if fact.owner is None or fact.pod is None or not fact.controller_uid:
            return
        message, exit_code = fact.pod.termination_message, fact.pod.exit_code
        if not message and exit_code is None:
            return
        known = self._by_job.get(fact.controller_uid, NOTHING_SAID)
        if fact.owner.kind == TRAINING and not fact.rank:
            words = replace(known, training=better_training(known.training, training_result(message)))
        elif fact.owner.kind == VARIANT:
            result, error = variant_result(message, exit_code)
            result = result or known.variant
            words = replace(
                known,
                variant=result,
                variant_error="" if result else error,
                variant_failure_reason="" if result else variant_failure_reason(message),
            )
        else:
            return
        self._by_job[fact.controller_uid] = words
        self._by_job.move_to_end(fact.controller_uid)
        while len(self._by_job) > self._limit:
            self._by_job.popitem(last=False)

    def recall(self, job_uid: str) -> LastWords:
        """What the pods of this Job left behind."""
        return self._by_job.get(job_uid, NOTHING_SAID)

    def all(self) -> dict[str, LastWords]:
        """All that is remembered, by uid of the Job."""
        return dict(self._by_job)
