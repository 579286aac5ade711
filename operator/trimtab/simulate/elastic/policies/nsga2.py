"""Two objectives at once: the ranking, selection and survival of NSGA-II.

Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE Transactions on Evolutionary
Computation, 2002.
"""

import bisect

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def fronts(costs: FloatArray) -> list[IntArray]:
    """Sorts solutions into fronts: those that none dominates, those that only the first front dominates, and so on.

    With two objectives a sweep in order of the first is enough (Jensen, IEEE Transactions on Evolutionary
    Computation, 2003).

    Args:
        costs: two objectives, to be least. Shape: (solutions, 2).
    """
    order = np.lexsort((costs[:, 1], costs[:, 0])).tolist()
    rows = costs.tolist()
    found: list[list[int]] = []
    ends: list[float] = []  # Least second objective of each front; ascending.
    previous, rank = None, 0
    for index in order:
        # Equal solutions do not dominate each other.
        if rows[index] != previous:
            previous = rows[index]
            rank = bisect.bisect_right(ends, previous[1])
            if rank == len(ends):
                ends.append(previous[1])
                found.append([])
            ends[rank] = previous[1]
        found[rank].append(index)
    return [np.array(front) for front in found]


def crowding(costs: FloatArray) -> FloatArray:
    """Distance to the neighbours on a front; infinite at its ends. Shape: (solutions,)."""
    count = len(costs)
    distance = np.zeros(count)
    if count <= 2:
        return np.full(count, np.inf)
    for values in costs.T:
        order = np.argsort(values, kind="stable")
        spread = values[order[-1]] - values[order[0]]
        if spread > 0:
            distance[order[1:-1]] += (values[order[2:]] - values[order[:-2]]) / spread
            distance[order[[0, -1]]] = np.inf
    return distance


def survivors(costs: FloatArray, keep: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray, int]:
    """The best solutions: whole fronts, and of the last the least crowded.

    Returns:
        Indices of the survivors, their crowding distance, and how many of them are on the first front (they come
        first).
    """
    chosen: list[IntArray] = []
    distances: list[FloatArray] = []
    first = 0
    room = keep
    for front in fronts(costs):
        distance = crowding(costs[front])
        if front.size > room:
            # Ties are broken at random, as their order says nothing.
            order = np.lexsort((rng.random(front.size), -distance))[:room]
            front, distance = front[order], distance[order]
        first = first or front.size
        chosen.append(front)
        distances.append(distance)
        room -= front.size
        if room == 0:
            break
    return np.concatenate(chosen), np.concatenate(distances), first


def tournament(costs: FloatArray, distance: FloatArray, winners: int, rng: np.random.Generator) -> IntArray:
    """Parents: of two at random the one that dominates, else the less crowded.

    Returns:
        Shape: (winners,).
    """
    count = len(costs)
    rounds = -(-2 * winners // count)
    pairs = np.concatenate([rng.permutation(count) for _ in range(rounds)])[: 2 * winners].reshape(-1, 2)
    one, other = pairs[:, 0], pairs[:, 1]
    one_wins = np.all(costs[one] <= costs[other], axis=1) & np.any(costs[one] < costs[other], axis=1)
    other_wins = np.all(costs[other] <= costs[one], axis=1) & np.any(costs[other] < costs[one], axis=1)
    equal = distance[one] == distance[other]
    wider = np.where(equal, rng.random(winners) < 0.5, distance[one] > distance[other])
    return np.where(one_wins | (~other_wins & wider), one, other)
