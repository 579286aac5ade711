"""`python3 -m trimtab_workloads.serve.waker`: holds requests to a service that has no replica until one is ready.

It works on connections, so that it serves HTTP and gRPC alike: a client's connection is accepted and left unread; once
a server can be reached, the two are joined. How many connections wait is in its metrics: the operator starts a server
for them. Standard library only, so that a few megabytes are all that an idle service costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass, field

from pydantic import Field

from trimtab_workloads.common.config import WorkloadConfig
from trimtab_workloads.common.entry import run_entry_point
from trimtab_workloads.common.log import log

_CHUNK_BYTES = 1 << 16


class WakerConfig(WorkloadConfig):
    """What is held, and for whom."""

    upstream: str = Field(min_length=1)
    """Host under which the servers answer once they are ready."""
    ports: tuple[int, ...] = Field(default=(8000, 8001), min_length=1)
    """Ports to listen on, and of the servers."""
    address: str = "0.0.0.0"
    """Address to listen on."""
    metrics_port: int = Field(default=8002, gt=0, lt=65536)
    """Where Prometheus reads how many wait."""
    hold_seconds: float = Field(default=300, gt=0)
    """How long a connection may wait before it is closed."""
    most_waiting: int = Field(default=1000, gt=0)
    """Connections that may wait; a further one is closed at once."""
    retry_seconds: float = Field(default=0.2, gt=0)
    """Time between two looks for a server."""
    upstream_ports: tuple[int, ...] = ()
    """Ports of the servers, where they differ from those listened on."""


@dataclass
class Waker:
    """Connections that wait, and those that were joined to a server."""

    config: WakerConfig
    waiting: int = 0
    held: int = 0
    """Connections that ever came."""
    dropped: int = 0
    """Connections that were closed without a server."""
    servers: list[asyncio.Server] = field(default_factory=list)

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: A port is taken.
        """
        upstream_ports = self.config.upstream_ports or self.config.ports
        for port, upstream_port in zip(self.config.ports, upstream_ports, strict=True):
            self.servers.append(await self._listen(port, upstream_port))
        self.servers.append(await asyncio.start_server(self._metrics, self.config.address, self.config.metrics_port))

    async def _listen(self, port: int, upstream_port: int) -> asyncio.Server:
        async def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._hold(reader, writer, upstream_port)

        return await asyncio.start_server(came, self.config.address, port)

    async def close(self) -> None:
        """Listen no longer. What was joined goes on until its peers end it."""
        for server in self.servers:
            server.close()

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        self.held += 1
        upstream = await self._server(port) if self.waiting < self.config.most_waiting else None
        if upstream is None:
            self.dropped += 1
            log("dropped", waiting=self.waiting, holdSeconds=self.config.hold_seconds)
            writer.transport.abort()
            return
        await asyncio.gather(_pass_on(reader, upstream[1]), _pass_on(upstream[0], writer))

    async def _server(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to a server, once there is one; None when none came in time."""
        self.waiting += 1
        try:
            async with asyncio.timeout(self.config.hold_seconds):
                while True:
                    with contextlib.suppress(OSError):
                        # A Service without endpoints refuses or, by its network, just does not answer.
                        async with asyncio.timeout(1.0):
                            return await asyncio.open_connection(self.config.upstream, port)
                    await asyncio.sleep(self.config.retry_seconds)
        except TimeoutError:
            return None
        finally:
            self.waiting -= 1

    async def _metrics(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers whatever is asked with the metrics, in Prometheus' text format."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
            body = self.exposition().encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        writer.close()

    def exposition(self) -> str:
        """The metrics."""
        return (
            "# HELP trimtab_waiting_connections Connections that wait for a server.\n"
            "# TYPE trimtab_waiting_connections gauge\n"
            f"trimtab_waiting_connections {self.waiting}\n"
            "# HELP trimtab_held_connections_total Connections that came while no server was ready, or just after.\n"
            "# TYPE trimtab_held_connections_total counter\n"
            f"trimtab_held_connections_total {self.held}\n"
            "# HELP trimtab_dropped_connections_total Connections that were closed without a server.\n"
            "# TYPE trimtab_dropped_connections_total counter\n"
            f"trimtab_dropped_connections_total {self.dropped}\n"
        )


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side ends; an end is passed on too, so that half-closed connections work."""
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


async def serve(config: WakerConfig) -> None:
    """Hold connections until SIGTERM; then those that were joined may end by themselves, in the pod's grace period."""
    waker, stop = Waker(config), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await waker.start()
    log("holding", upstream=config.upstream, ports=list(config.ports))
    await stop.wait()
    await waker.close()
    current = asyncio.current_task()
    open_connections = [task for task in asyncio.all_tasks() if task is not current]
    if open_connections:
        await asyncio.wait(open_connections)


def run(config: WakerConfig) -> int:
    """Runs until SIGTERM."""
    asyncio.run(serve(config))
    return 0


if __name__ == "__main__":
    run_entry_point(WakerConfig, run)
