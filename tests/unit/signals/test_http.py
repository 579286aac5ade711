"""The HTTP client of carbon signals against servers that misbehave in every way."""

import email.utils
import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from threading import Event

import pytest

from tests.unit.signals.servers import Reply, Request, Server, as_json, serving, with_etag
from trimtab.observe.signals.http import Http, HttpSettings, _RecentAnswers
from trimtab.observe.signals.signal import Reason, SignalError

QUICK = HttpSettings(timeout_seconds=5, backoff_seconds=0.01)
KEY = "very-secret-key"


@pytest.fixture
def http() -> Iterator[Http]:
    client = Http(QUICK)
    yield client
    client.close()


def refused(http: Http, server: Server, path: str = "/x", **more: object) -> SignalError:
    with pytest.raises(SignalError) as caught:
        http.get_json(server.url + path, **more)
    return caught.value


def sequence(*replies: Reply) -> Callable[[Request], Reply]:
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_json_is_read_and_headers_are_sent(http: Http) -> None:
    with serving(lambda _: as_json({"a": 1})) as server:
        assert http.get_json(server.url + "/x", {"zone": "DE"}, {"auth-token": KEY}) == {"a": 1}
        (request,) = server.requests
    assert (request.path, request.query) == ("/x", {"zone": "DE"})
    assert request.headers["auth-token"] == KEY
    assert request.headers["user-agent"] == "trimtab"


def test_what_has_not_changed_is_not_sent_again(http: Http) -> None:
    with serving(lambda request: with_etag(as_json({"a": [1, 2]}), request)) as server:
        first, second = http.get_json(server.url + "/x"), http.get_json(server.url + "/x")
        assert first == second == {"a": [1, 2]}
        assert "if-none-match" not in server.requests[0].headers
        assert server.requests[1].headers["if-none-match"].startswith('W/"')
        server.answer = lambda request: with_etag(as_json({"a": [3]}), request)
        assert http.get_json(server.url + "/x") == {"a": [3]}


def test_a_date_of_change_is_sent_beside_the_tag(http: Http) -> None:
    date = "Tue, 24 Nov 2026 12:00:00 GMT"

    def answer(request: Request) -> Reply:
        reply = as_json({"a": 1}, **{"Last-Modified": date, "Cache-Control": "no-cache"})
        return with_etag(reply, request)

    with serving(answer) as server:
        assert http.get_json(server.url) == http.get_json(server.url) == {"a": 1}
        assert [request.headers.get("if-modified-since") for request in server.requests] == [None, date]


def test_what_is_fresh_by_the_server_is_not_asked_for_again(http: Http) -> None:
    date = email.utils.format_datetime(datetime.now(UTC), usegmt=True)
    with serving(lambda _: as_json({"a": 1}, **{"Cache-Control": "max-age=3600", "Date": date})) as server:
        assert http.get_json(server.url) == http.get_json(server.url) == {"a": 1}
        assert len(server.requests) == 1


def test_a_failure_of_the_server_is_tried_again(http: Http) -> None:
    with serving(sequence(Reply(500), Reply(503), as_json([1]))) as server:
        assert http.get_json(server.url) == [1]
        assert len(server.requests) == 3


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_keeps_failing_is_unreachable(http: Http, status: int) -> None:
    with serving(lambda _: Reply(status, b"upstream is down", {"Retry-After": "120"})) as server:
        error = refused(http, server)
        assert (error.reason, error.retry_after) == (Reason.UNREACHABLE, timedelta(seconds=120))
        assert f"HTTP {status}: upstream is down" in str(error)
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.NOT_FOUND),
        (401, Reason.UNAUTHORIZED),
        (403, Reason.UNAUTHORIZED),
        (404, Reason.NOT_FOUND),
        (410, Reason.BAD_ANSWER),
        (422, Reason.NOT_FOUND),
        (429, Reason.RATE_LIMITED),
    ],
)
def test_a_refusal_is_told_and_not_repeated_at_once(http: Http, status: int, reason: Reason) -> None:
    with serving(lambda _: as_json({"error": "no"}, status)) as server:
        error = refused(http, server)
        assert error.reason is reason
        assert f"GET {server.url}/x: HTTP {status}" in str(error)
        assert len(server.requests) == 1


def test_retry_after_is_honoured_as_seconds_and_as_date(http: Http) -> None:
    later = email.utils.format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    for value, least, most in (("90", 90, 90), (later, 590, 600), ("soon", None, None), ("1e99", 86_400, 86_400)):
        with serving(lambda _, value=value: Reply(429, headers={"Retry-After": value})) as server:
            waits = refused(http, server).retry_after
            if least is None:
                assert waits is None
            else:
                assert waits is not None
                assert least <= waits.total_seconds() <= most


def test_a_key_is_never_told(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(lambda request: as_json({"error": f"{request.headers} is no key"}, 401)) as server:
        for more in ({"headers": {"Authorization": f"Bearer {KEY}"}}, {"headers": {"auth-token": KEY}}):
            error = refused(http, server, **more)
            assert error.reason is Reason.UNAUTHORIZED
            assert KEY not in str(error)
        assert "s3cret" not in str(refused(http, server, auth=("ana", "s3cret")))
    assert KEY not in caplog.text
    assert "s3cret" not in caplog.text


def test_a_key_does_not_follow_a_redirect(http: Http) -> None:
    with serving(lambda _: as_json({})) as elsewhere:
        moved = Reply(302, headers={"Location": f"{elsewhere.url}/x?token={KEY}"})
        with serving(lambda _: moved) as server:
            error = refused(http, server, headers={"auth-token": KEY})
        assert error.reason is Reason.BAD_ANSWER
        assert f"redirects to {elsewhere.url}; set url" in str(error)
        assert KEY not in str(error)
        assert not elsewhere.requests


@pytest.mark.parametrize("body", [b"", b"<html>hello</html>", b'{"history": [{"a": 1}, {"a"', b"\xff\xfe\x00"])
def test_an_answer_that_is_no_json_is_bad(http: Http, body: bytes) -> None:
    with serving(lambda _: Reply(200, body)) as server:
        assert refused(http, server).reason is Reason.BAD_ANSWER


def test_an_answer_that_breaks_off_is_no_answer(http: Http) -> None:
    def broken(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"history": [')
        handler.close_connection = True

    with serving(lambda _: Reply(send=broken)) as server:
        error = refused(http, server)
    assert error.reason is Reason.UNREACHABLE
    assert "13 bytes read" in str(error)


def test_no_content_is_none(http: Http) -> None:
    with serving(lambda _: Reply(204)) as server:
        assert http.get_json(server.url) is None


def test_a_server_that_does_not_answer_is_given_up() -> None:
    http, release = Http(HttpSettings(timeout_seconds=0.2, retries=0)), Event()

    def silent(_: BaseHTTPRequestHandler) -> None:
        release.wait(30)

    with serving(lambda _: Reply(send=silent)) as server:
        assert refused(http, server).reason is Reason.UNREACHABLE
        release.set()
    http.close()


def test_a_trickle_is_given_up() -> None:
    http = Http(HttpSettings(timeout_seconds=5, total_seconds=0.3, retries=0))
    release = Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while not release.wait(0.05):
            handler.wfile.write(b"1\r\n \r\n")
            handler.wfile.flush()

    with serving(lambda _: Reply(send=trickle)) as server:
        started = time.monotonic()
        error = refused(http, server)
        release.set()
    assert error.reason is Reason.UNREACHABLE
    assert "took over 0.3 s" in str(error)
    assert time.monotonic() - started < 5
    http.close()


def test_an_answer_without_end_is_given_up() -> None:
    http = Http(HttpSettings(most_bytes=100_000))
    with serving(lambda _: Reply(200, b"[" + b"1," * 200_000)) as server:
        error = refused(http, server)
    assert error.reason is Reason.BAD_ANSWER
    assert "over 100000 bytes" in str(error)
    http.close()


def test_nobody_there(http: Http) -> None:
    with serving(lambda _: as_json({})) as server:
        pass
    error = refused(http, server)
    assert error.reason is Reason.UNREACHABLE
    assert "refused" in str(error)


def test_a_host_is_not_asked_more_often_than_allowed() -> None:
    http = Http(HttpSettings(requests_per_minute=2, total_seconds=0.2, retries=0))
    with serving(lambda _: as_json({})) as server, serving(lambda _: as_json({})) as other:
        http.get_json(server.url)
        http.get_json(server.url)
        assert refused(http, server).reason is Reason.UNREACHABLE
        assert len(server.requests) == 2
        assert http.get_json(other.url) == {}, "another host has a limit of its own"
    http.close()


def test_the_cache_does_not_grow_for_ever() -> None:
    cache = _RecentAnswers(2)
    for key in ("a", "b", "a", "c"):
        if cache.get(key) is None:
            cache.set(key, json.dumps(key).encode())
    assert [cache.get(key) for key in ("a", "b", "c")] == [b'"a"', None, b'"c"']
    cache.delete("a")
    assert cache.get("a") is None
