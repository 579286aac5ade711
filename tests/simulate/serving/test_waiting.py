"""The queue that serves first what can still be in time."""

from hypothesis import given
from hypothesis import strategies as st

from trimtab.simulate.serving.waiting import WaitingQueue

STEPS = st.lists(st.tuples(st.floats(0.0, 5.0), st.booleans()), max_size=60)


def drained(queue: WaitingQueue[int]) -> list[int]:
    return [queue.pop()[0] for _ in range(len(queue))]


def test_without_a_timeout_requests_come_out_as_they_came_in() -> None:
    queue: WaitingQueue[int] = WaitingQueue()
    for i in range(5):
        queue.push(float(i), i)
    assert not list(queue.expire(1e9))
    assert drained(queue) == [0, 1, 2, 3, 4]


def test_what_has_waited_for_too_long_goes_behind_the_others() -> None:
    queue: WaitingQueue[int] = WaitingQueue(2.0)
    for i in range(5):
        queue.push(float(i), i)
    assert list(queue.expire(4.5)) == [0, 1, 2]
    assert (queue.in_time, len(queue), queue.oldest_arrival) == (2, 5, 3.0)
    assert [queue.pop() for _ in range(3)] == [(3, True), (4, True), (0, False)]


@given(STEPS, st.floats(0.0, 10.0))
def test_every_request_comes_out_once_and_those_in_time_first(steps: list[tuple[float, bool]], timeout: float) -> None:
    queue: WaitingQueue[int] = WaitingQueue(timeout)
    now, arrived, taken = 0.0, {}, []
    for number, (gap, takes) in enumerate(steps):
        now += gap
        queue.push(now, number)
        arrived[number] = now
        queue.expire(now)
        if takes:
            waiting = set(arrived) - set(taken)
            item, in_time = queue.pop()
            assert in_time == any(arrived[i] + timeout >= now for i in waiting)
            assert not in_time or arrived[item] + timeout >= now
            taken.append(item)
    assert sorted(taken + drained(queue)) == list(range(len(steps)))
