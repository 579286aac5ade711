"""Time zones by their IANA names, as the resources use them."""

import re
import zoneinfo
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from trimtab.api.schema import Cel

_PATTERN = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"
_MESSAGE = 'must be an IANA time zone such as "Europe/Madrid", "America/New_York" or "UTC"'


def _check_zone(value: str) -> str:
    if re.fullmatch(_PATTERN, value) is None or value not in zoneinfo.available_timezones():
        raise ValueError(f"{value!r}: {_MESSAGE}")
    return value


TimeZone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    AfterValidator(_check_zone),
    Cel(f"self.matches('{_PATTERN}')", _MESSAGE),
    # The API server knows the zones: with one that it does not know, the expression fails, and the object is refused.
    Cel("!self.matches('^[A-Za-z]') || timestamp('2026-01-01T12:00:00Z').getHours(self) >= 0", _MESSAGE),
]
"""A time zone by its IANA name; daylight saving time is kept."""
