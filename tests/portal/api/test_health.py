"""Health, metrics and the published schema."""

from __future__ import annotations

import httpx
import pytest
from django.db import OperationalError

from portal.api import health
from portal.api.docs import style_hashes

pytestmark = pytest.mark.django_db(transaction=True)


def test_liveness_and_readiness_need_no_key(stranger: httpx.Client) -> None:
    assert stranger.get("/health/liveness").json() == {"status": "alive"}
    ready = stranger.get("/health/readiness")
    assert ready.status_code == 200
    assert set(ready.json()["checks"].values()) == {"ok"}


def test_readiness_fails_while_the_server_drains(
    stranger: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health.state, "is_draining", True)
    answer = stranger.get("/health/readiness")
    assert answer.status_code == 503
    assert answer.json()["checks"]["server"] == "shutting down"
    assert stranger.get("/health/liveness").status_code == 200


def test_readiness_fails_without_a_database_and_liveness_does_not(
    stranger: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def cursor(self) -> None:
            raise OperationalError("could not connect to 10.0.0.5")

    monkeypatch.setattr(health, "connection", Away())
    answer = stranger.get("/health/readiness")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "unreachable"
    assert "10.0.0.5" not in answer.text
    assert stranger.get("/health/liveness").status_code == 200


def test_health_is_for_callers(client: httpx.Client, stranger: httpx.Client) -> None:
    assert stranger.get("/health").status_code == 401
    assert client.get("/health").json()["status"] == "healthy"


def test_metrics_count_requests_by_route_and_name_no_one(
    client: httpx.Client, stranger: httpx.Client
) -> None:
    client.get("/v1/files/file-secret-name-0123456789012345")
    client.get("/v1/made-up-by-somebody")
    text = stranger.get("/metrics").text
    assert 'portico_requests_total{endpoint="/v1/files/<id:file_id>",method="GET",status="404"}' in text
    assert "portico_request_seconds_bucket" in text
    assert "secret-name" not in text
    assert "made-up" not in text


def test_the_schema_publishes_every_operation_once(stranger: httpx.Client) -> None:
    schema = stranger.get("/openapi.json", headers={"host": "127.0.0.1"}).json()
    assert schema["info"]["title"] == "Portico"
    assert {"/v1/files", "/v1/files/{file_id}", "/v1/chat/completions", "/v1/models"} <= set(schema["paths"])
    assert not {"/files", "/chat/completions", "/docs/api/", "/{provider}/v1/files"} & set(schema["paths"])
    operations = [method["operationId"] for path in schema["paths"].values() for method in path.values()]
    assert len(operations) == len(set(operations))
    upload = schema["paths"]["/v1/files"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert "target_model_names" in upload["properties"]
    assert schema["paths"]["/v1/files"]["post"]["security"] == [{"API key": []}]


def test_the_documentation_allows_only_the_styles_it_has() -> None:
    hashes = style_hashes("drf_spectacular/swagger_ui.html")
    assert hashes
    assert all(source.startswith("'sha256-") for source in hashes)
