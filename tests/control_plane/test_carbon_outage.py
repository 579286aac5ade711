"""The real operator process through an outage of a carbon API: what it says, what it falls back to, how it recovers."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.control_plane.operator_process import Operator, running
from tests.unit.signals.servers import HOUR, Reply, Request, as_json, serving

from trimtab.kube.client import KubeClient
from trimtab.kube.paths import OWN, object_path

KEY = "a-key-that-nobody-may-see"


def electricity_maps(request: Request) -> Reply:
    """History and forecast that were made this very moment."""
    if request.headers.get("auth-token") != KEY:
        return as_json({"error": f"Invalid auth-token {request.headers.get('auth-token')}"}, 401)
    now = datetime.now(UTC)
    top = now.replace(minute=0, second=0, microsecond=0)
    if request.path.endswith("/history"):
        # The last measured hour has ended: from then on it is the forecast that keeps the data fresh.
        hours = [{"datetime": (top - HOUR * i).isoformat(), "carbonIntensity": 300} for i in range(24, 0, -1)]
        return as_json({"zone": "DE", "history": hours})
    ahead = [{"datetime": (top + HOUR * i).isoformat(), "carbonIntensity": 200} for i in range(48)]
    return as_json({"zone": "DE", "forecast": ahead, "updatedAt": now.isoformat()})


@pytest.fixture
def kube(crds: Any) -> Iterator[KubeClient]:
    client = KubeClient.from_kubeconfig(str(crds.kubeconfig))
    yield client
    for name in ("outage-live", "outage-mean"):
        client.delete(object_path(OWN["CarbonSource"], name))
    client.close()


def apply(kube: KubeClient, name: str, **spec: Any) -> None:
    body = {"apiVersion": "trimtab.dev/v1alpha1", "kind": "CarbonSource", "metadata": {"name": name}, "spec": spec}
    kube.apply(object_path(OWN["CarbonSource"], name), body)


def shown(kube: KubeClient, name: str) -> dict[str, str]:
    """Reasons of the conditions with their status, and the figure."""
    status = (kube.get(object_path(OWN["CarbonSource"], name)) or {}).get("status") or {}
    found = {c["type"]: f"{c['status']} {c['reason']}" for c in status.get("conditions", ())}
    return {**found, "grams": status.get("gramsPerKWh", ""), "message": status.get("message", "")}


def test_an_outage_is_said_bridged_and_forgotten(crds: Any, kube: KubeClient, tmp_path: Path) -> None:
    reference = {"namespace": "default", "name": "outage-keys", "key": "em"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "outage-keys", "namespace": "default"}}
    operator = Operator(crds.kubeconfig, tmp_path)
    with serving(electricity_maps) as server, running(operator):
        api = {"key": reference, "url": f"{server.url}/v3"}
        apply(kube, "outage-mean", zone="DE", table={"country": "DE"})
        apply(kube, "outage-live", zone="DE", electricityMaps=api, refresh="1s", staleAfter="6s")

        def until(what: str, name: str, **expected: str) -> None:
            def so() -> bool:
                now = shown(kube, name)
                return all(now.get(key, "").startswith(text) for key, text in expected.items())

            operator.wait_for(so, f"{what}: {shown(kube, name)}")

        until("a missing Secret", "outage-live", CarbonDataFresh="False NoKey", InForce="False NotFresh")
        until("the mean takes the zone", "outage-mean", CarbonDataFresh="True Fresh", InForce="True Fallback")
        for text, reason in (("some-old-key", "False Unauthorized"), (KEY, "True Fresh")):
            body = {**secret, "stringData": {"em": text}}
            crds.kubectl("apply", "-f", "-", input=json.dumps(body))
            until(f"the key {text}", "outage-live", CarbonDataFresh=reason)
        until("the live source decides", "outage-live", InForce="True First", grams="200")
        until("the mean stands by", "outage-mean", InForce="False OtherComesFirst")

        server.answer = lambda _: Reply(429, headers={"Retry-After": "1"})
        until("the rate limit", "outage-live", CarbonDataFresh="False RateLimited", InForce="False NotFresh")
        until("the mean takes over", "outage-mean", InForce="True Fallback")
        # What was fetched before is still there, as long as nothing better comes; a slow server changes nothing.
        passes, release = operator.passes(), Event()
        server.answer = lambda _: Reply(send=lambda _: release.wait(60))
        operator.wait_for(lambda: operator.passes() >= passes + 3, "passes while the API hangs", timeout_seconds=15)

        server.answer = electricity_maps
        release.set()
        until("it recovers", "outage-live", CarbonDataFresh="True Fresh", InForce="True First", message="")
        states = {s.meta.name: s for s in operator.snapshot().carbon}
        assert states["outage-live"].forecast_by == "Source"
        assert states["outage-live"].points[-1].start > datetime.now(UTC) + timedelta(hours=40)
        stored = json.dumps(kube.get(object_path(OWN["CarbonSource"], "outage-live")))
        for text in (operator.log(), operator.snapshot_path.read_text(), stored):
            assert KEY not in text
            assert "some-old-key" not in text
    crds.kubectl("delete", "secret", "outage-keys", "-n", "default")
