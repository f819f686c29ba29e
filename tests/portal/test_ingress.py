"""The guard decides before a byte of the body is read, and every refusal has one shape."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import Any

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import URLPattern, URLResolver
from pytest_django import Settings

import portal.urls
from portal.ingress import Ingress
from portal.models import Membership, Team, User, VirtualKey
from portal.rest import exchange
from portal.rest.request import Message, Receive, Scope, Send
from portal.rest.views import ANY_CALLER, PUBLIC, AsyncAPIView
from portal.services import catalog, keys, policy, teams
from portal.services.audit import Actor
from tests.portal.server import RawAnswer, Server, read_answer, read_to_end, request_head

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _probes(settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.portal.probes"


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error of an answer, after checking that it has the one shape."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-litellm-call-id"] == answer.headers["x-request-id"]
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) >= {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


def test_without_a_key_nothing_is_served(stranger: httpx.Client) -> None:
    answer = stranger.post("/v1/echo", json={})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert error_of(answer)["code"] == "missing_api_key"


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("authorization", "Bearer {}"),
        ("authorization", "bearer {}"),
        ("x-api-key", "{}"),
        ("api-key", "{}"),
        ("x-goog-api-key", "{}"),
        ("x-litellm-api-key", "{}"),
        ("x-litellm-api-key", "Bearer {}"),
    ],
)
def test_every_usual_header_carries_a_key(server: Server, secret: str, header: str, form: str) -> None:
    with server.client() as client:
        answer = client.post("/v1/echo", headers={header: form.format(secret)}, content=b"12345")
    assert answer.status_code == 200
    assert answer.json() == {"body": 5, "team": "Blue"}


def test_unknown_and_deleted_keys_get_the_same_answer(
    server: Server, key: VirtualKey, secret: str, actor: Actor
) -> None:
    with server.client(secret) as client:
        assert client.post("/v1/echo").status_code == 200
        keys.delete_key(actor=actor, key=key)
        catalog.refresh()
        deleted = client.post("/v1/echo")
    with server.client("sk-this-key-was-never-made") as client:
        unknown = client.post("/v1/echo")
    assert deleted.status_code == unknown.status_code == 401
    assert error_of(deleted) == error_of(unknown)
    assert error_of(unknown)["code"] == "invalid_api_key"


def test_a_blocked_key_is_told_so(server: Server, key: VirtualKey, secret: str, actor: Actor) -> None:
    keys.block_key(actor=actor, key=key)
    with server.client(secret) as client:
        answer = client.post("/v1/echo")
    assert answer.status_code == 401
    assert error_of(answer)["code"] == "key_blocked"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nope",
        "/v1",
        "/v1/",
        "/v1/chat/nope",
        "/key/nope",
        "/anything/v1/nope",
        "/v1/fi%00les",
        "/v1//files",
    ],
)
def test_unknown_addresses_of_the_api_are_a_404_in_its_own_shape(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "unknown_route"


@pytest.mark.parametrize("verb", ["GET", "POST", "DELETE"])
def test_a_program_gets_a_json_404_wherever_nobody_answers(client: httpx.Client, verb: str) -> None:
    answer = client.request(verb, "/nobody/nope")
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "unknown_route"


@pytest.mark.parametrize(
    "headers", [[], [(b"accept", b"text/html")], [(b"authorization", b"Basic YWRhOmxvdmVsYWNl")]]
)
async def test_a_browser_gets_a_page_wherever_nobody_answers_though_a_proxy_asks_for_a_password(
    headers: list[tuple[bytes, bytes]],
) -> None:
    doors: list[str] = []

    async def pages(scope: Scope, receive: Receive, send: Send) -> None:
        doors.append("pages")
        await send({"type": "http.response.start", "status": 404, "headers": []})

    async def api(scope: Scope, receive: Receive, send: Send) -> None:
        doors.append("api")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        assert message["status"] == 404

    scope = {"type": "http", "method": "GET", "path": "/nope/", "query_string": b"", "headers": headers}
    await Ingress(api, pages)(scope, receive, send)
    assert doors == ["pages"]


def test_the_wrong_verb_is_a_405_that_names_the_right_ones(stranger: httpx.Client) -> None:
    answer = stranger.put("/v1/chat/completions", content=b"{}")
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    assert error_of(answer)["code"] == "method_not_allowed"
    assert stranger.request("BREW", "/v1/files").status_code in {400, 405}


def test_options_and_head_are_answered(stranger: httpx.Client, client: httpx.Client) -> None:
    options = stranger.options("/v1/files")
    assert options.status_code == 204
    assert "POST" in options.headers["allow"]
    head = client.head("/v1/models")
    assert head.status_code == 200
    assert head.content == b""


def test_a_large_upload_without_a_key_is_answered_before_its_body(server: Server) -> None:
    with server.raw() as connection:
        connection.sendall(
            b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 314572800\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        answer = RawAnswer(read_to_end(connection))
    assert answer.status == 401
    assert answer.error["code"] == "missing_api_key"
    assert answer.headers["connection"] == "close"


def test_a_client_that_sends_on_regardless_is_cut_off(server: Server) -> None:
    sent = 0
    with server.raw() as connection:
        connection.sendall(
            b"POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        with contextlib.suppress(OSError):
            while sent < 300 * 2**20:
                connection.sendall(block)
                sent += len(block)
    assert sent < 20 * 2**20  # what the kernel's buffers on both sides hold at the most


def test_usual_clients_see_the_refusal_of_a_large_upload(stranger: httpx.Client) -> None:
    answer = stranger.post("/v1/files", files={"file": ("a.bin", b"x" * (8 * 2**20))})
    assert answer.status_code == 401


def test_a_declared_size_beyond_the_limit_is_refused_unread(
    server: Server, secret: str, settings: Settings
) -> None:
    settings.MAX_BODY_BYTES = 1000
    with server.raw() as connection:
        head = request_head("POST /v1/echo", secret, "Content-Length: 1001")
        connection.sendall(head)
        answer = read_answer(connection)
    assert answer.status == 413
    assert answer.error["code"] == "request_too_large"


def test_a_chunked_body_is_counted_as_it_comes(server: Server, secret: str, settings: Settings) -> None:
    settings.MAX_BODY_BYTES = 1000
    with server.client(secret) as client:
        fits = client.post("/v1/echo", content=iter([b"x" * 500, b"x" * 500]))
        exceeds = client.post("/v1/echo", content=iter([b"x" * 500, b"x" * 501]))
    assert fits.json()["body"] == 1000
    assert exceeds.status_code == 413


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, gzip"])
def test_compressed_bodies_are_refused(client: httpx.Client, encoding: str) -> None:
    answer = client.post("/v1/echo", content=b"{}", headers={"content-encoding": encoding})
    assert answer.status_code == 415
    assert error_of(answer)["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    "lines",
    [
        "Authorization: Bearer {0}\r\nAuthorization: Bearer {0}\r\nContent-Length: 2\r\n",
        "Authorization: Bearer {0}\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
        "Authorization: Bearer {0}\r\nContent-Length: 2\r\nContent-Length: 2\r\n",
        "Authorization: Bearer {0}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Authorization: Bearer {0}\r\nContent-Length: +2\r\n",
        "Authorization: Bearer {0}\r\nContent-Length: -2\r\n",
        "Authorization: Bearer {0}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ],
)
def test_ambiguous_framing_is_refused(server: Server, secret: str, lines: str) -> None:
    with server.raw() as connection:
        connection.sendall(f"POST /v1/echo HTTP/1.1\r\nHost: x\r\n{lines.format(secret)}\r\n{{}}".encode())
        assert read_answer(connection).status == 400


def test_headers_with_underscores_are_not_read(server: Server, secret: str) -> None:
    with server.raw() as connection:
        connection.sendall(f"GET /v1/models HTTP/1.1\r\nHost: x\r\nx_api_key: {secret}\r\n\r\n".encode())
        assert read_answer(connection).status == 401


@pytest.mark.parametrize("path", ["/v1/echo", "/v1/sums"])
def test_a_silent_client_is_sent_away(
    server: Server, secret: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(exchange, "IDLE_SECONDS", 0.1)
    with server.raw() as connection:
        head = request_head(f"POST {path}", secret, "Content-Length: 100")
        connection.sendall(head + b"abc")
        answer = read_answer(connection)
    assert answer.status == 408
    assert answer.error["code"] == "request_timeout"


def test_a_client_that_only_drips_is_sent_away(
    server: Server, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "RATE_WINDOW_SECONDS", 0.2)
    with server.raw() as connection:
        connection.settimeout(0.01)
        head = request_head("POST /v1/sums", secret, "Content-Length: 9999")
        connection.sendall(head)
        data = b""
        for _ in range(2000):
            with contextlib.suppress(OSError):
                connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                data += connection.recv(65536)
            if b"}}" in data:
                break
    assert RawAnswer(data).status == 408


def test_small_unread_bodies_leave_the_connection_open(server: Server, secret: str) -> None:
    with server.raw() as connection:
        connection.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345")
        assert read_answer(connection).status == 401
        head = request_head("POST /v1/echo", secret, "Content-Length: 3")
        connection.sendall(head + b"123")
        assert json.loads(read_answer(connection).body)["body"] == 3


def test_the_host_header_decides_nothing_for_the_api(client: httpx.Client) -> None:
    assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 200


def test_pages_keep_django_and_its_host_check(stranger: httpx.Client) -> None:
    good = stranger.get("/page/")
    assert good.text == "a page of 0 bytes"
    assert good.headers["x-request-id"].startswith("req_")
    assert "content-security-policy" in good.headers


def test_pages_take_no_endless_bodies(server: Server) -> None:
    with server.raw() as connection:
        connection.sendall(b"POST /page/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999999\r\n\r\n")
        assert read_answer(connection).status == 413


def test_a_browser_that_forgot_the_slash_is_led_to_the_page(stranger: httpx.Client, secret: str) -> None:
    answer = stranger.get("/files?team=blue", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 302
    assert answer.headers["location"] == "/files/?team=blue"
    assert stranger.get("/files").status_code == 401
    keyed = stranger.get("/files", headers={"accept": "text/html", "authorization": f"Bearer {secret}"})
    assert keyed.status_code == 200
    assert stranger.get("/v1/files", headers={"accept": "text/html"}).status_code == 401


def test_what_nobody_expected_is_logged_once_and_says_nothing(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = client.get("/v1/fails")
    assert answer.status_code == 500
    assert answer.headers["x-should-retry"] == "false"
    error = error_of(answer)
    assert answer.headers["x-request-id"] in error["message"]
    assert "sk-leak" not in answer.text
    assert "/srv" not in answer.text
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_a_database_that_is_away_is_never_the_callers_fault(client: httpx.Client) -> None:
    answer = client.get("/v1/fails?database")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert error_of(answer)["code"] == "db_unavailable"
    assert "10.0.0.5" not in answer.text


def test_rights_are_checked_by_verb_and_action(client: httpx.Client) -> None:
    answer = client.get("/v1/owners")
    assert answer.status_code == 403
    assert error_of(answer)["code"] == "permission_denied"


def test_drf_responses_are_rendered_and_public_views_need_no_key(stranger: httpx.Client) -> None:
    answer = stranger.get("/v1/rendered")
    assert answer.status_code == 202
    assert answer.json() == {"rendered": True}


def views(patterns: list[Any]) -> list[URLPattern]:
    found: list[URLPattern] = []
    for pattern in patterns:
        found += views(pattern.url_patterns) if isinstance(pattern, URLResolver) else [pattern]
    return found


def test_every_api_view_declares_who_may_call_it() -> None:
    classes = {getattr(pattern.callback, "cls", None) for pattern in views(portal.urls.urlpatterns)}
    ours = [each for each in classes if isinstance(each, type) and issubclass(each, AsyncAPIView)]
    assert len(ours) >= 8
    for view in ours:
        declared = [view.permission, *view.permissions_by_method.values()]
        for permission in declared:
            assert permission in {PUBLIC, ANY_CALLER} or permission in policy.ACTIONS, view


class TestSession:
    """Signed-in browsers."""

    @pytest.fixture
    def browser(self, server: Server, member: User) -> Any:
        session = Client()
        session.force_login(member)
        with server.client() as client:
            client.cookies.set("portico_session", session.cookies["portico_session"].value)
            yield client

    @pytest.fixture
    def token(self, browser: httpx.Client) -> str:
        value = "t" * 32
        browser.cookies.set("portico_csrf", value)
        return value

    def test_may_read_without_a_key(self, browser: httpx.Client) -> None:
        assert browser.get("/v1/models").status_code == 200

    def test_may_not_use_other_addresses(self, browser: httpx.Client) -> None:
        assert browser.get("/models").status_code == 401
        assert browser.post("/v1/echo").status_code == 401

    def test_must_prove_that_a_change_is_meant(self, browser: httpx.Client, token: str) -> None:
        form = {"files": {"file": ("a.txt", b"hello")}, "data": {"purpose": "user_data"}}
        refused = browser.post("/v1/files", **form)  # type: ignore[arg-type]
        assert refused.status_code == 403
        assert error_of(refused)["code"] == "csrf_failed"
        foreign = browser.post(
            "/v1/files",
            **form,  # type: ignore[arg-type]
            headers={"x-csrftoken": token, "origin": "https://evil.example"},
        )
        assert foreign.status_code == 403
        meant = browser.post("/v1/files", **form, headers={"x-csrftoken": token})  # type: ignore[arg-type]
        assert meant.status_code == 200

    def test_acts_for_the_team_it_names_if_it_is_in_it(
        self, browser: httpx.Client, team: Team, rival: Team
    ) -> None:
        assert browser.get("/v1/models", headers={"x-portico-team": team.team_id}).status_code == 200
        assert browser.get("/v1/models", headers={"x-portico-team": rival.team_id}).status_code == 403
        assert browser.get("/v1/models", headers={"x-portico-team": "nowhere"}).status_code == 403

    def test_of_a_viewer_reads_and_changes_nothing(
        self, browser: httpx.Client, token: str, team: Team, member: User, actor: Actor
    ) -> None:
        form = {"files": {"file": ("a.txt", b"hello")}, "data": {"purpose": "user_data"}}
        meant = {"x-csrftoken": token}
        made = browser.post("/v1/files", **form, headers=meant).json()["id"]  # type: ignore[arg-type]
        teams.set_member(actor=actor, team=team, user=member, role=Membership.Role.VIEWER)
        assert browser.get(f"/v1/files/{made}").status_code == 200
        assert browser.delete(f"/v1/files/{made}", headers=meant).status_code == 403
        assert browser.post("/v1/files", **form, headers=meant).status_code == 403  # type: ignore[arg-type]

    def test_ends_when_the_person_is_switched_off(self, browser: httpx.Client, member: User) -> None:
        get_user_model().objects.filter(pk=member.pk).update(is_active=False)
        assert browser.get("/v1/models").status_code == 401

    def test_a_made_up_cookie_is_no_session(self, stranger: httpx.Client) -> None:
        stranger.cookies.set("portico_session", "made-up")
        answer = stranger.get("/v1/models")
        assert answer.status_code == 401
        assert error_of(answer)["code"] == "session_ended"
