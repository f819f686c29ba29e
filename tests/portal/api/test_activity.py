"""/global/activity in LiteLLM's shapes, and test alerts over the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from portal.models import User, VirtualKey
from portal.services import settings, usage_rows
from portal.services.audit import Actor
from portal.services.usage_rows import UsageRow
from tests.receivers import WebServer, running

DAY = datetime(2026, 1, 22, 12, tzinfo=UTC)
SPAN = {"start_date": "2026-01-20", "end_date": "2026-01-25"}


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    with running(server):
        yield server


@pytest.fixture
def used(key: VirtualKey) -> None:
    for number, (day, model, status) in enumerate(
        ((22, "gpt", 200), (22, "gpt", 429), (23, "gpt", 429), (23, "gemini-flash", 200))
    ):
        row = UsageRow(
            call_id=f"c{number}",
            request_id=f"r{number}",
            started_at=DAY.replace(day=day),
            endpoint="chat",
            model=model,
            deployment_id=f"d-{model}",
            status=status,
            team_id=key.team_id,
            key_id=key.pk,
            input_tokens=10,
            output_tokens=1,
        )
        usage_rows.write([row])


def test_calls_and_tokens_by_day_and_model(master: httpx.Client, used: None):
    assert master.get("/global/activity", params=SPAN).json() == {
        "daily_data": [
            {"date": "Jan 22", "api_requests": 2, "total_tokens": 22},
            {"date": "Jan 23", "api_requests": 2, "total_tokens": 22},
        ],
        "sum_api_requests": 4,
        "sum_total_tokens": 44,
    }
    models = master.get("/global/activity/model", params=SPAN).json()
    assert [(each["model"], each["sum_api_requests"]) for each in models] == [("gpt", 3), ("gemini-flash", 1)]


def test_rate_limited_calls_of_a_model(master: httpx.Client, used: None):
    asked = {**SPAN, "model_group": "gpt"}
    expected = {
        "daily_data": [
            {"date": "Jan 22", "num_rate_limit_exceptions": 1},
            {"date": "Jan 23", "num_rate_limit_exceptions": 1},
        ],
        "sum_num_rate_limit_exceptions": 2,
    }
    assert master.get("/global/activity/exceptions", params=asked).json() == expected
    by_deployment = master.get("/global/activity/exceptions/deployment", params=asked).json()
    assert by_deployment == [{"deployment": "d-gpt", **expected}]
    assert master.get("/global/activity/exceptions", params=SPAN).status_code == 400


def test_a_rival_s_key_sees_none_of_it(rival_client: httpx.Client, used: None):
    assert rival_client.get("/global/activity", params=SPAN).json()["sum_api_requests"] == 0
    asked = {**SPAN, "model_group": "gpt"}
    counted = rival_client.get("/global/activity/exceptions", params=asked).json()
    assert counted["sum_num_rate_limit_exceptions"] == 0


def test_a_test_alert_goes_out_for_admins_alone(
    master: httpx.Client, client: httpx.Client, actor: Actor, web: WebServer, owner: User
):
    settings.change(actor=actor, values={"secrets.slack_webhook_url": f"{web.url}/T0SECRET"})
    answer = master.get("/health/services", params={"service": "slack"})
    assert answer.json()["status"] == "success"
    assert len(web.received) == 1
    web.answers = [404]
    answer = master.get("/health/services", params={"service": "slack"})
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "The receiver answered 404."
    assert master.get("/health/services", params={"service": "fax"}).status_code == 400
    assert client.get("/health/services", params={"service": "slack"}).status_code == 403
