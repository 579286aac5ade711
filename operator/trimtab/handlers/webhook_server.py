"""The HTTPS server of the admission webhooks: kopf's, with a certificate that is changed without a gap."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import kopf

logger = logging.getLogger(__name__)

_NEVER_SECONDS = 10 * 365 * 86_400.0


class WebhookServer:
    """Begins to listen once it has a certificate. New connections get the newest one, so the server never restarts."""

    def __init__(self, port: int) -> None:
        """Describe the server; nothing listens yet.

        Args:
            port: Where to listen, on all addresses.
        """
        self._port = port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._certified = asyncio.Event()
        self._files: tuple[Path, Path] | None = None

    def use(self, certificate: Path, key: Path) -> None:
        """Show this certificate to whoever connects from now on. Called on the event loop's thread.

        Raises:
            OSError: when the files cannot be read, or do not belong together (ssl.SSLError).
        """
        self._context.load_cert_chain(certificate, key)
        self._files = (certificate, key)
        self._certified.set()

    async def __call__(self, handle: kopf.WebhookFn) -> AsyncIterator[kopf.WebhookClientConfig]:
        """The protocol that kopf asks of a webhook server."""
        await self._certified.wait()
        assert self._files is not None, "it is certified"
        certificate, key = self._files
        # The context is ours and kept up to date by `use`: kopf need not look at the files again.
        server = kopf.WebhookServer(
            addr="0.0.0.0", port=self._port, context=self._context, certfile=certificate, pkeyfile=key,
            file_check_interval=_NEVER_SECONDS,
        )  # fmt: skip
        logger.info("admission webhooks listen on port %d", self._port)
        async for config in server(handle):
            yield config
