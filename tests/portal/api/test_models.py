"""GET /v1/models shows what a key may call, and nothing else."""

from __future__ import annotations

import httpx
import pytest

from portal.models import Deployment, Team
from portal.services import keys, teams
from portal.services.audit import Actor
from tests.portal.server import Server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_models_are_listed_by_name(
    client: httpx.Client, path: str, gemini_deployment: Deployment, openai_deployment: Deployment
) -> None:
    body = client.get(path).json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["gemini-flash", "gpt"]
    assert set(body["data"][0]) == {"id", "object", "created", "owned_by"}
    assert body["data"][0]["object"] == "model"


def test_a_model_that_a_key_may_not_use_does_not_exist_for_it(
    server: Server,
    actor: Actor,
    rival: Team,
    gemini_deployment: Deployment,
    openai_deployment: Deployment,
) -> None:
    teams.update_team(actor=actor, team=rival, allowed_models=["gpt"])
    _, narrow = keys.create_key(actor=actor, team=rival, name="narrow")
    with server.client(narrow) as client:
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["gpt"]
        assert client.get("/v1/models/gpt").json()["id"] == "gpt"
        forbidden = client.get("/v1/models/gemini-flash")
        unknown = client.get("/v1/models/gemini-none")
    assert forbidden.status_code == unknown.status_code == 404
    assert forbidden.json()["error"]["code"] == "model_not_found"
    assert forbidden.text.replace("gemini-flash", "") == unknown.text.replace("gemini-none", "")


def test_names_with_slashes_can_be_asked_for(client: httpx.Client, openai_deployment: Deployment) -> None:
    assert client.get("/v1/models/openai/gpt-4.1-mini").json()["id"] == "openai/gpt-4.1-mini"
    assert client.get("/v1/models/openai%2Fgpt-4.1-mini").status_code == 200
    assert client.get("/v1/models/no/such/model").status_code == 404


@pytest.mark.parametrize("name", ["<script>", "'; --", "%00", "ɡpt", "x" * 9000, "*", "%ff"])
def test_odd_names_are_just_not_found(client: httpx.Client, openai_deployment: Deployment, name: str) -> None:
    answer = client.get(f"/v1/models/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
