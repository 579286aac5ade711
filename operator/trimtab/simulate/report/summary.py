"""The sentences that stand first: what the run found, in words."""

from collections.abc import Mapping, Sequence

from trimtab.simulate.report.facts import RunFacts
from trimtab.simulate.report.glossary import HINDSIGHT
from trimtab.simulate.report.intervals import COMPLETION, COST, Saving
from trimtab.simulate.results import PolicyResult

_DONE = {
    "carbon": ("less carbon", "more carbon"),
    "cost": ("less money", "more money"),
    "completion time": ("less time from arrival to end", "more time from arrival to end"),
}


def summary(results: Sequence[PolicyResult], found: Mapping[str, Mapping[str, Saving]], facts: RunFacts) -> str:
    """What trimtab (or, without it, the best policy that can be run) reached against the reference and the limit."""
    real = [result for result in results if result.policy not in {*HINDSIGHT, facts.reference}]
    if not real:
        return f"Only {', '.join(result.policy for result in results)} was run; there is nothing to compare."
    subject = _subject(real)
    base = next((result for result in results if result.policy == facts.reference), None)
    sentences = []
    saved = [
        _saved(measure, by_policy[subject.policy])
        for measure, by_policy in _first_measures(found, facts)
        if subject.policy in by_policy
    ]
    if saved:
        sentences.append(f"{subject.policy} took {_listed(saved)} than {facts.reference}.")
    sentences += _quality(subject, base, facts.kind)
    if not _attains(subject, facts.least_attainment):
        asked = f"the {100 * facts.least_attainment:g} % that were asked for"
        sentences.append(
            f"That is short of {asked}: what it costs does not compare with policies that hold the target."
        )
        return " ".join(sentences)
    best = _best_other(real, subject, facts.least_attainment)
    if best is not None:
        sentences.append(_against(subject, best, facts))
    if subject.ratio_to_optimum is not None:
        above = 100 * (subject.ratio_to_optimum - 1)
        place = f"{above:.1f} % above" if above >= 0.05 else "at"
        limit = "a lower bound that no schedule reaches" if facts.kind == "elastic" else "the limit"
        knowledge = "" if facts.kind == "elastic" else ", which takes perfect knowledge of the future"
        sentences.append(f"In {facts.objective} it is {place} {limit}{knowledge}.")
    return " ".join(sentences)


def _subject(real: Sequence[PolicyResult]) -> PolicyResult:
    own = [result for result in real if result.policy == "trimtab"]
    return (
        own[0] if own else min(real, key=lambda result: (result.ratio_to_optimum or result.carbon_g, result.carbon_g))
    )


def _first_measures(
    found: Mapping[str, Mapping[str, Saving]], facts: RunFacts
) -> list[tuple[str, Mapping[str, Saving]]]:
    """What the run is about comes first; a cost that no policy changes is not worth a word."""
    first = {"serving": COST.name, "elastic": COMPLETION.name}.get(facts.kind)
    order = sorted(found.items(), key=lambda item: item[0] != first)
    return [
        (measure, by_policy)
        for measure, by_policy in order
        if any(abs(saving.share) >= 0.0005 for saving in by_policy.values())
    ]


def _saved(measure: str, saving: Saving) -> str:
    less, more = _DONE[measure.lower()]
    share = 100 * saving.share
    between = ""
    if saving.low is not None and saving.high is not None:
        sign = 1 if share >= 0 else -1
        low, high = sorted((sign * 100 * saving.low, sign * 100 * saving.high))
        chance = "" if saving.low * saving.high > 0 or low == high else ": it may be chance"
        between = f" (95 % interval {low:.1f} to {high:.1f} %{chance})"
    return f"{abs(share):.1f} %{between} {less if share >= 0 else more}"


def _quality(subject: PolicyResult, base: PolicyResult | None, kind: str) -> list[str]:
    said = []
    if subject.slo_attainment is not None:
        than = f" ({base.policy}: {100 * base.slo_attainment:.2f} %)" if base and base.slo_attainment else ""
        said.append(f"{100 * subject.slo_attainment:.2f} % of requests were within the latency target{than}.")
    elif kind == "elastic" and subject.mean_jct_h is not None:
        said.append(f"Its jobs took {subject.mean_jct_h:.2f} hours from arrival to end on average.")
    elif subject.mean_wait_h is not None:
        missed = subject.deadline_misses
        late = "" if missed is None else f"; {missed or 'none'} missed {'its' if missed == 1 else 'their'} deadline"
        said.append(f"Its jobs waited {subject.mean_wait_h:.1f} hours on average{late}.")
    return said


def _best_other(real: Sequence[PolicyResult], subject: PolicyResult, least_attainment: float) -> PolicyResult | None:
    rivals = [result for result in real if not _own(result) and result.ratio_to_optimum is not None]
    rivals = [result for result in rivals if result is not subject and _attains(result, least_attainment)]
    if subject.ratio_to_optimum is None or not rivals:
        return None
    return min(rivals, key=lambda result: result.ratio_to_optimum or 0.0)


def _against(subject: PolicyResult, best: PolicyResult, facts: RunFacts) -> str:
    assert subject.ratio_to_optimum is not None
    assert best.ratio_to_optimum is not None
    change = 100 * (best.ratio_to_optimum / subject.ratio_to_optimum - 1)
    quality = ""
    if facts.kind == "serving" and best.slo_attainment is not None:
        quality = f" at {100 * best.slo_attainment:.2f} % within the target"
    elif facts.kind == "training" and best.mean_wait_h is not None:
        quality = f" at a mean wait of {best.mean_wait_h:.1f} hours"
    if abs(change) < 0.05:
        return f"The best other policy, {best.policy}, reached the same{quality}."
    more = "more" if change > 0 else "less"
    return f"The best other policy, {best.policy}, came to {abs(change):.1f} % {more} {facts.objective}{quality}."


def _attains(result: PolicyResult, least: float) -> bool:
    return result.slo_attainment is None or result.slo_attainment >= least


def _own(result: PolicyResult) -> bool:
    """Whether it is a variant of our own policy, no rival."""
    return result.policy.startswith("trimtab")


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
