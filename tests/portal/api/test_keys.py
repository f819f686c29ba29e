"""/key/*: names, fields and shapes of LiteLLM, rights of our own."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest

from portal.models import AuditEvent, Deployment, Membership, Team, User, VirtualKey
from portal.services import catalog, keys, teams
from portal.services.audit import Actor
from tests.portal.api.conftest import Post
from tests.portal.server import Server


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def works(server: Server, secret: str) -> bool:
    with server.client(secret) as client:
        return client.get("/v1/models").status_code == 200


def test_a_generated_key_works_at_once_and_is_shown_once(server: Server, post: Post, master: httpx.Client):
    made = post("/key/generate", key_alias="first", metadata={"owner": "us"}, duration="30d")
    assert made["key"].startswith("sk-")
    assert made["key_alias"] == "first"
    assert made["team_id"] == "default"
    assert made["expires"] is not None
    assert works(server, made["key"])
    shown = master.get("/key/info", params={"key": made["key"]}).json()
    assert shown["key"] == made["token"]
    assert shown["info"]["spend"] == 0
    assert shown["info"]["metadata"] == {"owner": "us"}
    assert made["key"] not in str(shown)


def test_a_key_learns_about_itself_and_nobody_else(
    client: httpx.Client, key: VirtualKey, rival_secret: str, team: Team
):
    own = client.get("/key/info").json()
    assert own["info"]["team_id"] == team.team_id
    assert own["key"] == key.digest
    assert code(client.get("/key/info", params={"key": rival_secret})) == (404, "key_not_found")
    assert client.get("/key/list").json()["keys"] == [key.digest]


def test_a_plain_key_manages_nothing(client: httpx.Client, secret: str):
    for path in ("/key/generate", "/key/update", "/key/delete", "/key/block"):
        assert code(client.post(path, json={"key": secret})) == (403, "permission_denied")


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"guardrails": ["x"]}, "guardrails"),
        ({"token_id": "x"}, "token_id"),
        ({"created_at": "2020-01-01"}, "created_at"),
        ({"rpm_limit": -1}, "rpm_limit"),
        ({"rpm_limit": "many"}, "rpm_limit"),
        ({"max_budget": "NaN"}, "max_budget"),
        ({"duration": "soon"}, "duration"),
        ({"models": "gpt"}, "models"),
        ({"allowed_ips": ["nowhere"]}, "allowed_ips"),
        ({"allowed_routes": ["chat"]}, "allowed_routes"),
        ({"permissions": {"models.change": True}}, "permissions.models.change"),
        ({"budget_limits": [{"max_budget": 1, "window": "1d"}]}, "budget_limits[0]"),
        ({"budget_id": "none"}, "budget_id"),
        ({"team_id": "none"}, "team_id"),
        ({"user_id": "none"}, "user_id"),
        ({"key": "short"}, "key"),
        ({"key_type": "root"}, "key_type"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_what_cannot_be_is_refused_by_name(master: httpx.Client, sent: dict[str, Any], param: str):
    answer = master.post("/key/generate", json=sent)
    assert answer.status_code in {400, 404}, answer.text
    assert answer.json()["error"]["param"] == param
    assert not VirtualKey.objects.exists()


def test_empty_fields_of_other_products_are_no_obstacle(post: Post):
    assert post("/key/generate", guardrails=[], organization_id=None, send_invite_email=False)["key"]


def test_every_field_comes_back(post: Post, master: httpx.Client, team: Team):
    sent = {
        "team_id": team.team_id,
        "models": ["gpt", "gemini/*"],
        "aliases": {"fast": "gpt"},
        "max_budget": 5.5,
        "soft_budget": 4,
        "budget_duration": "30d",
        "budget_limits": [{"budget_duration": "1d", "max_budget": 1}],
        "model_max_budget": {"gpt": {"budget_limit": 2, "time_period": "1d"}},
        "rpm_limit": 10,
        "tpm_limit": 1000,
        "max_parallel_requests": 3,
        "model_rpm_limit": {"gpt": 5},
        "model_tpm_limit": {"gpt": 500},
        "allowed_routes": ["llm_api_routes"],
        "allowed_ips": ["10.0.0.0/8"],
        "permissions": {"files.delete": False},
        "tags": ["nightly"],
    }
    made = post("/key/generate", **sent)
    info = master.get("/key/info", params={"key": made["token"]}).json()["info"]
    for name, value in sent.items():
        if name == "budget_limits":
            assert info[name][0]["max_budget"] == 1
            assert info[name][0]["budget_duration"] == "1d"
        elif name == "model_max_budget":
            assert info[name] == {"gpt": {"budget_limit": 2.0, "time_period": "1d"}}
        else:
            assert info[name] == value, name
    assert info["budget_reset_at"] is not None
    changed = post("/key/update", key=made["key"], max_budget=None, rpm_limit=None, tags=[], models=[])
    assert changed["max_budget"] is None
    assert changed["rpm_limit"] is None
    assert changed["tpm_limit"] == 1000
    assert changed["tags"] == []
    assert changed["model_max_budget"] == {"gpt": {"budget_limit": 2.0, "time_period": "1d"}}


def test_blocking_and_deleting_hold_at_once(server: Server, post: Post):
    made = post("/key/generate")
    assert works(server, made["key"])
    post("/key/block", key=made["key"])
    catalog.refresh()
    assert not works(server, made["key"])
    post("/key/unblock", key=made["token"])
    catalog.refresh()
    assert works(server, made["key"])
    assert post("/key/delete", keys=[made["key"]]) == {"deleted_keys": [made["key"]]}
    catalog.refresh()
    assert not works(server, made["key"])


def test_deleting_is_all_or_nothing(post: Post, master: httpx.Client):
    made = post("/key/generate")
    assert code(master.post("/key/delete", json={"keys": [made["key"], "sk-unknown-unknown"]})) == (
        404,
        "key_not_found",
    )
    assert VirtualKey.objects.get().deleted_at is None


def test_a_rotated_key_works_on_for_its_grace_period(server: Server, post: Post):
    made = post("/key/generate", key_alias="turning")
    new = post(f"/key/{made['key']}/regenerate", grace_period="24h")
    assert new["key"] != made["key"]
    assert new["key_alias"] == "turning"
    catalog.refresh()
    assert works(server, made["key"])
    assert works(server, new["key"])
    last = post("/key/regenerate", key=new["key"])
    catalog.refresh()
    assert works(server, last["key"])
    assert not works(server, new["key"])
    assert works(server, made["key"])
    post("/key/block", key=last["key"])
    catalog.refresh()
    assert not works(server, made["key"])


def test_a_former_value_is_never_taken_again(post: Post, master: httpx.Client):
    made = post("/key/generate", key="sk-brought-along-12345")
    assert made["key"] == "sk-brought-along-12345"
    post("/key/regenerate", key=made["key"])
    again = master.post("/key/generate", json={"key": "sk-brought-along-12345"})
    assert code(again) == (409, "key_exists")


def test_a_key_known_by_its_litellm_hash_alone_goes_on_working(
    server: Server, post: Post, master: httpx.Client
):
    old = "sk-from-litellm-1234567890"
    token = hashlib.sha256(old.encode()).hexdigest()
    post("/key/generate", token=token, key_alias="moved", spend=1.25, max_budget=10)
    assert works(server, old)
    assert not works(server, token)
    for name in (old, token):
        info = master.get("/key/info", params={"key": name}).json()["info"]
        assert (info["key_alias"], info["spend"], info["budget_spend"]) == ("moved", 1.25, 1.25)


def test_aliases_are_the_teams_own(post: Post, master: httpx.Client, team: Team):
    post("/key/generate", key_alias="same")
    assert code(master.post("/key/generate", json={"key_alias": "same"})) == (409, "alias_exists")
    post("/key/generate", key_alias="same", team_id=team.team_id)
    assert code(master.post("/key/delete", json={"key_aliases": ["same"]})) == (404, "key_not_found")


def test_lists_are_paged_filtered_and_counted(
    post: Post, master: httpx.Client, team: Team, django_assert_max_num_queries: Any
):
    for number in range(5):
        post("/key/generate", key_alias=f"key {number}", team_id=team.team_id, max_budget=number)
    page = master.get("/key/list", params={"size": 2, "page": 3, "team_id": team.team_id}).json()
    assert (page["total_count"], page["total_pages"], len(page["keys"])) == (5, 3, 1)
    full = master.get(
        "/key/list", params={"return_full_object": "true", "sort_by": "key_alias", "sort_order": "asc"}
    )
    assert [each["key_alias"] for each in full.json()["keys"]] == [f"key {number}" for number in range(5)]
    assert full.json()["keys"][3]["max_budget"] == 3
    assert master.get("/key/list", params={"search": "key 4"}).json()["total_count"] == 1
    assert master.get("/key/list", params={"team_id": "\x00"}).json()["total_count"] == 0
    assert code(master.get("/key/list", params={"size": 101})) == (400, "invalid_request")
    assert master.get("/key/aliases").json()["total_count"] == 5


def test_bulk_changes_say_what_failed(post: Post):
    made = post("/key/generate")
    answer = post(
        "/key/bulk_update",
        keys=[{"key": made["key"], "rpm_limit": 7}, {"key": "sk-nobody-knows-this", "rpm_limit": 7}],
    )
    assert answer["total_requested"] == 2
    assert answer["successful_updates"][0]["key_info"]["rpm_limit"] == 7
    assert answer["failed_updates"][0]["failed_reason"] == "There is no such key."


def test_service_accounts_belong_to_a_team(post: Post, master: httpx.Client, team: Team):
    assert code(master.post("/key/service-account/generate", json={})) == (400, "missing_parameter")
    made = post("/key/service-account/generate", team_id=team.team_id)
    assert (made["user_id"], made["team_id"]) == (None, team.team_id)


def test_a_key_that_manages_its_team_manages_no_other(
    server: Server, actor: Actor, team: Team, rival: Team, rival_secret: str
):
    _, secret = keys.create_key(
        actor=actor, team=team, name="boss", options={"permissions": {"manage": "team"}}
    )
    with server.client(secret) as boss:
        made = boss.post("/key/generate", json={"rpm_limit": 5})
        assert made.status_code == 200
        assert made.json()["team_id"] == team.team_id
        assert code(boss.post("/key/generate", json={"team_id": rival.team_id})) == (404, "team_not_found")
        assert code(boss.post("/key/delete", json={"keys": [rival_secret]})) == (404, "key_not_found")
        assert code(boss.post("/key/generate", json={"permissions": {"manage": "all"}}))[0] == 403
        assert code(boss.post("/key/generate", json={"spend": 3}))[0] == 403
        assert code(boss.post("/team/new", json={}))[0] == 403
        assert code(boss.post("/user/new", json={}))[0] == 403


def test_a_key_that_manages_everything_is_an_admin(server: Server, post: Post, rival: Team):
    made = post("/key/generate", permissions={"manage": "all"})
    with server.client(made["key"]) as admin:
        assert admin.post("/key/generate", json={"team_id": rival.team_id}).status_code == 200
        assert admin.post("/team/new", json={"team_alias": "Green"}).status_code == 200


def signed_in(server: Server, person: User) -> httpx.Client:
    """A browser of that person, with what the origin check wants."""
    from django.test import Client

    browser = Client()
    browser.force_login(person)
    cookie = browser.cookies["portico_session"].value
    token = "a" * 32
    return httpx.Client(
        base_url=server.url,
        cookies={"portico_session": cookie, "portico_csrf": token},
        headers={"x-csrftoken": token, "origin": server.url},
        trust_env=False,
    )


def test_members_make_keys_of_their_own_and_lift_no_bounds(
    server: Server, member: User, team: Team, rival: Team, actor: Actor
):
    with signed_in(server, member) as person:
        made = person.post("/key/generate", json={"key_alias": "mine"})
        assert made.status_code == 200, made.text
        assert made.json()["user_id"] == member.user_id
        own = VirtualKey.objects.get(name="mine")
        keys.update_key(actor=actor, key=own, figures={"max_budget": 1})
        for lifted in ({"max_budget": 100}, {"rpm_limit": 9}, {"user_id": None}, {"team_id": rival.team_id}):
            assert code(person.post("/key/update", json={"key": own.digest, **lifted}))[0] == 403, lifted
        assert code(person.post(f"/key/{own.digest}/reset_spend", json={}))[0] == 403
        renamed = person.post("/key/update", json={"key": own.digest, "key_alias": "yours"})
        assert renamed.json()["key_alias"] == "yours"
        assert person.post("/key/delete", json={"keys": [own.digest]}).status_code == 200


def test_a_team_admin_gets_no_hold_of_a_key_that_manages_everything(server: Server, team: Team, actor: Actor):
    admin = User.objects.create_user("boss@example.com", "correct horse battery")
    teams.set_member(actor=actor, team=team, user=admin, role=Membership.Role.ADMIN)
    row, _ = keys.create_key(
        actor=actor, team=team, name="all", user=admin, options={"permissions": {"manage": "all"}}
    )
    _, of_team = keys.create_key(
        actor=actor, team=team, name="boss", options={"permissions": {"manage": "team"}}
    )
    for client in (signed_in(server, admin), server.client(of_team)):
        with client:
            assert code(client.post(f"/key/{row.digest}/regenerate", json={}))[0] == 403
            assert code(client.post("/key/update", json={"key": row.digest, "models": []}))[0] == 403
            assert code(client.post("/key/delete", json={"keys": [row.digest]}))[0] == 403


def test_a_forged_request_of_a_browser_is_refused(server: Server, owner: User):
    with signed_in(server, owner) as person:
        person.headers["origin"] = "https://evil.example"
        assert code(person.post("/key/generate", json={})) == (403, "csrf_failed")
        assert not VirtualKey.objects.exists()


def test_viewers_see_keys_and_change_none(server: Server, team: Team, key: VirtualKey, actor: Actor):
    viewer = User.objects.create_user("viewer@example.com", "correct horse battery")
    teams.set_member(actor=actor, team=team, user=viewer, role=Membership.Role.VIEWER)
    with signed_in(server, viewer) as person:
        assert person.get("/key/list").json()["keys"] == [key.digest]
        assert code(person.post("/key/block", json={"key": key.digest}))[0] == 403


def test_changes_are_on_the_audit_trail_without_secrets(post: Post):
    made = post("/key/generate", key_alias="seen", max_budget=3)
    post("/key/update", key=made["key"], rpm_limit=3)
    events = list(AuditEvent.objects.filter(object_type="virtualkey").order_by("pk"))
    assert [event.action for event in events] == ["key.created", "key.updated"]
    assert events[1].after == {"options": {"rpm_limit": 3}}
    assert events[0].actor == "master key"
    assert made["key"] not in str([event.after for event in events])


def test_a_keys_alias_opens_nothing_that_it_may_not_use(
    server: Server,
    post: Post,
    openai_deployment: Deployment,
    gemini_deployment: Deployment,
    team: Team,
    actor: Actor,
):
    teams.update_team(actor=actor, team=team, allowed_models=["gemini-flash", "cheap"])
    made = post(
        "/key/generate", team_id=team.team_id, aliases={"gemini-flash": "gpt", "fast": "gemini-flash"}
    )
    with server.client(made["key"]) as client:
        assert client.get("/v1/models/fast").json()["owned_by"] == "gemini"
        assert code(client.get("/v1/models/gemini-flash")) == (404, "model_not_found")


def test_a_change_holds_where_it_was_made_as_soon_as_it_is_answered(server: Server, post: Post):
    made = post("/key/generate")
    assert works(server, made["key"])
    post("/key/block", key=made["key"])
    assert not works(server, made["key"])


def test_rotation_is_asked_for_with_an_interval_and_ends_with_auto_rotate(post: Post, master: httpx.Client):
    made = post("/key/generate", auto_rotate=True, rotation_interval="90d")
    assert (made["auto_rotate"], made["rotation_interval"]) == (True, "90d")
    assert made["key_rotation_at"] is not None
    changed = post("/key/update", key=made["key"], rotation_interval="30d")
    assert changed["rotation_interval"] == "30d"
    assert changed["key_rotation_at"] < made["key_rotation_at"]
    new = post(f"/key/{made['key']}/regenerate")
    assert (new["rotation_count"], new["last_rotation_at"] is not None) == (1, True)
    ended = post("/key/update", key=new["key"], auto_rotate=False)
    assert (ended["auto_rotate"], ended["rotation_interval"], ended["key_rotation_at"]) == (False, None, None)
    for wrong in ({"auto_rotate": True}, {"rotation_interval": "90d"}):
        assert code(master.post("/key/generate", json=wrong)) == (400, "invalid_request")
