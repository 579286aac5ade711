"""Settings of the operator, from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, fields


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


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: when a variable is not a number where one is needed, or not above zero.
    """
    values: dict[str, str | float | int] = {}
    for field in fields(Settings):
        name = f"TRIMTAB_{field.name.upper()}"
        text = environment.get(name, "").strip()
        if not text:
            continue
        if field.type is str or field.type == "str":
            values[field.name] = text
            continue
        try:
            number = int(text) if field.type in (int, "int") else float(text)
        except ValueError as error:
            raise SettingsError(f"{name}={text!r} is not a number; write for example {field.default}") from error
        if not number > 0:
            raise SettingsError(f"{name}={text!r} must be above zero, for example {field.default}")
        values[field.name] = number
    return Settings(**values)  # type: ignore[arg-type]
