"""The operator's log: one JSON object a line for machines, or plain text for people."""

import json
import logging
from datetime import UTC, datetime

from trimtab.handlers.settings import SettingsError

_LEVELS = ("debug", "info", "warning", "error")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; an exception's traceback goes into `error`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(level: str, form: str) -> None:
    """Set up the root logger.

    Raises:
        SettingsError: when level or form is none that we know.
    """
    if level.lower() not in _LEVELS:
        raise SettingsError(f"TRIMTAB_LOG_LEVEL={level!r}: must be one of {', '.join(_LEVELS)}")
    if form not in ("json", "text"):
        raise SettingsError(f"TRIMTAB_LOG_FORMAT={form!r}: must be json or text")
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf's own chatter about each watch event is of use only when it is debugged.
    logging.getLogger("kopf").setLevel(logging.DEBUG if level.lower() == "debug" else logging.WARNING)
    # One line for each question of the API server would drown everything else.
    logging.getLogger("aiohttp.access").setLevel(logging.DEBUG if level.lower() == "debug" else logging.WARNING)
