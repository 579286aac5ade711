# ruff: noqa: N818 - named as the API server names its reasons.
"""What can go wrong in a call to the Kubernetes API, as types that callers can tell apart."""

import json
from typing import Any


class KubeError(Exception):
    """A call that the API server refused, or that never got through.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        reason: Kubernetes' machine-readable reason, such as `AlreadyExists`.
        message: The server's own words.
    """

    def __init__(self, status: int, reason: str, message: str, call: str = "") -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.call = call
        super().__init__(f"{call}: {status} {reason}: {message}" if call else f"{status} {reason}: {message}")


class Invalid(KubeError):
    """The object itself is wrong (400, 422): sending it again as it is cannot help."""


class Forbidden(KubeError):
    """The operator lacks the right (401, 403)."""


class NotFound(KubeError):
    """What the call needs is gone (404): the object, or its namespace."""


class Conflict(KubeError):
    """It exists already, or has changed meanwhile (409)."""


class Expired(KubeError):
    """The continue token or resource version is too old (410)."""


class Unavailable(KubeError):
    """No answer, or none that helps (429, 5xx, a broken connection, a timeout), also after retries."""


_BY_STATUS: dict[int, type[KubeError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: Unavailable,
}

_NOT_TYPED = "failed to create typed patch object"


def error_from_response(status: int, reason: str, body: bytes, call: str) -> KubeError:
    """Turn an answer that is not a success into the error that fits it.

    Args:
        status: HTTP status.
        reason: HTTP reason phrase; used when the body is no Kubernetes Status.
        body: The answer's body.
        call: What was asked, such as `PATCH /api/v1/...`.
    """
    detail: dict[str, Any] = {}
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        detail = parsed
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else KubeError)
    message = str(detail.get("message") or body[:500].decode("utf-8", "replace").strip() or reason)
    # Server-side apply answers an unknown field or a wrong type with 500, although no retry can help.
    if status == 500 and _NOT_TYPED in message:
        kind = Invalid
    # A namespace on its way out refuses new objects with 403: that is no lack of rights.
    causes = (detail.get("details") or {}).get("causes") or ()
    if status == 403 and any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        kind = NotFound
    return kind(status, str(detail.get("reason") or reason), message, call)
