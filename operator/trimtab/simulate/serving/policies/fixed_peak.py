"""The fixed best variant at peak: the most accurate variant, with as many replicas all the time as its peak needs.

What is done where nothing scales by itself. Of the ways to run the most accurate variant, the one that costs least; the
count is the smallest with which the whole trace attains the target, known afterwards: no fixed fleet does better.
"""

from trimtab.simulate.serving.bench import Bench
from trimtab.simulate.serving.policies.static import Static
from trimtab.simulate.serving.sizing import smallest_constant


def fixed_peak(bench: Bench, candidates: list[int]) -> Static:
    """The policy.

    Args:
        bench: The comparison.
        candidates: Options that may be used.
    """
    best = max(bench.options[index].accuracy for index in candidates)
    sized = []
    for index in candidates:
        if bench.options[index].accuracy == best:
            count, attained = smallest_constant(bench, index)
            sized.append((not attained, count * bench.options[index].usd_per_hour, index, count))
    _, _, option, replicas = min(sized)
    return Static(option, replicas)
