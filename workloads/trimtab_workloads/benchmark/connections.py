"""A few connections that are replaced when they grow old, so that the load follows a Service's endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from trimtab_workloads.common.log import log

_OPTIONS = (
    # Never retry: what a client would have seen fail must be counted.
    ("grpc.enable_retries", 0),
    # Channels to one address share a TCP connection unless told otherwise; a replacement must be a new one.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass
class _Connection:
    channel: grpc.aio.Channel
    stub: service_pb2_grpc.GRPCInferenceServiceStub
    in_flight: int = 0
    retired: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Connections:
    """Sends requests over connections in turn. None is replaced before its successor is connected."""

    def __init__(self, url: str, count: int, max_age_seconds: float) -> None:
        self._url = url
        self._count = count
        self._max_age_seconds = max_age_seconds
        self._current: list[_Connection] = []
        self._next = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, timeout_seconds: float) -> None:
        """Connects.

        Raises:
            TimeoutError: The server did not accept the connections in time.
        """
        async with asyncio.timeout(timeout_seconds):
            self._current = list(await asyncio.gather(*(self._connect() for _ in range(self._count))))
        self._spawn(self._renew())

    async def infer(
        self, message: service_pb2.ModelInferRequest, timeout_seconds: float
    ) -> service_pb2.ModelInferResponse:
        """Sends a request over the next connection.

        Raises:
            grpc.aio.AioRpcError: It failed, or took longer than the timeout.
        """
        connection = self._current[self._next % len(self._current)]
        self._next += 1
        connection.in_flight += 1
        try:
            return await connection.stub.ModelInfer(message, timeout=timeout_seconds)
        finally:
            connection.in_flight -= 1
            if connection.retired and connection.in_flight == 0:
                connection.idle.set()

    async def close(self) -> None:
        """Closes everything; requests in flight should be over."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(connection.channel.close() for connection in self._current))

    async def _connect(self) -> _Connection:
        channel = grpc.aio.insecure_channel(self._url, options=_OPTIONS)
        try:
            await channel.channel_ready()
        except BaseException:
            await channel.close()
            raise
        return _Connection(channel, service_pb2_grpc.GRPCInferenceServiceStub(channel))

    async def _renew(self) -> None:
        """Replaces one connection after the other, evenly over their greatest age."""
        index = 0
        while True:
            await asyncio.sleep(self._max_age_seconds / self._count)
            try:
                async with asyncio.timeout(self._max_age_seconds):
                    fresh = await self._connect()
            except TimeoutError:
                log("connection_not_renewed", url=self._url, waited_seconds=self._max_age_seconds)
                continue
            old, self._current[index] = self._current[index], fresh
            self._spawn(self._retire(old))
            index = (index + 1) % self._count

    async def _retire(self, connection: _Connection) -> None:
        connection.retired = True
        try:
            if connection.in_flight:
                await connection.idle.wait()
        finally:
            await connection.channel.close()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
