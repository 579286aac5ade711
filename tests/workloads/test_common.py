from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_workloads.common.files import digest_path, read_verified, write_atomically, write_with_digest
from trimtab_workloads.common.interval import wilson
from trimtab_workloads.common.termination import write_result


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_that_of_scipy(counts):
    stats = pytest.importorskip("scipy.stats")
    successes, trials = counts
    expected = stats.binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_without_trials_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match=r"0\.\.3"):
        wilson(4, 3)


def test_a_file_whose_content_changed_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    digest = write_with_digest(path, b"content")
    assert read_verified(path) == b"content"
    assert digest_path(path).read_text() == f"{digest}  model.onnx\n"
    path.write_bytes(b"content, damaged")
    with pytest.raises(ValueError, match=digest):
        read_verified(path)


def test_a_failed_write_leaves_the_old_file_and_no_trace(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_result_that_kubernetes_would_cut_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIMTAB_TERMINATION_LOG", str(tmp_path / "log"))
    write_result({"kind": "x"})
    assert json.loads((tmp_path / "log").read_text()) == {"kind": "x"}
    with pytest.raises(ValueError, match="4096"):
        write_result({"kind": "x" * 4096})
