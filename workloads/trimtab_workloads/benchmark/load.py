"""`python3 -m trimtab_workloads.benchmark.load`: open-loop load on a Triton server.

Requests are sent when they are due, whether or not earlier ones were answered, and latency counts from then: a server
that stalls is charged for all that it kept waiting (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import signal

import grpc
from prometheus_client import start_http_server

from trimtab_workloads.benchmark.arrivals import FileSchedule, Schedule, arrivals, from_stages
from trimtab_workloads.benchmark.config import LoadConfig
from trimtab_workloads.benchmark.connections import Connections
from trimtab_workloads.benchmark.requests import Prepared, prepare
from trimtab_workloads.benchmark.stats import Stats
from trimtab_workloads.common.entry import EXIT_OK, run_entry_point
from trimtab_workloads.common.log import log
from trimtab_workloads.common.termination import write_result


class Load:
    """A load while it runs."""

    def __init__(self, config: LoadConfig, prepared: list[Prepared], stats: Stats) -> None:
        self._config = config
        self._prepared = prepared
        self._stats = stats
        self._connections = Connections(config.url, config.connections, config.max_connection_seconds)
        self._stop = asyncio.Event()
        self._in_flight: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Sends nothing more; what is in flight is still waited for."""
        self._stop.set()

    async def run(self, schedule: Schedule) -> None:
        """Runs to the end of the schedule, or to `stop`, and until the last request is over.

        Raises:
            TimeoutError: The server could not be reached before the load began.
        """
        await self._connections.open(self._config.start_timeout_seconds)
        log("load_started", url=self._config.url, model=self._config.model)
        reporter = asyncio.create_task(self._report())
        try:
            await self._send_all(schedule)
            while self._in_flight:
                await asyncio.wait(self._in_flight)
        finally:
            reporter.cancel()
            await self._connections.close()

    async def _send_all(self, schedule: Schedule) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        number = 0
        for arrival in arrivals(schedule, self._config.seed):
            self._stats.target.set(arrival.requests_per_second)
            due = began + arrival.at_seconds
            # Also when late: without a pause the answers would never be read.
            await self._pause(due - loop.time())
            if self._stop.is_set():
                return
            if arrival.is_request:
                self._send(self._prepared[number % len(self._prepared)], due)
                number += 1

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        # A second is the longest anyone waits for a stop, and a timer is much cheaper than waiting on the event.
        while seconds > 0 and not self._stop.is_set():
            await asyncio.sleep(min(seconds, 1.0))
            seconds -= 1.0

    def _send(self, prepared: Prepared, due: float) -> None:
        self._stats.due()
        if len(self._in_flight) >= self._config.max_in_flight:
            self._stats.fail(f"not sent: {self._config.max_in_flight} requests were in flight")
            return
        task = asyncio.create_task(self._request(prepared, due))
        self._in_flight.add(task)
        self._stats.in_flight = len(self._in_flight)
        task.add_done_callback(self._in_flight.discard)

    async def _request(self, prepared: Prepared, due: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            left = due + self._config.timeout_seconds - loop.time()
            response = await self._connections.infer(prepared.message, max(0.001, left))
        except grpc.aio.AioRpcError as error:
            self._stats.fail(f"{error.code().name}: {error.details()}")
            return
        latency = loop.time() - due
        self._stats.succeed(latency, response.model_version, len(prepared.labels), prepared.correct(response))

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._stats.in_flight = len(self._in_flight)
            log("second", **self._stats.take_second())


async def _run(config: LoadConfig) -> None:
    load = Load(config, prepare(config.heldout, config.model, config.batch, config.seed), stats := Stats())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, load.stop)
    server, _ = start_http_server(config.metrics_port)
    log("started", metrics_port=server.server_port)
    file = config.stages_file
    await load.run(FileSchedule(file) if file else from_stages(config.stages, config.loop))
    write_result({"kind": "load", **stats.total.summary()})


def run(config: LoadConfig) -> int:
    """Runs a load and writes its summary; returns the exit status."""
    asyncio.run(_run(config))
    return EXIT_OK


if __name__ == "__main__":
    run_entry_point(LoadConfig, run)
