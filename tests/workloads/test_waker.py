"""Requests to a service without replicas wait for one, over any protocol."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.workloads import processes
from trimtab_workloads.serve.waker import Waker, WakerConfig


def free_port() -> int:
    return processes.free_ports(1)[0]


def config(upstream: socket.socket, **changes: object) -> WakerConfig:
    upstream_port = upstream.getsockname()[1]
    given: dict[str, object] = {
        "upstream": "127.0.0.1", "address": "127.0.0.1", "ports": (free_port(),), "upstreamPorts": (upstream_port,),
        "metricsPort": free_port(), "retrySeconds": 0.02, **changes,
    }  # fmt: skip
    return WakerConfig.model_validate(given)


@contextlib.asynccontextmanager
async def holding(settings: WakerConfig) -> AsyncIterator[Waker]:
    waker = Waker(settings)
    await waker.start()
    try:
        yield waker
    finally:
        await waker.close()


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    """The servers' port, held from the beginning: whoever else took it would be asked."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held


@contextlib.asynccontextmanager
async def echo_server(upstream: socket.socket) -> AsyncIterator[None]:
    """Answers what it got, once its client has sent all."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"you said " + await reader.read())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, sock=upstream)
    try:
        yield
    finally:
        server.close()


async def ask(port: int, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


async def until_waiting(waker: Waker, count: int) -> None:
    async with asyncio.timeout(10):
        while waker.waiting != count:
            await asyncio.sleep(0.01)


def test_requests_wait_until_a_server_is_there_and_none_is_lost(upstream: socket.socket) -> None:
    async def story() -> None:
        async with holding(config(upstream)) as waker:
            port = waker.config.ports[0]
            asked = [asyncio.create_task(ask(port, b"%d" % n)) for n in range(50)]
            await until_waiting(waker, 50)
            assert "trimtab_waiting_connections 50\n" in waker.exposition()
            async with echo_server(upstream):
                assert await asyncio.gather(*asked) == [b"you said %d" % n for n in range(50)]
                assert (waker.waiting, waker.held, waker.dropped) == (0, 50, 0)
                assert await ask(port, b"x" * 300_000) == b"you said " + b"x" * 300_000

    asyncio.run(story())


def test_who_waits_too_long_is_let_go(upstream: socket.socket) -> None:
    async def story() -> None:
        async with holding(config(upstream, holdSeconds=0.3)) as waker:
            with contextlib.suppress(ConnectionError):
                assert await ask(waker.config.ports[0], b"anyone?") == b""
            assert (waker.waiting, waker.dropped) == (0, 1)

    asyncio.run(story())


def test_there_is_an_end_to_how_many_may_wait(upstream: socket.socket) -> None:
    async def story() -> None:
        async with holding(config(upstream, mostWaiting=2, holdSeconds=30)) as waker:
            port = waker.config.ports[0]
            patient = [asyncio.create_task(ask(port, b"first")) for _ in range(2)]
            await until_waiting(waker, 2)
            with contextlib.suppress(ConnectionError):
                assert await ask(port, b"third") == b""
            assert (waker.waiting, waker.dropped) == (2, 1)
            for task in patient:
                task.cancel()
            await asyncio.gather(*patient, return_exceptions=True)

    asyncio.run(story())


def test_metrics_are_read_over_http(upstream: socket.socket) -> None:
    async def story() -> None:
        async with holding(config(upstream)) as waker:
            reader, writer = await asyncio.open_connection("127.0.0.1", waker.config.metrics_port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = (await reader.read()).decode()
            writer.close()
            head, _, body = answer.partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 200 OK")
            assert f"Content-Length: {len(body)}" in head
            assert "trimtab_waiting_connections 0" in body

    asyncio.run(story())


@pytest.mark.parametrize("wrong", [{"upstream": ""}, {"upstream": "x", "holdSeconds": 0}, {"upstream": "x", "port": 1}])
def test_a_wrong_configuration_is_told_in_a_line(wrong: dict[str, object], tmp_path: Path) -> None:
    done = processes.run("serve.waker", wrong, tmp_path)
    assert done.process.returncode == 2
    assert "TRIMTAB_CONFIG: " in done.result()["error"]


def test_it_ends_on_sigterm(upstream: socket.socket, tmp_path: Path) -> None:
    given = config(upstream).model_dump(mode="json", by_alias=True)
    with processes.entry("serve.waker", given, tmp_path) as entry:
        entry.wait_for("holding")
        entry.process.terminate()
        assert entry.wait() == 0
