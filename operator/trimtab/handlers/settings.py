"""Settings of the operator, from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final
from urllib.parse import urlsplit

_LONGEST_SECONDS: Final = 86_400.0
_HIGHEST_PORT: Final = 65_535
_ADMISSION: Final = ("off", "self-signed", "files")


class SettingsError(ValueError):
    """A variable of the environment is wrong; the message names it and says what would be right."""


@dataclass(frozen=True)
class Settings:
    """What the Helm chart sets. Every field is the variable `TRIMTAB_<FIELD>` in upper case."""

    prometheus_url: str = ""
    """Base URL of Prometheus; empty means that there is none: workloads run, but nothing is scaled or metered."""
    loop_seconds: float = 10.0
    """Longest time between two passes of the decision loop."""
    debounce_seconds: float = 0.5
    """Changes within this time are decided on together."""
    scrape_seconds: float = 5.0
    """Scrape interval of Prometheus: how often a breach can be seen, and how far the ledger stays behind."""
    metrics_stale_seconds: float = 60.0
    """Metrics older than this are stale."""
    relist_seconds: float = 300.0
    """How often everything is listed anew, to prune what was deleted unseen."""
    train_image: str = "trimtab/train:0.1.0"
    optimize_image: str = "trimtab/optimize:0.1.0"
    serve_image: str = "trimtab/serve:0.1.0"
    serve_nvidia_image: str = ""
    """Serving where a workload asks for accelerators; empty means `serve_image`."""
    log_level: str = "info"
    """debug, info, warning or error."""
    log_format: str = "json"
    """json (one object a line) or text."""
    metrics_port: int = 9094
    """Port of the operator's own metrics."""
    health_port: int = 8080
    """Port of /healthz."""
    snapshot_path: str = "/tmp/trimtab/snapshot.json"
    """Where the last Snapshot is kept: a bug report carries it, and `trimtab plan --snapshot` decides on it again."""
    tables_directory: str = ""
    """Where files `<table>.csv` are, whose rows replace those of the package's tables; empty means that there are
    none.
    """
    admission: str = "off"
    """off: no webhooks. self-signed: with certificates of the operator's own, in `webhook_secret`. files: with those in
    `webhook_directory`, which somebody else renews."""
    webhook_port: int = 9443
    """Port of the admission webhooks."""
    webhook_names: str = "trimtab-operator.trimtab-system.svc"
    """What the API server calls the webhooks by, one or several with commas: a self-signed certificate is for these."""
    webhook_secret: str = "trimtab-system/trimtab-operator-webhook"
    """Secret with the self-signed certificates, as namespace/name."""
    webhook_configuration: str = "trimtab-operator"
    """Name of the ValidatingWebhookConfiguration and of the MutatingWebhookConfiguration."""
    webhook_directory: str = "/tmp/trimtab/webhook"
    """Where the server's certificate is: written there when self-signed, read from there with files."""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: when a variable is not a number where one is needed, out of its range, or no URL.
    """
    values: dict[str, str | float | int] = {}
    for field in fields(Settings):
        name = f"TRIMTAB_{field.name.upper()}"
        text = environment.get(name, "").strip()
        if not text:
            continue
        if field.type is str or field.type == "str":
            values[field.name] = text
        elif field.name.endswith("_port"):
            values[field.name] = _port(name, text, field.default)
        else:
            values[field.name] = _seconds(name, text, field.default)
    settings = Settings(**values)  # type: ignore[arg-type]
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if settings.prometheus_url and not _is_url(settings.prometheus_url):
        raise SettingsError(
            f"TRIMTAB_PROMETHEUS_URL={settings.prometheus_url!r} must be a URL such as http://prometheus:9090"
        )
    if settings.admission not in _ADMISSION:
        raise SettingsError(f"TRIMTAB_ADMISSION={settings.admission!r} must be one of {', '.join(_ADMISSION)}")
    if settings.webhook_secret.count("/") != 1 or not all(settings.webhook_secret.split("/")):
        example = Settings.webhook_secret
        raise SettingsError(f"TRIMTAB_WEBHOOK_SECRET={settings.webhook_secret!r} must be like {example}")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Brackets that do not match, or a port that is none.
        return False


def _seconds(name: str, text: str, example: object) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise SettingsError(f"{name}={text!r} is not a number; write for example {example}") from error
    if not (0 < number <= _LONGEST_SECONDS):
        raise SettingsError(
            f"{name}={text!r} must be above zero and at most {_LONGEST_SECONDS:.0f}, for example {example}"
        )
    return number


def _port(name: str, text: str, example: object) -> int:
    try:
        number = int(text)
    except ValueError as error:
        raise SettingsError(f"{name}={text!r} is not a number; write for example {example}") from error
    if not 1 <= number <= _HIGHEST_PORT:
        raise SettingsError(f"{name}={text!r} must be from 1 to {_HIGHEST_PORT}, for example {example}")
    return number
