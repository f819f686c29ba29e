"""/model/*: entries of a config file, one at a time."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from portal.api import model_admin
from portal.api.management import Ask
from portal.models import Deployment, Model, ProviderAccount, User, VirtualKey
from portal.services import accounts, catalog, keys, models
from portal.services.access import caller_for_user
from portal.services.audit import Actor
from tests.portal.api.conftest import Post

PARAMS = {
    "model": "openai/gpt-4.1-mini",
    "api_key": "sk-upstream-0123456789abcdef",
    "api_base": "http://127.0.0.1:9/v1",
    "rpm": 10,
    "temperature": 0.5,
}
ENTRY = {
    "model_name": "mine",
    "litellm_params": PARAMS,
    "model_info": {"id": "one", "access_groups": ["beta"]},
}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_model_comes_changes_and_goes(post: Post, master: httpx.Client):
    made = post("/model/new", **ENTRY)
    assert made["model_id"] == "one"
    assert "sk-upstream" not in str(made)
    row = Deployment.objects.get()
    assert (row.rpm, row.params, row.origin) == (10, {"temperature": 0.5}, "api")
    assert row.account.connection().api_key == "sk-upstream-0123456789abcdef"

    post("/model/update", model_info={"id": "one"}, litellm_params={"rpm": None, "weight": 3})
    row.refresh_from_db()
    assert (row.rpm, row.weight, row.params) == (None, 3, {"temperature": 0.5})
    assert ProviderAccount.objects.count() == 1
    patched = master.patch(
        "/model/one/update", json={"litellm_params": {"api_key": "sk-another-0123456789abcdef"}}
    )
    assert patched.status_code == 200
    row.refresh_from_db()
    assert row.account.connection().api_key == "sk-another-0123456789abcdef"
    assert row.account.connection().api_base == "http://127.0.0.1:9/v1"

    assert post("/model/block", id="one")["model_info"]["blocked"] is True
    assert post("/model/unblock", id="one")["model_info"]["blocked"] is False
    assert post("/model/delete", id="one")["model_id"] == "one"
    assert not Model.objects.exists()
    assert code(master.post("/model/delete", json={"id": "one"})) == (404, "deployment_not_found")


def test_numbers_and_flags_may_come_as_text(post: Post):
    written = {
        "rpm": "7",
        "weight": "2",
        "timeout": "2.5",
        "drop_params": "True",
        "input_cost_per_token": "1e-7",
    }
    post("/model/new", **(ENTRY | {"litellm_params": PARAMS | written}))
    row = Deployment.objects.get()
    assert (row.rpm, row.weight, row.timeout, row.drop_params) == (7, 2, 2.5, True)
    post("/model/update", id="one", litellm_params={"model": "openai/gpt-4.1", "rpm": "3"})
    row.refresh_from_db()
    assert (row.rpm, row.provider_model) == (3, "gpt-4.1")


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "litellm_params.model"),
        ({"api_key": "x"}, "litellm_params.model"),
        ({"model": "openai/gpt", "guardrails": ["x"]}, "litellm_params.guardrails"),
        ({"model": "nobody/gpt"}, "litellm_params.model"),
        ({"model": "openai/gpt", "rpm": "many"}, "litellm_params.rpm"),
        ({"model": "openai/gpt", "api_key": "sk", "api_base": "ftp://x"}, "litellm_params.api_base"),
    ],
)
def test_what_cannot_be_is_refused_by_name(master: httpx.Client, params: dict[str, object], param: str):
    answer = master.post("/model/new", json={"model_name": "x", "litellm_params": params})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert "line" not in answer.json()["error"]["message"]
    assert not Deployment.objects.exists()


def test_callers_learn_what_they_may_use_and_not_where_it_runs(
    post: Post, master: httpx.Client, client: httpx.Client
):
    post("/model/new", **ENTRY)
    catalog.refresh()
    (shown,) = client.get("/model/info").json()["data"]
    assert shown["litellm_params"] == {"model": "openai/gpt-4.1-mini"}
    assert shown["model_info"]["id"] == "one"
    (whole,) = master.get("/v1/model/info").json()["data"]
    assert whole["litellm_params"]["api_base"] == "http://127.0.0.1:9/v1"
    assert "api_key" not in whole["litellm_params"]
    assert master.get("/v2/model/info", params={"search": "nothing"}).json()["total_count"] == 0
    (group,) = client.get("/model_group/info").json()["data"]
    assert (group["model_group"], group["providers"], group["rpm"]) == ("mine", ["openai"], 10)
    assert code(client.get("/model_group/info", params={"model_group": "other"})) == (404, "model_not_found")
    assert code(client.post("/model/new", json=ENTRY)) == (403, "permission_denied")


def test_many_deployments_come_by_pages_and_open_each_account_once(
    master: httpx.Client, client: httpx.Client, actor: Actor, owner: User, monkeypatch: pytest.MonkeyPatch
):
    account = accounts.create_account(
        actor=actor, name="one", provider="openai", secrets={"api_key": "os.environ/KEY_OF_ONE"}
    )
    for n in range(7):
        models.create_deployment(actor=actor, model_name=f"m{n}", account=account, provider_model=f"p{n}")
    catalog.refresh()
    opened: list[int] = []
    open_it = ProviderAccount.written_secrets

    def watched(row: ProviderAccount) -> dict[str, Any]:
        opened.append(row.pk)
        return open_it(row)

    monkeypatch.setattr(ProviderAccount, "written_secrets", watched)
    whole = master.get("/model/info").json()["data"]
    assert [each["model_name"] for each in whole] == [f"m{n}" for n in range(7)]
    assert {each["litellm_params"]["api_key"] for each in whole} == {"os.environ/KEY_OF_ONE"}
    assert opened == [account.pk]
    pages = [master.get("/v2/model/info", params={"size": 3, "page": n}).json() for n in (1, 2, 3, 4)]
    assert [each for page in pages for each in page["data"]] == whole
    assert {page["total_count"] for page in pages} == {7}
    assert {page["total_pages"] for page in pages} == {3}
    opened.clear()
    shown = client.get("/model/info").json()["data"]
    assert [each["litellm_params"] for each in shown] == [{"model": f"openai/p{n}"} for n in range(7)]
    assert opened == []

    def queries(size: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            model_admin.info_pages(Ask(caller_for_user(owner), actor), QueryDict(f"size={size}"))
        return len(captured)

    assert queries(1) == queries(7)


def test_keys_follow_a_model_to_its_new_name_and_callers_see_it(
    post: Post, client: httpx.Client, key: VirtualKey, actor: Actor
):
    post("/model/new", **ENTRY)
    keys.update_key(actor=actor, key=key, allowed_models=["mine", "other"])
    catalog.refresh()
    assert post("/model/update", model_name="ours", model_info={"id": "one"})["model_name"] == "ours"
    key.refresh_from_db()
    assert key.allowed_models == ["ours", "other"]
    catalog.refresh()
    assert [row["id"] for row in client.get("/v1/models").json()["data"]] == ["ours"]
