"""What LiteLLM's admins send beside the usual fields of keys, teams and people: taken, or refused by name."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.utils import timezone

from portal.models import (
    Budget,
    BudgetWindow,
    MailedLink,
    Membership,
    Message,
    Team,
    User,
    VirtualKey,
)
from portal.services import catalog, keys
from portal.services import settings as operator_settings
from portal.services.audit import Actor
from tests.portal.api.conftest import Post
from tests.portal.api.test_keys import signed_in
from tests.portal.server import Server

WAYS: dict[str, Any] = {
    "tag_rpm_limit": {"cell-1": 10},
    "budget_fallbacks": {"gpt": ["gpt-mini", "gemini"]},
    "router_settings": {
        "routing_strategy": "least-busy",
        "num_retries": 1,
        "timeout": 12.5,
        "fallbacks": [{"gpt": ["gemini"]}],
        "model_group_alias": {"fast": "gpt-mini"},
        "model_group_retry_policy": {"gpt": {"RateLimitErrorRetries": 5}},
    },
    "enforced_params": ["user", "metadata.job"],
    "allowed_cache_controls": ["no-cache", "no-store"],
}
OF_KEYS: dict[str, Any] = WAYS | {
    "throttle_on_budget_exceeded": True,
    "rpm_limit": 5,
    "rpm_limit_type": "guaranteed_throughput",
}
# What LiteLLM's dashboard and its Terraform providers send for whoever fills in none of it.
EMPTY: dict[str, Any] = {
    "guardrails": [],
    "policies": [],
    "prompts": [],
    "object_permission": {"mcp_servers": [], "vector_stores": [], "mcp_tool_permissions": {}},
    "organization_id": None,
    "project_id": "",
    "disable_global_guardrails": False,
    "send_invite_email": False,
    "access_group_ids": [],
    "allowed_passthrough_routes": [],
    "secret_manager_settings": {},
    "tpd_limit": None,
    "mcp_rpm_limit": {},
}


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_every_option_of_a_key_comes_back(post: Post, master: httpx.Client, team: Team):
    made = post("/key/generate", team_id=team.team_id, key_type="llm_api", **OF_KEYS, **EMPTY)
    info = master.get("/key/info", params={"key": made["token"]}).json()["info"]
    for shown in (made, info):
        assert {name: shown[name] for name in OF_KEYS} == OF_KEYS
        assert (shown["key_type"], shown["litellm_budget_table"]) == ("llm_api", None)
    gone = post("/key/update", key=made["token"], **dict.fromkeys(OF_KEYS))
    assert {gone[name] or None for name in OF_KEYS} == {None}
    assert VirtualKey.objects.get().options == {"allowed_routes": ["llm_api_routes"]}


def test_every_option_of_a_team_comes_back(post: Post, master: httpx.Client):
    sent = WAYS | {
        "team_member_model_max_budget": {"gpt": {"budget_limit": "1.000000000000", "time_period": "1d"}},
        "enforced_file_expires_after": {"anchor": "created_at", "seconds": 30 * 86_400},
    }
    made = post(
        "/team/new",
        team_alias="Green",
        rpm_limit_type="best_effort_throughput",
        members_with_roles=[{"role": "admin", "user_id": "ada"}, {"role": "user", "user_id": "bob"}],
        **sent,
        **EMPTY,
    )
    info = master.get("/team/info", params={"team_id": made["team_id"]}).json()["team_info"]
    for shown in (made, info):
        assert {name: shown[name] for name in sent} == sent
        assert (shown["members"], shown["admins"]) == (["ada", "bob"], ["ada"])
        assert shown["file_rules"]["keep_days"] == 30
    window = BudgetWindow.objects.filter(subject__startswith="member:").first()
    assert window is not None
    assert (window.model, window.max_budget, window.duration) == ("gpt", Decimal(1), "1d")
    gone = post("/team/update", team_id=made["team_id"], **dict.fromkeys(sent))
    assert {gone[name] or None for name in sent} == {None}


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"router_settings": {"cooldown_time": 5}}, "router_settings.cooldown_time"),
        ({"router_settings": {"weights": {"gpt": {"a": 1}}}}, "router_settings.weights"),
        ({"router_settings": {"num_retries": "many"}}, "router_settings.num_retries"),
        ({"router_settings": {"fallbacks": ["b"]}}, "router_settings.fallbacks"),
        ({"router_settings": {"fallbacks": [{"a": ["b" * 30_000]}]}}, "router_settings"),
        ({"router_settings": []}, "router_settings"),
        ({"budget_fallbacks": ["b"]}, "budget_fallbacks"),
        ({"budget_fallbacks": {"a": "b"}}, "budget_fallbacks.a"),
        ({"budget_fallbacks": {"a": ["b", "a"]}}, "budget_fallbacks.a"),
        ({"tag_rpm_limit": {"a,b": 1}}, "tag_rpm_limit"),
        ({"tag_rpm_limit": {"a": -1}}, "tag_rpm_limit.a"),
        ({"rpm_limit_type": "dynamic"}, "rpm_limit_type"),
        ({"allowed_cache_controls": ["no-cash"]}, "allowed_cache_controls"),
        ({"enforced_params": "user"}, "enforced_params"),
        ({"temp_budget_increase": 5, "max_budget": 1}, "temp_budget_expiry"),
        ({"temp_budget_expiry": "2027-01-01", "max_budget": 1}, "temp_budget_increase"),
        ({"temp_budget_increase": 5, "temp_budget_expiry": "2027-01-01"}, "temp_budget_increase"),
        ({"temp_budget_increase": 5, "temp_budget_expiry": "soon", "max_budget": 1}, "temp_budget_expiry"),
        ({"model_max_budget": {"gpt": {"budget_limit": 1, "tpm_limit": 5}}}, "model_max_budget.gpt"),
        ({"metadata": {"tag_rpm_limit": {"a": "x"}}}, "tag_rpm_limit.a"),
        ({"tpd_limit": 0}, "tpd_limit"),
        ({"mcp_rpm_limit": {"github": 0}}, "mcp_rpm_limit"),
        ({"send_invite_email": True}, "send_invite_email"),
        ({"object_permission": {"mcp_servers": ["x"]}}, "object_permission"),
        ({"end_user_budget_id": "b"}, "end_user_budget_id"),
        ({"default_estimated_output_tokens": 100}, "default_estimated_output_tokens"),
    ],
)
def test_what_a_key_cannot_be_given_is_named(master: httpx.Client, sent: dict[str, Any], param: str):
    answer = master.post("/key/generate", json=sent)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert not VirtualKey.objects.exists()


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"rpm_limit_type": "guaranteed_throughput"}, "rpm_limit_type"),
        ({"team_member_permissions": ["/key/generate"]}, "team_member_permissions"),
        ({"team_member_key_duration": "1d"}, "team_member_key_duration"),
        ({"team_member_model_max_budget": {"gpt": {}}}, "model_max_budget.gpt"),
        ({"enforced_file_expires_after": {"seconds": 3600}}, "enforced_file_expires_after.seconds"),
        (
            {"enforced_file_expires_after": {"anchor": "used_at", "seconds": 86400}},
            "enforced_file_expires_after.anchor",
        ),
        ({"enforced_file_expires_after": {"days": 1}}, "enforced_file_expires_after"),
        ({"enforced_batch_output_expires_after": {"seconds": 86400}}, "enforced_batch_output_expires_after"),
        (
            {"members_with_roles": [{"role": "user", "user_id": "bob", "max_budget_in_team": 5}]},
            "member.max_budget_in_team",
        ),
        ({"router_settings": {"allowed_fails": 1}}, "router_settings.allowed_fails"),
    ],
)
def test_what_a_team_cannot_be_given_is_named(master: httpx.Client, sent: dict[str, Any], param: str):
    answer = master.post("/team/new", json={"team_alias": "Green", **sent})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert not Membership.objects.filter(team__name="Green").exists()


def test_a_refusal_says_what_to_do_instead(master: httpx.Client):
    told = master.post("/key/generate", json={"tpd_limit": 1000}).json()["error"]["message"]
    assert told == (
        "`tpd_limit` is not supported here: it bounds batches, which are not served; `tpm_limit` and budgets"
        " bound calls."
    )
    settings = {"router_settings": {"cooldown_time": 5}}
    told = master.post("/key/generate", json=settings).json()["error"]["message"]
    assert "a deployment rests for all callers alike" in told


def test_limits_in_the_metadata_count_as_if_they_stood_beside_it(post: Post):
    metadata = {"tag_rpm_limit": {"a": 1}, "model_rpm_limit": {"gpt": 2}, "owner": "us"}
    made = post("/key/generate", metadata=metadata, model_rpm_limit={"gpt": 3})
    assert (made["tag_rpm_limit"], made["model_rpm_limit"]) == ({"a": 1}, {"gpt": 3})
    assert made["metadata"] == metadata
    changed = post("/key/update", key=made["token"], metadata={"throttle_on_budget_exceeded": True})
    assert changed["throttle_on_budget_exceeded"] is True
    assert changed["tag_rpm_limit"] == {"a": 1}


def test_a_budget_grows_for_a_while(post: Post, member: User, team: Team):
    made = post("/key/generate", max_budget=5, budget_duration="30d")
    end = (timezone.now() + timedelta(days=2)).replace(microsecond=0)
    lent = {"temp_budget_increase": 2.5, "temp_budget_expiry": end.isoformat()}
    changed = post("/key/update", key=made["token"], **lent)
    assert {name: changed[name] for name in lent} == lent
    assert post("/key/update", key=made["token"], key_alias="still")["temp_budget_increase"] == 2.5
    day = post("/key/update", key=made["token"], temp_budget_increase=1, temp_budget_expiry="2027-01-15")
    assert day["temp_budget_expiry"] == "2027-01-15T00:00:00+00:00"
    none = post("/key/update", key=made["token"], temp_budget_increase=None, temp_budget_expiry=None)
    assert (none["max_budget"], none["temp_budget_increase"], none["temp_budget_expiry"]) == (5, None, None)
    shown = post(
        "/team/member_update", team_id=team.team_id, user_id=member.user_id, max_budget_in_team=1, **lent
    )
    assert shown["litellm_budget_table"]["temp_budget_increase"] == 2.5


def test_what_is_guaranteed_to_keys_is_no_more_than_their_team_has(
    post: Post, master: httpx.Client, team: Team
):
    post("/team/update", team_id=team.team_id, rpm_limit=10, model_tpm_limit={"gpt": 100})
    sure = {"team_id": team.team_id, "rpm_limit_type": "guaranteed_throughput"}
    post("/key/generate", team_id=team.team_id, rpm_limit=3)
    made = post("/key/generate", rpm_limit=7, **sure)
    answer = master.post("/key/generate", json={"rpm_limit": 1, **sure})
    assert refused(answer) == (400, "limit_overallocated", "rpm_limit")
    assert "The team has 10, and its other keys 10" in answer.json()["error"]["message"]
    post("/key/generate", team_id=team.team_id, rpm_limit=50)  # promises nothing
    answer = master.post("/key/update", json={"key": made["token"], "rpm_limit": 8})
    assert refused(answer)[2] == "rpm_limit"
    tokens = {"team_id": team.team_id, "tpm_limit_type": "guaranteed_throughput"}
    post("/key/generate", model_tpm_limit={"gpt": 60, "gemini": 1000}, **tokens)
    answer = master.post("/key/generate", json={"model_tpm_limit": {"gpt": 41}, **tokens})
    assert refused(answer) == (400, "limit_overallocated", "model_tpm_limit")
    post("/key/generate", rpm_limit=100, tpm_limit=5, rpm_limit_type="guaranteed_throughput")


def test_what_counts_as_spent_may_be_set_with_an_update(
    post: Post, server: Server, master: httpx.Client, team: Team, member: User, actor: Actor
):
    made = post("/key/generate", team_id=team.team_id, spend=3, max_budget=5, user_id=member.user_id)
    assert post("/key/update", key=made["token"], spend=0)["spend"] == 0
    assert BudgetWindow.objects.get().spent == 0
    _, secret = keys.create_key(
        actor=actor, team=team, name="manages", options={"permissions": {"manage": "team"}}
    )
    catalog.refresh()
    with server.client(secret) as manager:
        assert manager.post("/key/update", json={"key": made["token"], "spend": 0}).status_code == 200
        assert manager.post("/key/update", json={"key": made["token"], "spend": 1}).status_code == 403


def test_whoever_only_makes_keys_does_not_route_in_their_own_way(server: Server, team: Team, member: User):
    body = {"team_id": team.team_id, "key_alias": "own"}
    with signed_in(server, member) as browser:
        answer = browser.post("/key/generate", json=body | {"router_settings": {"num_retries": 0}})
        assert answer.status_code == 403, answer.text
        assert browser.post("/key/generate", json=body).status_code == 200


def test_a_key_shows_the_budget_that_it_shares(post: Post):
    post("/budget/new", budget_id="small", max_budget=3, rpm_limit=4)
    made = post("/key/generate", budget_id="small")
    assert made["litellm_budget_table"]["max_budget"] == 3
    assert made["litellm_budget_table"]["rpm_limit"] == 4
    assert made["rpm_limit"] == 4
    assert Budget.objects.get().keys.count() == 1


def test_a_person_joins_teams_with_a_budget_in_each(
    post: Post, master: httpx.Client, team: Team, rival: Team
):
    joining = [team.team_id, {"team_id": rival.team_id, "max_budget_in_team": 2, "user_role": "admin"}]
    made = post("/user/new", user_id="carla", teams=joining)
    assert set(made["teams"]) == {team.team_id, rival.team_id}
    found = {each.team.name: each for each in Membership.objects.select_related("team")}
    assert [found[name].role for name in ("Blue", "Red")] == ["member", "admin"]
    window = BudgetWindow.objects.get()
    assert (window.subject, window.max_budget) == (f"member:{rival.pk}:{found['Red'].user_id}", Decimal(2))
    for wrong in ("x", [{"team_id": 5}], [{"team_id": team.team_id, "tpm": 1}], [7]):
        answer = master.post("/user/new", json={"user_id": "dora", "teams": wrong})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == "teams"
    assert not User.objects.filter(user_id="dora").exists()


def test_what_terraform_providers_send_for_everything_is_taken(post: Post, master: httpx.Client, team: Team):
    nothing: dict[str, Any] = {
        "models": [],
        "metadata": {},
        "budget_duration": "",
        "allowed_cache_controls": [],
        "key_alias": "from terraform",
        "duration": "",
        "aliases": {},
        "config": {},
        "permissions": {},
        "model_max_budget": {},
        "model_rpm_limit": None,
        "model_tpm_limit": {},
        "blocked": False,
        "tags": [],
        "budget_id": "",
        "enforced_params": [],
        "allowed_routes": [],
        "rpm_limit_type": "",
        "tpm_limit_type": "",
        "user_id": "",
    }
    made = post("/key/generate", team_id=team.team_id, max_budget=5.0, **nothing, **EMPTY)
    assert (made["max_budget"], made["team_id"], made["expires"]) == (5, team.team_id, None)
    changed = post("/key/update", key=made["token_id"], team_id="", rpm_limit=3, **nothing, **EMPTY)
    assert (changed["rpm_limit"], changed["team_id"], changed["max_budget"]) == (3, team.team_id, 5)
    assert master.get("/key/list", params={"key_hash": made["token"]}).json()["keys"] == [made["token"]]


@pytest.mark.parametrize("path", ["/key/list", "/team/list", "/v2/team/list"])
def test_a_list_is_not_longer_than_it_was_asked_for(master: httpx.Client, path: str, team: Team, rival: Team):
    answer = master.get(path, params={"organization_id": "acme"})
    assert refused(answer) == (400, "unsupported_parameter", "organization_id")
    if path == "/team/list":
        found = master.get(path, params={"team_id": team.team_id}).json()
        assert [each["team_id"] for each in found] == [team.team_id]


def test_a_new_person_is_sent_a_link_to_choose_a_password(
    post: Post, master: httpx.Client, actor: Actor, settings: Any
):
    asked = {"user_id": "eve", "user_email": "eve@example.com", "send_invite_email": True}
    answer = master.post("/user/new", json=asked)
    assert refused(answer) == (400, "mail_not_configured", "send_invite_email")
    assert not User.objects.exists()
    smtp = {"general_settings.smtp_host": "127.0.0.1", "general_settings.smtp_port": 2525}
    operator_settings.change(actor=actor, values=smtp)
    settings.PUBLIC_URL = "https://portico.example/"
    assert refused(master.post("/user/new", json=asked | {"user_email": ""}))[2] == "user_email"
    made = post("/user/new", **asked)
    message = Message.objects.get()
    assert (message.recipient, message.title) == ("eve@example.com", "Your account at Portico")
    link = MailedLink.objects.get(user__user_id="eve")
    assert (link.purpose, link.used_at) == (MailedLink.Purpose.PASSWORD, None)
    assert made["user_id"] == "eve"
    assert "portico.example" not in str(made)
