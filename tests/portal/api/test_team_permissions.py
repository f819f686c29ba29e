"""/team/permissions_*, /team/available, /team/bulk_member_add, and lists of teams in an order."""

from __future__ import annotations

import httpx

from portal.api.team_permissions import MEMBERS_MAY, ROUTES
from portal.models import Membership, Team, User
from tests.portal.api.conftest import Post


def test_roles_say_what_members_may_do(
    master: httpx.Client, post: Post, team: Team, rival: Team, client: httpx.Client
):
    shown = master.get("/team/permissions_list", params={"team_id": team.team_id}).json()
    assert shown["team_id"] == team.team_id
    assert {"/key/generate", "/key/update", "/key/info"} <= {*shown["team_member_permissions"]}
    assert "/key/{key_id}/reset_spend" not in shown["team_member_permissions"]
    assert shown["all_available_permissions"] == list(ROUTES)
    same = post("/team/permissions_update", team_id=team.team_id, team_member_permissions=MEMBERS_MAY)
    assert same == shown
    fewer = {"team_id": team.team_id, "team_member_permissions": ["/key/info"]}
    answer = master.post("/team/permissions_update", json=fewer)
    assert answer.status_code == 400
    assert "roles in a team" in answer.json()["error"]["message"]
    assert client.get("/team/permissions_list", params={"team_id": rival.team_id}).status_code in (403, 404)
    assert client.post("/team/permissions_update", json=fewer).status_code == 403


def test_nobody_joins_a_team_unasked(master: httpx.Client):
    assert master.get("/team/available").json() == []


def test_many_members_come_at_once_and_each_by_themselves(post: Post, team: Team):
    answer = post(
        "/team/bulk_member_add",
        team_id=team.team_id,
        members=[
            {"role": "user", "user_email": "ada@example.com"},
            {"role": "king", "user_id": "bob"},
            {"role": "admin", "user_id": "cleo"},
        ],
        max_budget_in_team=3,
    )
    assert [each["success"] for each in answer["results"]] == [True, False, True]
    assert (answer["total_requested"], answer["successful_additions"], answer["failed_additions"]) == (
        3,
        2,
        1,
    )
    assert "role" in answer["results"][1]["error"]
    assert answer["results"][0]["updated_team_membership"]["litellm_budget_table"]["max_budget"] == 3
    assert len(answer["updated_team"]["members_with_roles"]) == 2


def test_everybody_joins_at_once(post: Post, master: httpx.Client, team: Team):
    for name in ("ada", "bob"):
        User.objects.create_user(f"{name}@example.com")
    User.objects.create_user("gone@example.com", is_active=False)
    answer = post("/team/bulk_member_add", team_id=team.team_id, all_users=True)
    assert answer["successful_additions"] == 2
    assert Membership.objects.filter(team=team).count() == 2
    assert post("/team/bulk_member_add", team_id=team.team_id, all_users=True)["total_requested"] == 0
    assert master.post("/team/bulk_member_add", json={"team_id": team.team_id}).status_code == 400


def test_a_list_of_teams_has_the_order_that_was_asked_for(master: httpx.Client, team: Team, rival: Team):
    def names(**query: str) -> list[str]:
        return [each["team_alias"] for each in master.get("/v2/team/list", params=query).json()["teams"]]

    assert names(sort_by="team_alias") == ["Blue", "Default", "Red"]
    assert names(sort_by="team_alias", sort_order="desc") == ["Red", "Default", "Blue"]
    wrong = master.get("/v2/team/list", params={"sort_by": "shoe size"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "sort_by")
