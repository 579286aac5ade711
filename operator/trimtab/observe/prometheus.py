"""The edge to Prometheus."""

from datetime import datetime

from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.exceptions import JSONDecodeError, RequestException
from urllib3.util.retry import Retry

from trimtab.observe.series import Series, parse_result

_RETRY = Retry(
    total=2, backoff_factor=0.2, status_forcelist=(429, 502, 503, 504), allowed_methods=("GET",), raise_on_status=False
)


class PrometheusError(Exception):
    """Prometheus could not be asked, or could not answer; the message says which, with its address."""


class Prometheus:
    """Instant queries, each bounded in time. To be used by one thread at a time."""

    def __init__(self, url: str, timeout_seconds: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self._connection = PrometheusConnect(self.url, disable_ssl=False, retry=_RETRY, timeout=timeout_seconds)

    def query(self, promql: str, at: datetime) -> list[Series]:
        """Evaluate an expression at an instant; a range selector gives the raw samples of its window.

        Raises:
            PrometheusError: when there is no usable answer.
        """
        try:
            return parse_result(self._connection.custom_query(promql, params={"time": f"{at.timestamp():.3f}"}))
        except PrometheusApiClientException as error:
            raise PrometheusError(f"Prometheus at {self.url} refused {promql!r}: {error}") from error
        except JSONDecodeError as error:
            raise PrometheusError(f"what answers at {self.url} is not Prometheus: it sends no JSON") from error
        except RequestException as error:
            raise PrometheusError(f"Prometheus at {self.url} cannot be asked: {_cause(error)}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # The library takes the shape of an answer for granted; another service has a different one.
            raise PrometheusError(f"what answers at {self.url} is not Prometheus: {error!r}") from error

    def close(self) -> None:
        """Close its connections."""
        self._connection.close()


def _cause(error: BaseException) -> str:
    """The innermost reason in one line: requests wraps errors several times over."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}"


def seconds(value: float) -> str:
    """A PromQL duration."""
    return f"{round(value * 1000)}ms"
