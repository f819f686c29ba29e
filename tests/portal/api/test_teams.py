"""/team/*, /user/* and /budget/*."""

from __future__ import annotations

import httpx

from portal.models import BudgetWindow, Membership, Team, User
from portal.services import catalog
from tests.portal.api.conftest import Post
from tests.portal.server import Server


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_team_comes_with_its_bounds_and_members(post: Post, master: httpx.Client):
    made = post(
        "/team/new",
        team_alias="Green",
        models=["gpt"],
        max_budget=10,
        budget_duration="30d",
        tpm_limit=100,
        team_member_budget=2,
        members_with_roles=[
            {"role": "admin", "user_email": "ada@example.com"},
            {"role": "user", "user_id": "bob"},
        ],
    )
    assert made["team_id"]
    shown = master.get("/team/info", params={"team_id": made["team_id"]}).json()
    assert shown["team_info"]["max_budget"] == 10
    assert shown["team_info"]["tpm_limit"] == 100
    assert [each["role"] for each in shown["team_info"]["members_with_roles"]] == ["admin", "user"]
    assert shown["team_memberships"][1]["litellm_budget_table"]["max_budget"] == 2
    assert shown["team_memberships"][1]["user_id"] == "bob"
    assert shown["team_memberships"][1]["user_email"] is None
    changed = post(
        "/team/update", team_id=made["team_id"], team_alias="Greener", max_budget=None, blocked=True
    )
    assert (changed["team_alias"], changed["max_budget"], changed["blocked"]) == ("Greener", None, True)


def test_a_team_says_for_itself_whether_its_requests_are_kept(
    post: Post, master: httpx.Client, client: httpx.Client, team: Team
):
    for value in (True, False, None):
        changed = post("/team/update", team_id=team.team_id, store_bodies=value)
        assert changed["store_bodies"] is value
    wrong = master.post("/team/update", json={"team_id": team.team_id, "store_bodies": "yes"})
    assert wrong.status_code == 400
    own = client.post("/team/update", json={"team_id": team.team_id, "store_bodies": True})
    assert own.status_code in (401, 403)


def test_teams_are_listed_and_deleted(post: Post, master: httpx.Client, team: Team, rival: Team):
    assert {each["team_alias"] for each in master.get("/team/list").json()} == {"Blue", "Default", "Red"}
    page = master.get("/v2/team/list", params={"page_size": 2}).json()
    assert (page["total"], page["total_pages"], len(page["teams"])) == (3, 2, 2)
    made = post("/key/generate", team_id=team.team_id, max_budget=1)
    assert post("/team/delete", team_ids=[team.team_id]) == {"deleted_teams": [team.team_id]}
    assert code(master.get("/key/info", params={"key": made["key"]})) == (404, "key_not_found")
    assert not BudgetWindow.objects.exists()
    assert code(master.post("/team/delete", json={"team_ids": ["default"]})) == (409, "conflict")


def test_a_key_sees_its_own_team_without_its_neighbours(client: httpx.Client, team: Team, rival: Team):
    shown = client.get("/team/info").json()
    assert shown["team_id"] == team.team_id
    assert shown["keys"] == []
    assert code(client.get("/team/info", params={"team_id": rival.team_id})) == (404, "team_not_found")


def test_members_come_change_and_go(post: Post, master: httpx.Client, team: Team, member: User):
    added = post(
        "/team/member_add",
        team_id=team.team_id,
        member={"role": "user", "user_email": "new@example.com"},
        max_budget_in_team=3,
    )
    assert added["updated_team_memberships"][0]["litellm_budget_table"]["max_budget"] == 3
    user_id = added["updated_users"][0]["user_id"]
    changed = post("/team/member_update", team_id=team.team_id, user_id=user_id, role="admin", rpm_limit=4)
    assert (changed["role"], changed["litellm_budget_table"]["rpm_limit"]) == ("admin", 4)
    assert changed["litellm_budget_table"]["max_budget"] == 3
    post("/team/member_delete", team_id=team.team_id, user_id=user_id)
    assert not Membership.objects.filter(user__user_id=user_id).exists()
    assert not BudgetWindow.objects.exists()
    gone = master.post("/team/member_delete", json={"team_id": team.team_id, "user_id": user_id})
    assert code(gone) == (404, "member_not_found")


def test_models_of_a_team_never_become_all_by_taking_the_last_away(
    post: Post, master: httpx.Client, team: Team
):
    post("/team/model/add", team_id=team.team_id, models=["a", "b"])
    assert post("/team/model/delete", team_id=team.team_id, models=["a"])["models"] == ["b"]
    last = master.post("/team/model/delete", json={"team_id": team.team_id, "models": ["b"]})
    assert code(last) == (400, "invalid_request")


def test_a_person_comes_with_a_key(server: Server, post: Post, master: httpx.Client, team: Team):
    made = post("/user/new", user_id="ada", teams=[team.team_id], max_budget=5, models=["gpt"])
    assert made["user_id"] == "ada"
    with server.client(made["key"]) as client:
        own = client.get("/user/info").json()
        assert own["user_id"] == "ada"
        assert own["user_info"]["max_budget"] == 5
        assert [each["team_id"] for each in own["teams"]] == [team.team_id]
        assert code(client.get("/user/info", params={"user_id": "bob"})) == (403, "permission_denied")
    assert post("/user/update", user_id="ada", user_alias="Ada", rpm_limit=3)["rpm_limit"] == 3
    assert master.get("/user/list", params={"search": "Ada"}).json()["total"] == 1
    assert post("/user/delete", user_ids=["ada"]) == {"deleted_users": ["ada"]}
    catalog.refresh()
    with server.client(made["key"]) as client:
        assert client.get("/v1/models").status_code == 401


def test_keys_of_a_person_who_is_switched_off_stop(server: Server, post: Post, team: Team, member: User):
    made = post("/key/generate", team_id=team.team_id, user_id=member.user_id)
    member.is_active = False
    member.save()
    catalog.forget()
    with server.client(made["key"]) as client:
        assert code(client.get("/v1/models")) == (401, "key_owner_inactive")


def test_roles_are_litellms_and_nobody_makes_owners(post: Post, master: httpx.Client):
    made = post(
        "/user/new", user_email="eve@example.com", user_role="proxy_admin_viewer", auto_create_key=False
    )
    assert made["user_role"] == "proxy_admin_viewer"
    assert "key" not in made
    assert code(master.post("/user/new", json={"user_role": "owner"})) == (400, "invalid_request")
    assert code(master.post("/user/new", json={"password": "x"})) == (400, "unsupported_parameter")
    assert not User.objects.filter(is_superuser=True).exists()


def test_a_key_that_manages_everything_is_no_owner(server: Server, post: Post, owner: User):
    made = post("/key/generate", permissions={"manage": "all"})
    with server.client(made["key"]) as admin:
        for path, body in (
            ("/user/update", {"user_id": owner.user_id, "user_role": "internal_user"}),
            ("/user/delete", {"user_ids": [owner.user_id]}),
        ):
            assert code(admin.post(path, json=body)) == (403, "permission_denied"), path
    owner.refresh_from_db()
    assert owner.is_superuser


def test_a_shared_budget_changes_all_who_share_it(post: Post, master: httpx.Client):
    post("/budget/new", budget_id="small", max_budget=1, rpm_limit=5, budget_duration="1d")
    first = post("/key/generate", budget_id="small")
    assert (first["max_budget"], first["rpm_limit"], first["budget_id"]) == (1, 5, "small")
    post("/budget/update", budget_id="small", max_budget=2, rpm_limit=None, tpm_limit=50)
    info = master.get("/key/info", params={"key": first["key"]}).json()["info"]
    assert (info["max_budget"], info["rpm_limit"], info["tpm_limit"]) == (2, None, 50)
    assert [each["budget_id"] for each in master.get("/budget/list").json()] == ["small"]
    assert master.post("/budget/info", json={"budgets": ["small"]}).json()[0]["max_budget"] == 2
    post("/budget/delete", id="small")
    info = master.get("/key/info", params={"key": first["key"]}).json()["info"]
    assert (info["max_budget"], info["budget_id"]) == (2, None)


def test_the_management_api_sets_and_tells_the_rules(master: httpx.Client):
    made = master.post("/team/new", json={"team_alias": "Green", "file_rules": {"max_bytes": 5 * 2**30}})
    assert made.status_code == 200, made.text
    team_id = made.json()["team_id"]
    assert made.json()["file_rules"]["max_bytes"] == 5 * 2**30
    changed = master.post("/team/update", json={"team_id": team_id, "file_rules": {"max_files": 7}})
    assert changed.status_code == 200, changed.text
    told = master.get(f"/team/info?team_id={team_id}").json()["team_info"]["file_rules"]
    assert (told["max_bytes"], told["max_files"], told["may_share"]) == (5 * 2**30, 7, True)
    refused = master.post("/team/update", json={"team_id": team_id, "file_rules": {"max_files": -7}})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "file_rules.max_files")
