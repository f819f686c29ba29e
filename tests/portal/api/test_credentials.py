"""/credentials: provider accounts in LiteLLM's fields, and models that point to them."""

from __future__ import annotations

import httpx
import pytest

from portal.models import AuditEvent, Deployment, ProviderAccount
from tests.portal.api.conftest import Post

SECRET = "sk-upstream-0123456789abcdef"
BASE = "http://127.0.0.1:9/v1"
GEMINI = {"custom_llm_provider": "gemini"}
ENTRY = {
    "credential_name": "eu/one",
    "credential_info": {"custom_llm_provider": "openai", "description": "Production"},
    "credential_values": {"api_key": SECRET, "api_base": BASE},
}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture
def account(post: Post) -> ProviderAccount:
    assert post("/credentials", **ENTRY)["success"] is True
    return ProviderAccount.objects.get(name="eu/one")


def test_a_credential_is_an_account_and_never_shows_its_secrets(
    account: ProviderAccount, master: httpx.Client
):
    assert (account.provider, account.api_base, account.connection().api_key) == ("openai", BASE, SECRET)
    shown = master.get("/credentials/by_name/eu/one").json()
    assert shown == {
        "credential_name": "eu/one",
        "display_name": None,
        "credential_info": {"description": "Production", "custom_llm_provider": "openai"},
        "credential_values": {"api_base": BASE, "api_key": "…cdef"},
        "source": "db",
    }
    listed = master.get("/credentials").json()
    assert (listed["success"], listed["credentials"]) == (True, [shown])
    assert SECRET not in str(list(AuditEvent.objects.values("before", "after")))
    assert code(master.post("/credentials", json=ENTRY)) == (409, "conflict")


def test_what_is_given_changes_and_the_rest_stays(account: ProviderAccount, master: httpx.Client):
    named = {"display_name": "Europe", "credential_info": {}}
    assert master.patch("/credentials/eu/one", json=named).status_code == 200
    shown = master.get("/credentials/by_name/eu/one").json()
    assert (shown["display_name"], shown["credential_info"]["description"]) == ("Europe", "Production")
    changed = {
        "credential_info": {"required": True},
        "credential_values": {"api_key": "sk-another-0123456789abcdef"},
        "credential_values_to_delete": ["api_base"],
    }
    assert master.patch("/credentials/eu/one", json=changed).status_code == 200
    account.refresh_from_db()
    assert (account.connection().api_key, account.api_base) == ("sk-another-0123456789abcdef", "")
    shown = master.get("/credentials/by_name/eu/one").json()
    assert shown["credential_info"]["required"] is True
    assert shown["display_name"] == "Europe"
    assert master.patch("/credentials/eu/one", json={"display_name": None}).status_code == 200
    assert master.get("/credentials/by_name/eu/one").json()["display_name"] is None
    last = AuditEvent.objects.filter(action="account.updated").latest("pk")
    assert last.after["info"]["credential_info"]["required"] is True


def test_models_point_to_a_credential_and_to_another(
    account: ProviderAccount, post: Post, master: httpx.Client
):
    post(
        "/credentials",
        credential_name="azure",
        credential_info={"custom_llm_provider": "azure"},
        credential_values={"api_key": "az-0123456789abcdef", "api_base": "http://127.0.0.1:9"},
    )
    made = post(
        "/model/new",
        model_name="mine",
        litellm_params={"model": "gpt-5.4", "litellm_credential_name": "eu/one"},
        model_info={"id": "one"},
    )
    assert made["litellm_params"]["litellm_credential_name"] == "eu/one"
    assert (Deployment.objects.get().account, ProviderAccount.objects.count()) == (account, 2)
    shown = master.get("/credentials/by_model/one").json()
    assert shown["credential_name"] == "eu/one"

    wrong = master.patch("/model/one/update", json={"litellm_params": {"litellm_credential_name": "azure"}})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (
        400,
        "litellm_params.litellm_credential_name",
    )
    moved = {"litellm_params": {"model": "azure/gpt", "litellm_credential_name": "azure", "rpm": 5}}
    assert master.patch("/model/one/update", json=moved).status_code == 200
    row = Deployment.objects.get()
    assert (row.account.name, row.provider_model, row.rpm) == ("azure", "gpt", 5)
    assert code(master.delete("/credentials/azure")) == (409, "account_in_use")
    assert master.delete("/credentials/eu/one").json()["success"] is True
    assert code(master.get("/credentials/by_name/eu/one")) == (404, "credential_not_found")


def test_what_stands_beside_a_credential_makes_another_account(account: ProviderAccount, post: Post):
    post(
        "/model/new",
        model_name="mine",
        litellm_params={
            "model": "openai/gpt-5.4",
            "litellm_credential_name": "eu/one",
            "api_base": "http://127.0.0.1:10/v1",
        },
    )
    other = Deployment.objects.get().account
    assert other.pk != account.pk
    assert (other.api_base, other.connection().api_key) == ("http://127.0.0.1:10/v1", SECRET)


def test_an_entry_that_is_sent_back_as_it_was_shown_changes_nothing(
    account: ProviderAccount, post: Post, master: httpx.Client
):
    post(
        "/model/new",
        model_name="mine",
        litellm_params={"model": "openai/gpt-5.4", "litellm_credential_name": "eu/one", "weight": 2},
        model_info={"id": "one"},
    )
    shown = master.get("/model/info").json()["data"][0]
    before = AuditEvent.objects.count()
    post("/model/update", litellm_params=shown["litellm_params"], model_info={"id": "one"})
    row = Deployment.objects.get()
    assert (row.account, row.provider_model, row.weight) == (account, "gpt-5.4", 2)
    assert (AuditEvent.objects.count(), ProviderAccount.objects.count()) == (before, 1)


def test_the_values_of_a_deployment_make_a_credential(
    account: ProviderAccount, post: Post, master: httpx.Client
):
    entry = {"model": "openai/gpt-5.4", "litellm_credential_name": "eu/one"}
    post("/model/new", model_name="mine", litellm_params=entry, model_info={"id": "one"})
    post("/credentials", credential_name="copy", credential_info={}, model_id="one")
    copy = ProviderAccount.objects.get(name="copy")
    assert copy.connection().api_key == SECRET
    assert (copy.provider, copy.api_base) == ("openai", BASE)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"credential_info": {}}, "credential_info.custom_llm_provider"),
        ({"credential_info": {"custom_llm_provider": "nobody"}}, "credential_info.custom_llm_provider"),
        ({"credential_info": {"custom_llm_provider": 7}}, "credential_info.custom_llm_provider"),
        ({"credential_values": {}}, "credential_values"),
        ({"credential_values": {"aws_region": "x"}}, "credential_values.aws_region"),
        ({"credential_values": {"api_key": 7}}, "credential_values.api_key"),
        ({"credential_info": GEMINI, "credential_values": {"api_base": BASE}}, "api_key"),
        ({"credential_values": {"api_key": SECRET, "api_base": "ftp://x"}}, "api_base"),
        ({"credential_name": ""}, "credential_name"),
        ({"model_id": "nobody"}, "model_id"),
    ],
)
def test_what_cannot_be_is_refused_by_name(master: httpx.Client, changes: dict[str, object], param: str):
    answer = master.post("/credentials", json={**ENTRY, **changes})
    assert answer.json()["error"]["param"] == param, answer.text
    assert answer.status_code in (400, 404)
    assert SECRET not in answer.text
    assert not ProviderAccount.objects.exists()


@pytest.mark.parametrize(
    "change", [{"credential_name": "two"}, {"credential_info": {"custom_llm_provider": "azure"}}]
)
def test_name_and_provider_stay(account: ProviderAccount, master: httpx.Client, change: dict[str, object]):
    assert master.patch("/credentials/eu/one", json=change).status_code == 400
    account.refresh_from_db()
    assert (account.name, account.provider) == ("eu/one", "openai")


def test_a_team_sees_no_credential_and_changes_none(
    account: ProviderAccount, client: httpx.Client, post: Post
):
    for method, path in (
        ("GET", "/credentials"),
        ("GET", "/credentials/by_name/eu/one"),
        ("PATCH", "/credentials/eu/one"),
        ("DELETE", "/credentials/eu/one"),
    ):
        answer = client.request(method, path, json={} if method == "PATCH" else None)
        assert answer.status_code == 403, path
        assert "127.0.0.1" not in answer.text
    shown = client.get("/model/info").text
    assert "eu/one" not in shown
