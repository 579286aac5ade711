"""Progress shows how far a long iteration is, and never changes what is iterated."""

import io
import sys
import time

import pytest

from trimtab.simulate import progress


def test_items_pass_unchanged_and_a_quick_iteration_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(iter("abc"), "Reading", total=3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_once_in_a_while(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1000, 6))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    assert list(progress.track(range(4), "Replaying")) == [0, 1, 2, 3]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "Replaying: 1 of 4 (25%) after 12 s\nReplaying: 3 of 4 (75%) after 24 s\n"


def test_bars_within_bars_appear_on_a_terminal_and_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    pairs = []
    for outer in progress.track("ab", "Policies", enabled=True):
        for inner in progress.track("xy", "Hours", enabled=True):
            time.sleep(0.05)
            pairs.append(outer + inner)
    assert pairs == ["ax", "ay", "bx", "by"]
    assert "Policies" in screen.getvalue()
    assert progress._Bar._display is None


def test_what_stops_the_iteration_passes_and_the_bar_goes_away() -> None:
    def broken() -> None:
        for _ in progress.track(range(3), "Replaying", enabled=True):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        broken()
    assert progress._Bar._display is None
