"""/spend/*, /global/spend/* and daily activity: the same totals in every view."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from portal.api import keys as key_api
from portal.api import spend_activity, spend_logs, spend_totals
from portal.api import teams as team_api
from portal.api import users as user_api
from portal.api.management import Ask
from portal.models import Deployment, Team, UsageRecord, User, VirtualKey
from portal.services import catalog, keys, models, teams, usage_rows
from portal.services.access import caller_for_user
from portal.services.audit import Actor
from portal.services.usage_rows import UsageRow
from tests.portal.api.conftest import Post

NOW = datetime.now(UTC)


def row(number: int, key: VirtualKey, **facts: Any) -> UsageRow:
    given: dict[str, Any] = {
        "status": 200,
        "model": "gpt",
        "provider": "openai",
        "provider_model": "gpt-4.1-mini",
        "input_tokens": 100,
        "output_tokens": 10,
        "cost": Decimal("0.25"),
        "duration_ms": 40,
        "tags": ["nightly"],
        "started_at": NOW - timedelta(minutes=number),
    }
    return UsageRow(
        call_id=f"call_{key.pk}_{number}",
        request_id=f"req_{key.pk}_{number}",
        endpoint="/v1/chat/completions",
        team_id=key.team_id,
        key_id=key.pk,
        caller_name=key.name,
        **(given | facts),
    )


@pytest.fixture
def used(key: VirtualKey, rival_secret: str) -> None:
    """Blue made three calls, one failed; Red made one."""
    rival = VirtualKey.objects.get(name="red key")
    usage_rows.write(
        [
            row(1, key),
            row(2, key, model="gemini-flash", provider="gemini", provider_model="gemini-2.5-flash", tags=[]),
            row(3, key, status=500, error_code="upstream_error", cost=None, input_tokens=0, output_tokens=0),
            row(1, rival),
        ]
    )


def test_rows_come_back_by_key_in_litellms_fields(
    master: httpx.Client, used: None, secret: str, key: VirtualKey
):
    found = master.get("/spend/logs", params={"api_key": secret}).json()
    assert [each["status"] for each in found] == ["success", "success", "failure"]
    assert found[0] | {"api_key": key.digest, "spend": 0.25, "prompt_tokens": 100} == found[0]
    assert found[0]["total_tokens"] == 110
    assert found[0]["request_tags"] == ["nightly"]
    assert found[2]["error_code"] == "upstream_error"
    assert master.get("/spend/logs", params={"api_key": key.digest}).json() == found
    assert (
        master.get("/spend/logs", params={"request_id": f"req_{key.pk}_2"}).json()[0]["model"]
        == "gemini-flash"
    )
    assert master.get("/spend/logs", params={"api_key": "sk-nobody-knows-this"}).json() == []
    assert master.get("/key/info", params={"key": secret}).json()["info"]["spend"] == 0.5


def test_a_key_sees_its_own_calls_alone(client: httpx.Client, used: None, rival_secret: str, key: VirtualKey):
    assert {each["api_key"] for each in client.get("/spend/logs").json()} == {key.digest}
    assert client.get("/spend/logs", params={"api_key": rival_secret}).json() == []
    assert client.get("/global/spend").json()["spend"] == 0.5
    assert [each["token"] for each in client.get("/spend/keys").json()] == [key.digest]
    assert client.get("/spend/users").status_code == 403
    assert client.get("/spend/tags").status_code == 403


def test_pages_are_filtered_and_counted(master: httpx.Client, used: None):
    page = master.get("/spend/logs/v2", params={"page_size": 3}).json()
    assert (page["total"], page["total_pages"], len(page["data"])) == (4, 2, 3)
    assert master.get("/spend/logs/v2", params={"status_filter": "failure"}).json()["total"] == 1
    assert master.get("/spend/logs/v2", params={"min_spend": "0.3"}).json()["total"] == 0
    assert master.get("/spend/logs/v2", params={"page_size": 1001}).status_code == 400
    today = NOW.date().isoformat()
    assert (
        master.get("/spend/logs", params={"start_date": "2001-01-01", "end_date": "2001-01-02"}).json() == []
    )
    assert (
        master.get("/spend/logs", params={"start_date": "yesterday"}).json()["error"]["code"]
        == "invalid_date"
    )
    by_day = master.get("/spend/logs", params={"summarize": "true", "end_date": today}).json()
    assert sum(day["spend"] for day in by_day) == 0.75


def test_every_view_has_the_same_total(master: httpx.Client, used: None, team: Team):
    total = float(sum(each.cost or 0 for each in UsageRecord.objects.all()))
    assert total == 0.75
    assert master.get("/global/spend").json()["spend"] == total
    for path in ("keys", "teams", "models", "provider"):
        rows = master.get(f"/global/spend/{path}").json()
        assert sum(each["spend"] for each in rows) == total, path
    assert master.get("/spend/tags").json() == [
        {"individual_request_tag": "nightly", "log_count": 3, "total_spend": 0.5}
    ]
    report = master.get("/global/spend/report", params={"group_by": "team"}).json()
    assert sum(each["total_spend"] for each in report) == total
    activity = master.get("/team/daily/activity").json()
    assert activity["metadata"]["total_spend"] == total
    assert activity["metadata"]["total_failed_requests"] == 1
    assert activity["metadata"]["total_tokens"] == 330
    by_model: dict[str, float] = {}
    for day in activity["results"]:
        for name, each in day["breakdown"]["model_groups"].items():
            by_model[name] = by_model.get(name, 0) + each["metrics"]["spend"]
    assert by_model == {"gpt": 0.5, "gemini-flash": 0.25}
    blue = master.get("/team/daily/activity", params={"team_ids": team.team_id}).json()
    assert blue["metadata"]["total_spend"] == 0.5


def test_writing_a_row_twice_counts_it_once(key: VirtualKey, master: httpx.Client):
    usage_rows.write([row(1, key), row(1, key)])
    usage_rows.write([row(1, key)])
    key.refresh_from_db()
    assert key.spend == Decimal("0.25")
    assert master.get("/global/spend").json()["api_requests"] == 1


def test_what_a_call_costs_is_said_before_and_unknown_prices_are_null(
    post: Post, openai_deployment: Deployment, actor: Actor
):
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    models.update_deployment(
        actor=actor, deployment=openai_deployment, input_cost_per_token="0.001", output_cost_per_token="0.01"
    )
    assert post("/spend/calculate", completion_response={"model": "gpt", "usage": usage}) == {"cost": 2.0}
    models.create_deployment(
        actor=actor, model_name="odd", account=openai_deployment.account, provider_model="nobody-knows"
    )
    catalog.refresh()
    assert post("/spend/calculate", model="odd", messages=[{"role": "user", "content": "hi"}]) == {
        "cost": None
    }


def test_days_with_many_keys_name_the_dearest_and_add_up(
    master: httpx.Client, team: Team, actor: Actor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spend_activity, "MOST_SHOWN", 2)
    made = [keys.create_key(actor=actor, team=team, name=f"k{number}")[0] for number in range(4)]
    usage_rows.write([row(1, each, cost=Decimal(number)) for number, each in enumerate(made)])
    for path in ("/team/daily/activity", "/user/daily/activity"):
        answer = master.get(path).json()
        shown: dict[str, float] = {}
        for day in answer["results"]:
            named = day["breakdown"]["api_keys"]
            assert (
                sum(each["metrics"]["api_requests"] for each in named.values())
                == (day["metrics"]["api_requests"])
            )
            for name, each in named.items():
                shown[name] = shown.get(name, 0) + each["metrics"]["spend"]
        assert shown == {made[3].digest: 3, made[2].digest: 2, "others": 1}
        assert answer["metadata"]["total_spend"] == 6


def test_activity_comes_by_pages_of_days_and_tells_of_the_whole_span(
    master: httpx.Client, key: VirtualKey, team: Team
):
    for number in range(5):
        usage_rows.write([row(number, key, started_at=NOW - timedelta(days=number), model=f"m{number}")])
    for path in ("/team/daily/activity", "/user/daily/activity", "/tag/daily/activity"):
        whole = master.get(path).json()
        pages = [master.get(path, params={"page_size": 2, "page": n}).json() for n in (1, 2, 3, 4)]
        assert [day for page in pages for day in page["results"]] == whole["results"]
        assert [len(page["results"]) for page in pages] == [2, 2, 1, 0]
        assert [page["metadata"]["has_more"] for page in pages] == [True, True, False, False]
        assert {page["metadata"]["total_pages"] for page in pages} == {3}
        assert {page["metadata"]["total_spend"] for page in [whole, *pages]} == {1.25}
        assert len(whole["results"]) == 5
    second = master.get("/team/daily/activity", params={"page_size": 2, "page": 2}).json()["results"]
    assert [list(day["breakdown"]["model_groups"]) for day in second] == [["m2"], ["m3"]]
    assert [list(day["breakdown"]["entities"]) for day in second] == [[team.team_id]] * 2


def test_rows_of_a_deployment_are_found(master: httpx.Client, client: httpx.Client, key: VirtualKey):
    usage_rows.write([row(1, key, deployment_id="one"), row(2, key, deployment_id="two")])
    for asks in (master, client):
        found = asks.get("/spend/logs", params={"model_id": "two"}).json()
        assert [each["request_id"] for each in found] == [f"req_{key.pk}_2"]
        assert asks.get("/spend/logs", params={"model_id": "three"}).json() == []


def test_a_long_report_is_read_page_by_page_and_never_cut(
    master: httpx.Client, team: Team, actor: Actor, monkeypatch: pytest.MonkeyPatch
):
    made = [keys.create_key(actor=actor, team=team, name=f"k{number}")[0] for number in range(5)]
    usage_rows.write([row(1, each) for each in made])
    whole = master.get("/global/spend/report", params={"group_by": "api_key"}).json()
    monkeypatch.setattr(spend_totals, "MOST_LINES", 4)
    refused = master.get("/global/spend/report", params={"group_by": "api_key"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "report_too_long")
    words: dict[str, str | int] = {"group_by": "api_key", "page_size": 2}
    pages = [master.get("/global/spend/report", params={**words, "page": n}).json() for n in (1, 2, 3, 4)]
    assert [line for page in pages for line in page] == whole
    assert {line["api_key"] for line in whole} == {each.digest for each in made}


def test_hours_and_days_tell_the_same(master: httpx.Client, used: None):
    """A span that begins in the middle of a day is summed by hours."""
    spans = (
        {"start_date": (NOW - timedelta(days=3)).isoformat()},
        {"start_date": (NOW - timedelta(days=3)).date().isoformat()},
    )
    for path in ("/global/spend", "/global/spend/models", "/global/spend/report", "/team/daily/activity"):
        by_hours, by_days = (master.get(path, params=span).json() for span in spans)
        assert by_hours == by_days


@pytest.mark.parametrize(
    ("function", "query"),
    [
        (spend_logs.logs, ""),
        (spend_logs.log_pages, ""),
        (spend_totals.by_key, ""),
        (spend_activity.team_activity, ""),
        (spend_activity.user_activity, ""),
        (spend_totals.report, "group_by=api_key"),
        (spend_totals.report, "group_by=internal_user&page=1"),
        (spend_totals.by_model, ""),
        (spend_totals.by_tag, ""),
        (spend_totals.total, ""),
        (key_api.aliases, ""),
        (key_api.list_keys, "return_full_object=true"),
        (team_api.list_teams, ""),
        (user_api.list_users, ""),
    ],
)
def test_lists_take_the_same_number_of_queries_however_long_they_are(
    function: Any, query: str, key: VirtualKey, team: Team, owner: User, actor: Actor
):
    catalog.refresh()
    ask = Ask(caller_for_user(owner), actor)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert function(ask, QueryDict(query))
        return len(captured)

    usage_rows.write([row(1, key)])
    before = queries()
    for number in range(5):
        made, _ = keys.create_key(
            actor=actor, team=team, name=f"k{number}", user=owner, figures={"max_budget": 1}
        )
        teams.create_team(actor=actor, name=f"t{number}", figures={"max_budget": 1})
        User.objects.create_user(f"p{number}@example.com")
        usage_rows.write([row(number, made, model=f"m{number}")])
    assert queries() == before
