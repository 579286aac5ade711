"""Keeps the webhook's certificate: in a Secret of the operator's own, or in files that somebody else (such as
cert-manager) renews.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from trimtab.handlers.webhook_server import WebhookServer
from trimtab.kube.certificates import Certificates, expires_at, renewed
from trimtab.kube.client import KubeClient, Object
from trimtab.kube.errors import Conflict, KubeError, NotFound
from trimtab.kube.paths import MUTATING_WEBHOOKS, SECRETS, VALIDATING_WEBHOOKS, Resource, object_path

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0
"""How often is looked whether something is to be renewed, or was changed by others."""
_RETRY_SECONDS: Final = 5.0
_TRIES: Final = 3
_AUTHORITIES, _AUTHORITY_KEY, _SERVING, _SERVING_KEY = "ca.crt", "ca.key", "tls.crt", "tls.key"


@dataclass(frozen=True)
class SelfSigned:
    """An authority of the operator's own, kept in a Secret that the chart has made."""

    namespace: str
    secret: str
    configuration: str
    """Name of the two webhook configurations that trust it."""
    names: tuple[str, ...]
    """What the API server calls the webhook by."""
    directory: Path
    """Where the serving certificate is put for the server."""


def secret_data(certificates: Certificates) -> dict[str, str]:
    """The Secret's data."""
    parts = {
        _AUTHORITIES: certificates.authorities,
        _AUTHORITY_KEY: certificates.authority_key,
        _SERVING: certificates.serving,
        _SERVING_KEY: certificates.serving_key,
    }
    return {name: base64.b64encode(part).decode() for name, part in parts.items()}


def certificates_in(data: Mapping[str, str]) -> Certificates | None:
    """The certificates in a Secret's data; None where something is missing or is no base64."""
    try:
        return Certificates(
            *(base64.b64decode(data[name]) for name in (_AUTHORITIES, _AUTHORITY_KEY, _SERVING, _SERVING_KEY))
        )
    except (KeyError, binascii.Error):
        return None


class CertificateKeeper:
    """Makes and renews the certificates, and tells the API server whom to trust."""

    def __init__(self, kube: KubeClient, where: SelfSigned, clock: Callable[[], datetime]) -> None:
        self._kube, self._where, self._clock = kube, where, clock

    def keep(self) -> tuple[Path, datetime]:
        """Look after everything once: Secret, webhook configurations, file.

        The API server trusts a new authority before the server shows what it has signed.

        Returns:
            A file with the serving certificate and its key, and when the certificate expires.

        Raises:
            KubeError: when something could not be read or written.
            OSError: when the file could not be written.
        """
        certificates = self._renew()
        for resource in (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS):
            self._trust(resource, certificates.authorities)
        return self._write(certificates), expires_at(certificates.serving)

    def _renew(self) -> Certificates:
        path = object_path(SECRETS, self._where.secret, self._where.namespace)
        for attempt in range(_TRIES):
            secret = self._kube.get(path)
            if secret is None:
                raise NotFound(404, "NotFound", "the chart makes this Secret: is it installed whole?", f"GET {path}")
            present = certificates_in(secret.get("data") or {})
            wanted = renewed(present, self._where.names, self._clock())
            if wanted == present:
                return wanted
            metadata = secret["metadata"]
            body = {
                "apiVersion": "v1",
                "kind": "Secret",
                # Of two operators that begin at the same time, one writes, and the other takes what it wrote.
                "metadata": {k: metadata[k] for k in ("name", "namespace", "resourceVersion")},
                "data": secret_data(wanted),
            }
            try:
                self._kube.apply(path, body)
            except Conflict:
                if attempt == _TRIES - 1:
                    raise
            else:
                logger.info(
                    "the webhook's certificate was renewed: valid until %s", expires_at(wanted.serving).isoformat()
                )
                return wanted
        raise AssertionError("the loop returns or raises")

    def _trust(self, resource: Resource, authorities: bytes) -> None:
        path = object_path(resource, self._where.configuration)
        configuration = self._kube.get(path)
        if configuration is None:
            raise NotFound(404, "NotFound", "the chart makes this configuration: is it installed whole?", f"GET {path}")
        bundle = base64.b64encode(authorities).decode()
        webhooks: list[Object] = configuration.get("webhooks") or []
        if all(one["clientConfig"].get("caBundle") == bundle for one in webhooks):
            return
        changed = [{"name": one["name"], "clientConfig": {"caBundle": bundle}} for one in webhooks]
        kind: dict[str, Any] = {"apiVersion": resource.api_version, "kind": resource.kind}
        self._kube.apply(path, {**kind, "metadata": {"name": self._where.configuration}, "webhooks": changed})

    def _write(self, certificates: Certificates) -> Path:
        """Certificate and key in one file, so that nobody ever reads the one with the other's successor."""
        directory = self._where.directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        whole, partial = directory / "webhook.pem", directory / "webhook.partial"
        content = certificates.serving + certificates.serving_key
        if whole.exists() and whole.read_bytes() == content:
            return whole
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        os.replace(partial, whole)
        return whole


async def keep_self_signed(
    keeper: CertificateKeeper, server: WebhookServer, told: Callable[[datetime], object]
) -> None:
    """Look after the certificates for as long as the operator runs. Without them it runs on: nothing is reviewed."""
    said = ""
    while True:
        try:
            path, expiry = await asyncio.to_thread(keeper.keep)
            server.use(path, path)
            told(expiry)
            said, delay = "", LOOK_SECONDS
        except (KubeError, OSError) as error:
            if str(error) != said:
                logger.warning("no certificate for the admission webhooks, will try again: %s", error)
            said, delay = str(error), _RETRY_SECONDS
        await asyncio.sleep(delay)


async def follow_files(
    directory: Path,
    server: WebhookServer,
    told: Callable[[datetime], object],
    look_seconds: float = LOOK_SECONDS,
    retry_seconds: float = _RETRY_SECONDS,
) -> None:
    """Use `tls.crt` and `tls.key` of a directory, and their successors as somebody else puts them there."""
    certificate, key = directory / _SERVING, directory / _SERVING_KEY
    used, said = b"", ""
    while True:
        try:
            shown = certificate.read_bytes()
            digest = hashlib.sha256(shown + key.read_bytes()).digest()
            if digest != used:
                server.use(certificate, key)
                told(expires_at(shown))
                used = digest
            said, delay = "", look_seconds
        except (OSError, ValueError) as error:
            if str(error) != said:
                logger.warning("no certificate for the admission webhooks, will try again: %s", error)
            said, delay = str(error), retry_seconds
        await asyncio.sleep(delay)
