"""/key/health, /key/spend/report, /global/spend/reset, /v2/user/info and /invitation/new."""

from __future__ import annotations

from decimal import Decimal

import httpx
import pytest

from portal.models import AuditEvent, BudgetWindow, Team, User, VirtualKey
from portal.services import keys, mailed_links, people
from portal.services.audit import Actor
from providers.errors import NotFound
from tests.portal.api.conftest import Post
from tests.portal.api.test_spend import used
from tests.portal.server import Server

__all__ = ["used"]  # a fixture of its neighbour


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_key_that_may_ask_is_healthy(client: httpx.Client, stranger: httpx.Client):
    found = client.post("/key/health").json()
    assert found["key"] == "healthy"
    assert found["logging_callbacks"] == {
        "callbacks": [],
        "status": "healthy",
        "details": "There are no callbacks.",
    }
    assert stranger.post("/key/health").status_code == 401


def test_what_a_key_spent_is_told_by_model(
    used: None, client: httpx.Client, master: httpx.Client, key: VirtualKey, rival_secret: str
):
    (found,) = client.get("/key/spend/report").json()
    assert (found["api_key"], found["total_cost"]) == (key.digest, 0.5)
    assert {each["model"] for each in found["model_details"]} == {"gpt", "gemini-flash"}
    assert sum(each["total_input_tokens"] for each in found["model_details"]) == found["total_input_tokens"]
    assert master.get("/key/spend/report", params={"api_key": key.digest}).json() == [found]
    assert code(client.get("/key/spend/report", params={"api_key": rival_secret})) == (404, "key_not_found")
    assert code(master.get("/key/spend/report")) == (400, "missing_parameter")
    long_ago = {"api_key": key.digest, "start_date": "2020-01-01", "end_date": "2020-01-02"}
    assert master.get("/key/spend/report", params=long_ago).json() == []


def test_a_neighbours_key_in_the_same_team_is_not_told_to_a_key(
    used: None, client: httpx.Client, team: Team, actor: Actor
):
    row, _ = keys.create_key(actor=actor, team=team, name="other")
    assert code(client.get("/key/spend/report", params={"api_key": row.digest})) == (404, "key_not_found")


def test_only_the_master_key_lets_all_begin_anew(
    post: Post, client: httpx.Client, server: Server, team: Team, key: VirtualKey, actor: Actor
):
    post("/key/update", key=key.digest, max_budget=5)
    post("/team/update", team_id=team.team_id, max_budget=9)
    VirtualKey.objects.filter(pk=key.pk).update(spend=Decimal(3))
    Team.objects.filter(pk=team.pk).update(spend=Decimal(4))
    BudgetWindow.objects.update(spent=Decimal(3), reserved=Decimal(1))
    _, admin = keys.create_key(actor=actor, team=team, name="a", options={"permissions": {"manage": "all"}})
    with server.client(admin) as other:
        assert other.post("/global/spend/reset").status_code == 403
    assert client.post("/global/spend/reset").status_code == 403
    assert VirtualKey.objects.get(pk=key.pk).spend == 3
    found = post("/global/spend/reset")
    assert (found["status"], found["keys"], found["teams"]) == ("success", 1, 1)
    assert VirtualKey.objects.get(pk=key.pk).spend == Team.objects.get(pk=team.pk).spend == 0
    windows = BudgetWindow.objects.filter(subject__in=[f"key:{key.pk}", f"team:{team.pk}"])
    assert [(row.spent, row.reserved) for row in windows] == [(Decimal(0), Decimal(1))] * 2
    event = AuditEvent.objects.get(action="spend.reset")
    assert (event.actor, event.after) == ("master key", {"keys": 1, "teams": 1})


def test_budgets_of_people_and_tags_are_left_as_they_were(post: Post):
    person = post("/user/new", user_email="ada@example.com", max_budget=5, auto_create_key=False)
    number = User.objects.get(user_id=person["user_id"]).pk
    BudgetWindow.objects.filter(subject=f"user:{number}").update(spent=Decimal(2))
    post("/global/spend/reset")
    assert BudgetWindow.objects.get(subject=f"user:{number}").spent == 2


def test_a_person_is_shown_without_keys(post: Post, master: httpx.Client, client: httpx.Client):
    made = post("/user/new", user_email="ada@example.com", user_alias="Ada", auto_create_key=False)
    found = master.get("/v2/user/info", params={"user_id": made["user_id"]}).json()
    assert (found["user_id"], found["user_alias"], found["teams"]) == (made["user_id"], "Ada", [])
    assert "keys" not in found
    assert code(master.get("/v2/user/info")) == (400, "missing_parameter")
    assert client.get("/v2/user/info", params={"user_id": made["user_id"]}).status_code == 403


def test_an_invited_person_chooses_a_password(post: Post, master: httpx.Client, client: httpx.Client):
    made = post("/user/new", user_email="ada@example.com", auto_create_key=False)
    found = post("/invitation/new", user_id=made["user_id"])
    assert (found["user_id"], found["is_accepted"]) == (made["user_id"], False)
    assert found["invitation_link"].endswith(f"/login/reset/{found['id']}/")
    mailed_links.reset_password(token=found["id"], password="long enough for ada 17")
    assert User.objects.get(email="ada@example.com").check_password("long enough for ada 17")
    with pytest.raises(NotFound):
        mailed_links.reset_password(token=found["id"], password="long enough for ada 18")
    assert found["id"] not in str(list(AuditEvent.objects.values("before", "after")))
    nobody = post("/user/new", user_id="bob", auto_create_key=False)
    assert nobody["user_email"] is None
    assert code(master.post("/invitation/new", json={"user_id": "bob"})) == (400, "no_address")
    assert code(master.post("/invitation/new", json={"user_id": "x"})) == (404, "user_not_found")
    assert client.post("/invitation/new", json={"user_id": made["user_id"]}).status_code == 403


@pytest.mark.parametrize("role", ["admin", "owner"])
def test_no_admin_takes_over_an_owner(server: Server, team: Team, actor: Actor, role: str):
    make = User.objects.create_superuser if role == "owner" else User.objects.create_user
    person = make(f"{role}@example.com", **({} if role == "owner" else {"role": "admin"}))
    _, admin = keys.create_key(actor=actor, team=team, name="a", options={"permissions": {"manage": "all"}})
    with server.client(admin) as other:
        answer = other.post("/invitation/new", json={"user_id": person.user_id})
    assert answer.status_code == (403 if role == "owner" else 200)
    assert people.NO_ADDRESS not in answer.text
