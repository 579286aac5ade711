"""One fetch of one source: reads its key from the Secret, and asks the client of its kind."""

import base64
import binascii
from datetime import datetime

from trimtab.api.carbon import CarbonSourceSpec
from trimtab.api.signals import (
    CarbonAwareSDK,
    ElectricityMaps,
    PrometheusIntensity,
    SecretKey,
    UKCarbonIntensity,
    WattTime,
)
from trimtab.kube.client import KubeClient
from trimtab.kube.errors import Forbidden, KubeError
from trimtab.kube.paths import SECRETS, object_path
from trimtab.observe.signals import carbon_aware_sdk, prometheus_query, uk_carbon_intensity
from trimtab.observe.signals.electricity_maps import ElectricityMapsClient
from trimtab.observe.signals.http import Http
from trimtab.observe.signals.signal import Reason, Signal, SignalError
from trimtab.observe.signals.watttime import WattTimeClient


class LiveSources:
    """Asks sources of every kind. Safe to share between threads."""

    def __init__(self, kube: KubeClient, http: Http, prometheus_url: str) -> None:
        """Set up.

        Args:
            kube: Reads Secrets. A key is read for each fetch: one that was replaced is used at once, none is kept.
            http: Asks the APIs.
            prometheus_url: The operator's own Prometheus; empty when there is none.
        """
        self._kube, self._http, self._prometheus_url = kube, http, prometheus_url
        self._electricity_maps = ElectricityMapsClient(http)
        self._watttime = WattTimeClient(http)

    def fetch(self, spec: CarbonSourceSpec, now: datetime) -> Signal:
        """Ask the source once.

        Raises:
            SignalError: when it gives nothing usable.
        """
        source = spec.live
        match source:
            case PrometheusIntensity():
                token = self._key(source.token) if source.token else ""
                return prometheus_query.fetch(self._http, source, source.url or self._prometheus_url, token, now)
            case ElectricityMaps():
                key = self._key(source.key)
                return self._electricity_maps.fetch(source, spec.zone, key, spec.forecast_horizon, now)
            case WattTime(login=login):
                namespace, name = login.namespace, login.name
                user, password = (
                    self._key(SecretKey(namespace=namespace, name=name, key=key))
                    for key in (login.username_key, login.password_key)
                )
                return self._watttime.fetch(source, spec.zone, (user, password), spec.forecast_horizon, now)
            case UKCarbonIntensity():
                return uk_carbon_intensity.fetch(self._http, source, now)
            case CarbonAwareSDK():
                return carbon_aware_sdk.fetch(self._http, source, spec.zone, now)
        raise SignalError(Reason.NO_DATA, "the source names nothing that could be fetched")

    def _key(self, reference: SecretKey) -> str:
        """The key that a Secret holds.

        Raises:
            SignalError: when it cannot be read; the message never holds it.
        """
        name = f"Secret {reference.namespace}/{reference.name}"
        try:
            found = self._kube.get(object_path(SECRETS, reference.name, reference.namespace))
        except Forbidden as error:
            raise SignalError(
                Reason.NO_KEY,
                f"{name} may not be read by the operator: put it into carbon.secretNamespaces and carbon.secretNames "
                "of the chart",
            ) from error
        except KubeError as error:
            raise SignalError(Reason.NO_KEY, f"{name} cannot be read: {error.message}") from error
        if found is None:
            raise SignalError(Reason.NO_KEY, f"{name} does not exist")
        data = found.get("data") or {}
        if reference.key not in data:
            keys = ", ".join(repr(key) for key in sorted(data)) or "none"
            raise SignalError(Reason.NO_KEY, f"{name} has no key {reference.key!r}; its keys are {keys}")
        try:
            text = base64.b64decode(data[reference.key]).decode().strip()
        except (binascii.Error, UnicodeDecodeError, TypeError) as error:
            raise SignalError(Reason.NO_KEY, f"{name}: key {reference.key!r} holds no text") from error
        if not text or not text.isprintable() or not text.isascii():
            raise SignalError(Reason.NO_KEY, f"{name}: key {reference.key!r} must hold one line of plain text")
        return text
