"""The webhook's certificate over its life: two operators at once, renewal, a new authority, no request unreviewed."""

import asyncio
import base64
import http.client
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.control_plane.admission_world import NAME, SECRET, SYSTEM, World, workload, world
from tests.control_plane.operator_process import TORCH, free_port

from trimtab.handlers.webhook_certificates import (
    CertificateKeeper,
    SelfSigned,
    certificates_in,
    follow_files,
    keep_self_signed,
)
from trimtab.handlers.webhook_server import WebhookServer
from trimtab.kube.certificates import AUTHORITY_LIFE, SERVING_LIFE, Certificates, expires_at, renewed
from trimtab.kube.client import KubeClient
from trimtab.kube.paths import MUTATING_WEBHOOKS, SECRETS, VALIDATING_WEBHOOKS, object_path

pytestmark = pytest.mark.xdist_group("admission-certificates")


class Clock:
    """A clock that is put forward by hand. The API server's own stays where it is."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world("certificates", tmp_path_factory.mktemp("certificates")) as up:
        yield up


@pytest.fixture
def kube(here: World) -> Iterator[KubeClient]:
    """With the chart's rights."""
    client = KubeClient.from_kubeconfig(str(here.kubeconfig))
    yield client
    client.close()


@pytest.fixture
def empty(here: World) -> None:
    """The Secret and the configurations as the chart installs them."""
    here.api.kubectl("delete", "secret", SECRET, "-n", SYSTEM)
    here.api.kubectl("create", "secret", "generic", SECRET, "-n", SYSTEM)


def keeper(kube: KubeClient, directory: Path, clock: Clock | None = None) -> CertificateKeeper:
    where = SelfSigned(SYSTEM, SECRET, NAME, ("127.0.0.1",), directory)
    return CertificateKeeper(kube, where, clock or Clock())


def stored(here: World) -> Certificates:
    found = certificates_in((here.kube.get(object_path(SECRETS, SECRET, SYSTEM)) or {})["data"])
    assert found is not None
    return found


def trusted(here: World) -> set[bytes]:
    """The bundles of all webhooks."""
    found = set()
    for resource in (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS):
        for webhook in (here.kube.get(object_path(resource, NAME)) or {})["webhooks"]:
            found.add(base64.b64decode(webhook["clientConfig"].get("caBundle", "")))
    return found


def versions(here: World) -> list[str]:
    paths = [
        object_path(SECRETS, SECRET, SYSTEM),
        *(object_path(r, NAME) for r in (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS)),
    ]
    return [(here.kube.get(path) or {})["metadata"]["resourceVersion"] for path in paths]


@pytest.mark.usefixtures("empty")
def test_two_operators_at_once_come_to_one_authority(here: World, kube: KubeClient, tmp_path: Path) -> None:
    keepers = [keeper(kube, tmp_path / str(number)) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        files = [path.read_bytes() for path, _ in pool.map(CertificateKeeper.keep, keepers)]
    certificates = stored(here)
    assert set(files) == {certificates.serving + certificates.serving_key}
    assert trusted(here) == {certificates.authorities}


@pytest.mark.usefixtures("empty")
def test_at_rest_nothing_is_written_and_what_others_took_away_is_put_back(
    here: World, kube: KubeClient, tmp_path: Path
) -> None:
    mine = keeper(kube, tmp_path)
    mine.keep()
    before = versions(here)
    mine.keep()
    assert versions(here) == before
    patch = '[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]'
    here.api.kubectl("patch", "mutatingwebhookconfiguration", NAME, "--type=json", "-p", patch)
    mine.keep()
    assert trusted(here) == {stored(here).authorities}
    # The rest of the configuration is the chart's, and stays so.
    (webhook,) = (here.kube.get(object_path(VALIDATING_WEBHOOKS, NAME)) or {})["webhooks"]
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"]) == ("Ignore", 3)
    assert webhook["clientConfig"]["url"] == f"https://127.0.0.1:{here.port}/validate"


async def answer(review: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Admits everything, and says that it was asked."""
    uid = review["request"]["uid"]
    return {**review, "response": {"uid": uid, "allowed": True, "warnings": ["reviewed"]}}


@asynccontextmanager
async def listening(server: WebhookServer) -> AsyncIterator[None]:
    """The server, for as long as it is needed."""

    async def serve() -> None:
        async for _ in server(answer):  # type: ignore[arg-type]
            pass

    task = asyncio.create_task(serve())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def connect(port: int, bundle: bytes) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cadata=bundle.decode())
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    connection.connect()
    return connection


def shown(connection: http.client.HTTPSConnection) -> int:
    """Serial number of the certificate that the server shows."""
    data = connection.sock.getpeercert(binary_form=True)
    assert data is not None
    return x509.load_der_x509_certificate(data).serial_number


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("empty")
def test_through_renewal_and_a_new_authority_the_api_server_is_always_answered(
    here: World, kube: KubeClient, tmp_path: Path
) -> None:
    """The Secret ages by the operator's clock; what is valid is judged by the API server's, as it would be."""
    clock = Clock()
    mine = keeper(kube, tmp_path, clock)
    object_ = workload("TrainingWorkload", "probe", TORCH)

    def reviewed() -> bool:
        done: subprocess.CompletedProcess[str] = here.apply(object_, "--dry-run=server")
        return done.returncode == 0 and "Warning: reviewed" in done.stderr

    async def life() -> list[int]:
        server, serials, now = WebhookServer(here.port), list[int](), clock.now

        async def keep(at: datetime) -> Path:
            clock.now = at
            path, _ = await asyncio.to_thread(mine.keep)
            serials.append(x509.load_pem_x509_certificate(stored(here).serving).serial_number)
            return path

        async with listening(server):
            # An authority that is two thirds through its life by now, and a serving certificate of two days ago.
            await keep(now - AUTHORITY_LIFE * 2 / 3)
            path = await keep(now - timedelta(days=2))
            server.use(path, path)
            await eventually(reviewed)
            first = stored(here)
            path = await keep(now)
            # The API server trusts both authorities, while the server still shows what the first one signed.
            assert stored(here).authorities.endswith(first.authorities)
            assert trusted(here) == {stored(here).authorities}
            assert await asyncio.to_thread(reviewed)
            server.use(path, path)
            assert await asyncio.to_thread(reviewed)
            connection = await asyncio.to_thread(connect, here.port, stored(here).authorities)
            assert shown(connection) == serials[-1]
            connection.close()
        # The API server keeps its connections open: to a server that has just started it has to make a new one.
        server = WebhookServer(here.port)
        async with listening(server):
            server.use(path, path)
            await eventually(reviewed)
        return serials

    assert len(set(asyncio.run(life()))) == 3


def test_a_new_certificate_is_shown_without_a_break_and_open_connections_go_on(tmp_path: Path) -> None:
    port, now = free_port(), datetime.now(UTC)
    first = renewed(None, ("127.0.0.1",), now - SERVING_LIFE * 0.7)
    second = renewed(first, ("127.0.0.1",), now)
    paths = [tmp_path / "first.pem", tmp_path / "second.pem"]
    for path, one in zip(paths, (first, second), strict=True):
        path.write_bytes(one.serving + one.serving_key)

    def ask(connection: http.client.HTTPSConnection) -> int:
        connection.request("POST", "/validate", '{"request": {"uid": "u"}}')
        answered = connection.getresponse()
        answered.read()
        return answered.status

    async def life() -> None:
        server = WebhookServer(port)
        async with listening(server):
            await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.to_thread(connect, port, first.authorities)
            server.use(paths[0], paths[0])

            def open_() -> bool:
                with suppress(ConnectionRefusedError):
                    connect(port, first.authorities).close()
                    return True
                return False

            await eventually(open_)
            old = await asyncio.to_thread(connect, port, first.authorities)
            assert await asyncio.to_thread(ask, old) == 200
            server.use(paths[1], paths[1])
            new = await asyncio.to_thread(connect, port, first.authorities)
            assert shown(new) != shown(old)
            assert [await asyncio.to_thread(ask, one) for one in (old, new)] == [200, 200]
            old.close()
            new.close()

    asyncio.run(life())


def test_files_of_somebody_else_are_followed(tmp_path: Path) -> None:
    port, now = free_port(), datetime.now(UTC)
    certificates = [renewed(None, ("127.0.0.1",), now) for _ in range(2)]

    def put(one: Certificates) -> None:
        (tmp_path / "tls.crt").write_bytes(one.serving)
        (tmp_path / "tls.key").write_bytes(one.serving_key)

    def shows(one: Certificates) -> bool:
        with suppress(OSError):
            connect(port, one.authorities).close()
            return True
        return False

    async def life() -> None:
        server, ends = WebhookServer(port), list[datetime]()
        following = asyncio.create_task(follow_files(tmp_path, server, ends.append, 0.05, 0.05))
        async with listening(server):
            for one in certificates:
                put(one)
                await eventually(lambda one=one: shows(one))
        following.cancel()
        assert ends == [expires_at(one.serving) for one in certificates]

    asyncio.run(life())


def test_without_rights_the_operator_runs_on_and_says_so(
    here: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here.api.kubectl("create", "serviceaccount", "nobody", "-n", SYSTEM)
    token = here.api.kubectl("create", "token", "nobody", "-n", SYSTEM).strip()
    config = tmp_path / "kubeconfig"
    text = here.kubeconfig.read_text().splitlines()
    config.write_text(
        "\n".join(f"{line.partition('token:')[0]}token: {token}" if "token:" in line else line for line in text)
    )
    powerless = KubeClient.from_kubeconfig(str(config))

    async def life() -> None:
        mine = keeper(powerless, tmp_path)
        task = asyncio.create_task(keep_self_signed(mine, WebhookServer(free_port()), lambda _: None))
        await eventually(lambda: "no certificate for the admission webhooks" in caplog.text)
        assert not task.done()
        task.cancel()

    asyncio.run(life())
    assert "Forbidden" in caplog.text
    powerless.close()
