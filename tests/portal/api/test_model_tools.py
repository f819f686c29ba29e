"""What requests become and cost, whether a deployment answers, and groups of models."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from portal.models import AuditEvent, Deployment, Team
from portal.services import keys
from portal.services.audit import Actor
from tests.fakes.server import FakeServers
from tests.portal.api.conftest import Post
from tests.portal.server import Server

SECRET = "sk-fake-blue-0123456789abcdef"


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture(scope="module")
def fakes() -> Iterator[FakeServers]:
    with FakeServers() as running:
        yield running


@pytest.fixture
def model(post: Post, fakes: FakeServers) -> str:
    params = {
        "model": "openai/gpt-4.1-mini",
        "api_key": SECRET,
        "api_base": fakes.openai_url,
        "temperature": 0.25,
        "input_cost_per_token": 0.000001,
        "output_cost_per_token": 0.000002,
    }
    post("/model/new", model_name="mine", litellm_params=params, model_info={"id": "one"})
    return "mine"


def test_the_request_to_a_provider_is_shown_without_its_secrets(model: str, post: Post, fakes: FakeServers):
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
    shown = post("/utils/transform_request", call_type="completion", request_body=body)
    assert shown["raw_request_api_base"] == f"{fakes.openai_url}/chat/completions"
    assert shown["raw_request_body"]["model"] == "gpt-4.1-mini"
    assert shown["raw_request_body"]["temperature"] == 0.25
    assert {name.lower() for name in shown["raw_request_headers"]} >= {"authorization", "content-type"}
    assert SECRET not in str(shown)
    vectors = post(
        "/utils/transform_request", call_type="embedding", request_body={"model": model, "input": ["a"]}
    )
    assert vectors["raw_request_api_base"] == f"{fakes.openai_url}/embeddings"
    assert vectors["raw_request_body"]["input"] == ["a"]


def test_googles_request_is_shown_in_googles_words(post: Post, fakes: FakeServers):
    params = {
        "model": "gemini/gemini-2.5-flash",
        "api_key": "AIza-0123456789abcdef",
        "api_base": fakes.gemini_url,
    }
    post("/model/new", model_name="gem", litellm_params=params)
    body = {
        "model": "gem",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 5,
        "logit_bias": {"1": 1},
        "drop_params": True,
    }
    shown = post("/utils/transform_request", call_type="acompletion", request_body=body)
    assert shown["raw_request_body"]["contents"][0]["parts"] == [{"text": "Hello"}]
    assert shown["raw_request_api_base"].endswith("models/gemini-2.5-flash:generateContent")
    assert any("logit_bias" in warning for warning in shown["warnings"])
    assert "AIza" not in str(shown)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"call_type": "completion"}, (400, "missing_parameter")),
        ({"call_type": "speech", "request_body": {"model": "mine"}}, (400, "invalid_request")),
        ({"call_type": "completion", "request_body": {"model": "nope"}}, (404, "model_not_found")),
        ({"call_type": "completion", "request_body": {"model": "mine"}}, (400, "invalid_request")),
        (
            {
                "call_type": "completion",
                "request_body": {
                    "model": "mine",
                    "messages": [
                        {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}
                    ],
                },
            },
            (400, "unsupported_file"),
        ),
    ],
)
def test_a_request_that_would_be_refused_is_refused(
    model: str, master: httpx.Client, body: dict[str, object], expected: tuple[int, str]
):
    status, found = code(master.post("/utils/transform_request", json=body))
    assert status == expected[0], found
    if expected[1] != "invalid_request":
        assert found == expected[1]


def test_parameters_that_a_model_takes_are_listed(
    model: str, master: httpx.Client, client: httpx.Client, post: Post
):
    found = client.get(f"/utils/supported_openai_params?model={model}").json()["supported_openai_params"]
    assert {"temperature", "logit_bias", "tools", "stream", "response_format"} <= {*found}
    params = {"model": "gemini/gemini-2.5-flash", "api_key": "AIza-0123456789abcdef"}
    post("/model/new", model_name="gem", litellm_params=params)
    found = master.get("/utils/supported_openai_params?model=gem").json()["supported_openai_params"]
    assert {"temperature", "tools", "stream", "reasoning_effort"} <= {*found}
    assert "logit_bias" not in found
    assert code(client.get("/utils/supported_openai_params?model=nope")) == (404, "model_not_found")
    assert code(client.get("/utils/supported_openai_params")) == (400, "missing_parameter")


def test_what_calls_would_cost_is_said(model: str, post: Post, master: httpx.Client, client: httpx.Client):
    asked = {"model": model, "input_tokens": 1000, "output_tokens": 500, "num_requests_per_day": 10}
    found = client.post("/cost/estimate", json=asked).json()
    assert found["cost_per_request"] == pytest.approx(0.002)
    assert found["input_cost_per_request"] == pytest.approx(0.001)
    assert found["output_cost_per_request"] == pytest.approx(0.001)
    assert found["daily_cost"] == pytest.approx(0.02)
    assert found["monthly_cost"] is None
    post("/model/new", model_name="odd", litellm_params={"model": "openai/nobody-knows", "api_key": SECRET})
    assert post("/cost/estimate", model="odd", input_tokens=1, output_tokens=1)["cost_per_request"] is None
    wrong = {"model": model, "input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": 2}
    assert master.post("/cost/estimate", json=wrong).status_code == 400
    assert code(client.post("/cost/estimate", json={"model": "nope"})) == (404, "model_not_found")


def test_a_deployment_is_asked_as_it_is_saved_or_as_it_was_written_down(
    model: str, post: Post, master: httpx.Client, fakes: FakeServers
):
    saved = {"litellm_params": {"model": model, "custom_llm_provider": "openai"}, "mode": "chat"}
    found = post("/health/test_connection", **saved)
    assert (found["status"], found["result"]["model"]) == ("success", "gpt-4.1-mini")
    assert found["result"]["text"]
    assert (
        post("/health/test_connection", litellm_params={"model": "x"}, model_info={"id": "one"})["status"]
        == "success"
    )
    written = {"model": "openai/gpt-4.1-mini", "api_base": fakes.openai_url}
    good = post("/health/test_connection", litellm_params={**written, "api_key": SECRET})
    assert good["status"] == "success"
    bad = post("/health/test_connection", litellm_params={**written, "api_key": "wrong-key-0123456789"})
    assert bad["status"] == "error"
    assert bad["result"]["hint"] == "The provider refused the key."
    assert "wrong-key" not in str(bad)
    assert Deployment.objects.count() == 1
    unset = {**written, "api_key": "os.environ/NOBODY_SET_THIS"}
    refused = master.post("/health/test_connection", json={"litellm_params": unset})
    assert code(refused) == (400, "model_misconfigured")
    vectors = master.post("/health/test_connection", json={**saved, "mode": "embedding"})
    assert (vectors.status_code, vectors.json()["error"]["param"]) == (400, "mode")
    assert code(master.post("/health/test_connection", json={})) == (400, "missing_parameter")


def test_a_credential_is_tested_with_a_model_that_is_not_there_yet(
    post: Post, fakes: FakeServers, master: httpx.Client
):
    post(
        "/credentials",
        credential_name="one",
        credential_info={"custom_llm_provider": "openai"},
        credential_values={"api_key": SECRET, "api_base": fakes.openai_url},
    )
    params = {"model": "openai/gpt-4.1-mini", "litellm_credential_name": "one"}
    assert post("/health/test_connection", litellm_params=params)["status"] == "success"
    params["litellm_credential_name"] = "two"
    answer = master.post("/health/test_connection", json={"litellm_params": params})
    assert code(answer) == (400, "credential_not_found")


def test_only_who_changes_models_spends_money_on_tests(model: str, client: httpx.Client):
    for path in ("/health/test_connection", "/utils/transform_request", "/access_group/new"):
        assert client.post(path, json={}).status_code == 403, path


def test_a_group_of_models_comes_changes_and_goes(
    model: str, post: Post, master: httpx.Client, server: Server, team: Team, actor: Actor
):
    post("/model/new", model_name="other", litellm_params={"model": "openai/gpt-5.4", "api_key": SECRET})
    made = post("/access_group/new", access_group="beta", model_names=[model])
    assert made["models_updated"] == 1
    assert code(master.post("/access_group/new", json={"access_group": "beta", "model_names": [model]})) == (
        409,
        "group_exists",
    )
    _, secret = keys.create_key(actor=actor, team=team, name="k", allowed_models=["beta"])
    with server.client(secret) as caller:
        assert [each["id"] for each in caller.get("/v1/models").json()["data"]] == [model]
        changed = master.put("/access_group/beta/update", json={"model_names": ["other"]})
        assert changed.json()["models_updated"] == 2
        assert [each["id"] for each in caller.get("/v1/models").json()["data"]] == ["other"]
    assert master.get("/access_group/beta/info").json() == {
        "access_group": "beta",
        "model_names": ["other"],
        "deployment_count": 1,
    }
    assert len(master.get("/access_group/list").json()["access_groups"]) == 1
    assert master.delete("/access_group/beta/delete").json()["models_updated"] == 1
    assert code(master.get("/access_group/beta/info")) == (404, "group_not_found")
    assert not [row for row in Deployment.objects.all() if row.info.get("access_groups")]
    assert AuditEvent.objects.filter(action="deployment.updated").count() == 4


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"access_group": "beta"}, "model_names"),
        ({"access_group": "beta", "model_names": ["nope"]}, "model_names"),
        ({"access_group": "beta", "model_ids": ["one", "two"]}, "model_ids"),
        ({"model_names": ["mine"]}, "access_group"),
    ],
)
def test_a_group_names_models_that_are_there(
    model: str, master: httpx.Client, body: dict[str, object], param: str
):
    answer = master.post("/access_group/new", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not [row for row in Deployment.objects.all() if row.info.get("access_groups")]
