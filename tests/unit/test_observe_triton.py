"""What can be told without a server; the cluster tests ask real ones."""

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.observe.triton import Loaded, Server, TritonVersions, address, newest


def test_servers_that_cannot_be_asked_have_no_version() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        asked = TritonVersions(port=held.getsockname()[1], timeout_seconds=0.5, parallel=4)
        servers = [Server(f"127.0.0.{host}", "digits") for host in range(1, 9)]
        try:
            assert asked.loaded(servers) == dict.fromkeys(servers, Loaded())
            assert asked.loaded(servers[:1]) == {servers[0]: Loaded()}
            assert asked.loaded([]) == {}
        finally:
            asked.close()


def test_a_server_that_accepts_and_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = TritonVersions(port=silent.getsockname()[1], timeout_seconds=0.3)
        try:
            assert asked.loaded([Server("127.0.0.1", "digits")]) == {Server("127.0.0.1", "digits"): Loaded()}
        finally:
            asked.close()


@pytest.mark.parametrize(
    ("versions", "found"), [([], None), (["1"], 1), (["9", "10"], 10), (["-1", "x", ""], None), (["2", "x"], 2)]
)
def test_the_newest_version_answers(versions: list[str], found: int | None) -> None:
    assert newest(versions) == found


@settings(deadline=None)
@given(st.lists(st.text()))
def test_any_list_of_versions_is_survived(versions: list[str]) -> None:
    found = newest(versions)
    assert found is None or found >= 0


def test_addresses_of_both_families() -> None:
    assert address("10.0.0.3", 8001) == "10.0.0.3:8001"
    assert address("fd00::3", 8001) == "[fd00::3]:8001"
