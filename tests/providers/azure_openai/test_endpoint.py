"""Where requests go: the current paths, the dated ones, and who is asking."""

from __future__ import annotations

import pytest

from providers.azure_openai import endpoint
from providers.errors import InvalidRequest, UpstreamRefusedCredentials
from providers.types import Connection

HOST = "https://res.openai.azure.com"
DATED = "2024-10-21"


def connection(base: str = HOST, version: str | None = None, **secrets: str) -> Connection:
    return Connection("azure", api_key="k", api_base=base, api_version=version, secrets=secrets)


@pytest.mark.parametrize(
    ("base", "version", "chat", "files"),
    [
        (HOST, None, "/openai/v1/chat/completions", "/openai/v1/files"),
        (HOST + "/", "v1", "/openai/v1/chat/completions", "/openai/v1/files"),
        (
            HOST,
            "preview",
            "/openai/v1/chat/completions?api-version=preview",
            "/openai/v1/files?api-version=preview",
        ),
        (f"{HOST}/openai/v1/", None, "/openai/v1/chat/completions", "/openai/v1/files"),
        (f"{HOST}/openai/v1", DATED, "/openai/v1/chat/completions", "/openai/v1/files"),
        (
            HOST,
            DATED,
            f"/openai/deployments/dep/chat/completions?api-version={DATED}",
            f"/openai/files?api-version={DATED}",
        ),
        (
            f"{HOST}/openai",
            "2025-03-01-preview",
            "/openai/deployments/dep/chat/completions?api-version=2025-03-01-preview",
            "/openai/files?api-version=2025-03-01-preview",
        ),
        (
            f"{HOST}/openai/deployments/dep",
            DATED,
            f"/openai/deployments/dep/chat/completions?api-version={DATED}",
            f"/openai/files?api-version={DATED}",
        ),
    ],
)
def test_the_version_decides_on_the_paths(base: str, version: str | None, chat: str, files: str) -> None:
    given = connection(base, version)
    assert endpoint.deployment_url(given, "dep", "chat/completions") == HOST + chat
    assert endpoint.url(given, "files") == HOST + files


def test_a_proxy_in_front_keeps_its_own_path() -> None:
    given = connection("https://proxy.example/azure")
    assert endpoint.url(given, "files") == "https://proxy.example/azure/openai/v1/files"


@pytest.mark.parametrize("deployment", ["", "..", "a/b", "a?b", "a b", "ä"])
def test_no_deployment_can_lead_elsewhere(deployment: str) -> None:
    for version in (None, DATED):
        with pytest.raises(InvalidRequest):
            endpoint.deployment_url(connection(version=version), deployment, "chat/completions")


@pytest.mark.parametrize(("base", "version"), [("", None), (HOST, "yesterday"), (HOST, "2024-10-21/../x")])
def test_an_account_needs_an_endpoint_and_a_sensible_version(base: str, version: str | None) -> None:
    with pytest.raises(UpstreamRefusedCredentials):
        endpoint.url(connection(base, version), "files")


def test_the_key_goes_before_everything_else() -> None:
    assert endpoint.headers(connection())["api-key"] == "k"
    token = Connection("azure", api_base=HOST, secrets={"azure_ad_token": "eyJ"})
    assert endpoint.headers(token)["authorization"] == "Bearer eyJ"
    with pytest.raises(UpstreamRefusedCredentials):
        endpoint.headers(Connection("azure", api_base=HOST))
