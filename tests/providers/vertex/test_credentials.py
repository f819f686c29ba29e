"""Every kind of Google's credentials becomes an access token, and none of them is told to anybody."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from providers.errors import UpstreamRefusedCredentials, UpstreamUnavailable, UpstreamUnreachable
from providers.http.threads import send_once
from providers.types import Connection, HttpRequest, HttpResponse, Token
from providers.vertex.credentials import bearer, project_of
from tests.fakes.server import FakeServers


def with_credentials(account: Connection, value: Any) -> Connection:
    return replace(account, secrets={"vertex_credentials": value})


def fetch(account: Connection, send: Callable[[HttpRequest], HttpResponse] = send_once) -> Token:
    source = bearer(account)
    assert source is not None
    return source.fetch(send)


@pytest.mark.parametrize("form", ["text", "object", "path"])
def test_a_service_account_signs_for_its_token(
    fakes: FakeServers, account: Connection, tmp_path: Path, form: str
) -> None:
    key = fakes.vertex.service_account("alpha")
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key))
    written = {"text": json.dumps(key), "object": key, "path": str(path)}[form]
    token = fetch(with_credentials(account, written))
    assert token.value.startswith("ya29.")
    sent = fakes.vertex.requests(path="/token$")[0]
    form_sent = parse_qs(sent["body"])
    assert form_sent["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert key["private_key"] not in sent["body"]


def test_a_key_that_signed_nothing_of_ours_is_refused(fakes: FakeServers, account: Connection) -> None:
    key = fakes.vertex.service_account("alpha") | {"private_key_id": "another"}
    with pytest.raises(UpstreamRefusedCredentials) as refused:
        fetch(with_credentials(account, key))
    assert "Invalid JWT Signature" in (refused.value.provider_message or "")
    assert "PRIVATE" not in refused.value.message + str(refused.value.provider_message)


def test_a_person_is_known_by_a_refresh_token(fakes: FakeServers, account: Connection) -> None:
    person = {
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "1//fake-alpha-x",
        "token_uri": f"{fakes.vertex_url}/token",
        "quota_project_id": "alpha",
    }
    given = with_credentials(account, person)
    assert fetch(given).value.startswith("ya29.")
    assert project_of(given) == "alpha"


def workload(fakes: FakeServers, subject: Path, **more: str) -> dict[str, Any]:
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{fakes.vertex_url}/v1/token",
        "credential_source": {"file": str(subject)},
        **more,
    }


def test_workload_identity_exchanges_its_token(
    fakes: FakeServers, account: Connection, tmp_path: Path
) -> None:
    subject = tmp_path / "subject"
    subject.write_text("subject-alpha-1")
    assert fetch(with_credentials(account, workload(fakes, subject))).value.startswith("ya29.")
    email = "portico@alpha.iam.gserviceaccount.com"
    url = f"{fakes.vertex_url}/v1/projects/-/serviceAccounts/{email}:generateAccessToken"
    impersonating = workload(fakes, subject, service_account_impersonation_url=url)
    assert fetch(with_credentials(account, impersonating)).value.startswith("ya29.")
    assert len(fakes.vertex.requests(path="generateAccessToken")) == 1
    subject.write_text("worthless")
    with pytest.raises(UpstreamRefusedCredentials):
        fetch(with_credentials(account, workload(fakes, subject)))


def test_programs_named_by_workload_identity_do_not_run(
    fakes: FakeServers, account: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", raising=False)
    mark = tmp_path / "ran"
    given = workload(fakes, tmp_path) | {
        "credential_source": {"executable": {"command": f"/usr/bin/touch {mark}", "timeout_millis": 5000}}
    }
    with pytest.raises(UpstreamRefusedCredentials):
        fetch(with_credentials(account, given))
    assert not mark.exists()


def test_without_credentials_the_machines_own_count(
    fakes: FakeServers, account: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "adc.json"
    path.write_text(json.dumps(fakes.vertex.service_account("alpha")))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert fetch(with_credentials(account, "")).value.startswith("ya29.")


def test_without_any_file_the_metadata_server_is_asked(
    account: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    asked: list[HttpRequest] = []

    def send(request: HttpRequest) -> HttpResponse:
        asked.append(request)
        known = {"email": "a@b", "scopes": ["x"], "aliases": ["default"]}
        granted = {"access_token": "ya29.machine", "expires_in": 3599, "token_type": "Bearer"}
        body = granted if "/token" in request.url else known
        headers = {"content-type": "application/json", "metadata-flavor": "Google"}
        return HttpResponse(200, headers, json.dumps(body).encode())

    assert fetch(with_credentials(account, None), send).value == "ya29.machine"
    assert all("metadata" in request.url or "169.254" in request.url for request in asked)
    headers = {name.lower(): value for name, value in asked[-1].headers.items()}
    assert headers["metadata-flavor"] == "Google"


@pytest.mark.parametrize(
    "written",
    [
        "{",
        "{}",
        "[1]",
        "/nowhere/key.json",
        '{"type": "robot"}',
        '{"type": "service_account"}',
        '{"type": "service_account", "client_email": "a", "token_uri": "b", "private_key": "sk-canary"}',
        '{"type": "external_account", "audience": 5}',
        '{"type": "authorized_user", "refresh_token": "sk-canary"}',
    ],
)
def test_useless_credentials_are_the_operators_affair(account: Connection, written: str) -> None:
    with pytest.raises(UpstreamRefusedCredentials) as refused:
        fetch(with_credentials(account, written))
    assert "canary" not in refused.value.message + str(refused.value.provider_message)


def test_an_endpoint_that_is_away_can_be_asked_again(fakes: FakeServers, account: Connection) -> None:
    def away(request: HttpRequest) -> HttpResponse:
        raise UpstreamUnreachable("The provider could not be reached.")

    with pytest.raises(UpstreamUnreachable):
        fetch(account, away)

    def overloaded(request: HttpRequest) -> HttpResponse:
        return HttpResponse(503, {}, b'{"error": "internal_failure"}')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda seconds: None)
        with pytest.raises(UpstreamUnavailable):
            fetch(account, overloaded)


def test_sources_of_the_same_credentials_are_equal_and_hold_no_secret(account: Connection) -> None:
    first, second = bearer(account), bearer(replace(account, account="another"))
    assert first is not None
    assert first == second
    other = bearer(with_credentials(account, '{"type": "robot"}'))
    assert other is not None
    assert other.key != first.key
    assert "PRIVATE" not in repr(first)
    assert bearer(Connection("vertex_ai", api_key="AQ.alpha-1")) is None
