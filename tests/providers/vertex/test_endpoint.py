"""Where requests go: by location, project, kind of account and model."""

from __future__ import annotations

import json

import pytest

from providers.errors import InvalidRequest, UpstreamRefusedCredentials
from providers.types import Connection
from providers.vertex import endpoint

KEY = json.dumps({"type": "service_account", "project_id": "from-key"})


def connection(**options: str) -> Connection:
    return Connection("vertex_ai", options=options, secrets={"vertex_credentials": KEY})


def address(given: Connection, model: str = "gemini-2.5-flash") -> str:
    return endpoint.url(given, endpoint.model_path(given, model))


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("", "us-central1-aiplatform.googleapis.com"),
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_the_location_decides_on_the_host(location: str, host: str) -> None:
    place = location or "us-central1"
    assert address(connection(vertex_project="p1", vertex_location=location)) == (
        f"https://{host}/v1/projects/p1/locations/{place}/publishers/google/models/gemini-2.5-flash"
    )


def test_the_project_may_come_from_the_credentials() -> None:
    assert "/projects/from-key/" in address(connection())
    assert "/projects/mine/" in address(connection(vertex_project=" mine "))


def test_an_api_key_alone_is_express_mode() -> None:
    given = Connection("vertex_ai", api_key="AQ.k")
    assert address(given) == (
        "https://aiplatform.googleapis.com/v1/publishers/google/models/gemini-2.5-flash"
    )
    assert endpoint.headers(given)["x-goog-api-key"] == "AQ.k"
    named = Connection("vertex_ai", api_key="AQ.k", options={"vertex_project": "p1"})
    assert "/projects/p1/locations/us-central1/" in address(named)


@pytest.mark.parametrize(
    ("base", "version", "expected"),
    [
        ("http://127.0.0.1:9", None, "http://127.0.0.1:9/v1/projects/"),
        ("http://127.0.0.1:9/", "v1beta1", "http://127.0.0.1:9/v1beta1/projects/"),
        ("http://127.0.0.1:9/google/v1beta1", None, "http://127.0.0.1:9/google/v1beta1/projects/"),
        ("http://127.0.0.1:9/v1", "v1beta1", "http://127.0.0.1:9/v1/projects/"),
        ("http://127.0.0.1:9", "evil/../x", "http://127.0.0.1:9/v1/projects/"),
    ],
)
def test_a_base_of_ones_own_keeps_the_path(base: str, version: str | None, expected: str) -> None:
    given = Connection("vertex_ai", api_base=base, api_version=version, secrets={"vertex_credentials": KEY})
    assert address(given).startswith(expected)


@pytest.mark.parametrize(
    "options",
    [
        {"vertex_location": "evil.example.com/"},
        {"vertex_location": "US-CENTRAL1"},
        {"vertex_location": "a@b"},
        {"vertex_project": "../x"},
        {"vertex_project": "p/locations/global"},
        {"vertex_project": "p?x"},
    ],
)
def test_no_project_or_location_can_lead_elsewhere(options: dict[str, str]) -> None:
    with pytest.raises(UpstreamRefusedCredentials):
        address(connection(**options))


@pytest.mark.parametrize(
    ("model", "end"),
    [
        ("gemini-2.5-flash@001", "/publishers/google/models/gemini-2.5-flash@001"),
        ("publishers/google/models/gemini-x", "/publishers/google/models/gemini-x"),
        ("google/gemini-x", "/publishers/google/models/gemini-x"),
        ("1234567890", "/locations/us-central1/endpoints/1234567890"),
        ("gemini/1234567890", "/locations/us-central1/endpoints/1234567890"),
        ("projects/q/locations/eu/endpoints/77", "/v1/projects/q/locations/eu/endpoints/77"),
    ],
)
def test_models_in_all_their_spellings(model: str, end: str) -> None:
    assert address(connection(), model).endswith(end)


@pytest.mark.parametrize(
    "model", ["", "..", "a/b", "publishers/anthropic/models/claude", "x y", "a?b", "a:b"]
)
def test_models_that_are_none_of_googles_are_refused(model: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        address(connection(), model)
    assert refused.value.param == "model"
