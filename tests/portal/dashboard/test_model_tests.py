"""The test of all models: told before it costs, done by workers, watched, stopped, never repeated unasked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from portal import tasks
from portal.models import AuditEvent, Deployment, ProviderAccount, Team, User
from portal.services import accounts, models, trials
from portal.services.audit import Actor
from tests.fakes.server import FakeServers
from tests.portal.dashboard.conftest import signed_in, text_of

PART = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def nudged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What workers were woken for."""
    found: list[str] = []
    monkeypatch.setattr("files.nudges.send", found.append)
    return found


@pytest.fixture(scope="module")
def fakes() -> Iterator[FakeServers]:
    with FakeServers() as servers:
        yield servers


def last_test(row: Deployment) -> dict[str, Any]:
    row.refresh_from_db()
    return dict(row.last_test)


def test_the_page_says_how_many_calls_before_any_is_made(
    owner_browser: Client,
    gemini_deployment: Deployment,
    openai_deployment: Deployment,
    gemini_account: ProviderAccount,
    actor: Actor,
    nudged: list[str],
):
    for name, mode, provider_model in (("e", "embedding", "embed-1"), ("g/*", "chat", "*")):
        models.create_deployment(
            actor=actor, model_name=name, account=gemini_account, provider_model=provider_model, mode=mode
        )
    trials.record_trial(target=openai_deployment, ok=True, at=timezone.now())
    shown = text_of(owner_browser, "/models/test-all/")
    assert "2 deployments, 6 calls" in shown
    assert "1 deployment, 3 calls" in shown
    assert "Left out: 2" in shown
    assert "1 deployment, 3 calls" in text_of(owner_browser, "/models/test-all/?q=gem", **PART)
    assert nudged == []
    assert last_test(gemini_deployment) == {}


def test_what_is_asked_for_waits_and_is_not_green_any_more(
    owner_browser: Client, gemini_deployment: Deployment, openai_deployment: Deployment, nudged: list[str]
):
    trials.record_trial(target=openai_deployment, ok=True, at=timezone.now())
    assert owner_browser.post("/models/test-all/", {"which": "all"}).status_code == 303
    assert nudged == [trials.TASK]
    event = AuditEvent.objects.get(action="models.test_asked")
    assert event.after == {"deployments": 2, "calls": 6}
    shown = text_of(owner_browser, "/models/")
    assert shown.count("Test waits") == 2
    assert "chip ok" not in shown
    assert "0 of 2" in shown
    # A second press asks for nothing that is under way already.
    owner_browser.post("/models/test-all/", {"which": "all"})
    assert AuditEvent.objects.filter(action="models.test_asked").count() == 1


def test_only_what_did_not_pass_can_be_asked_for(
    owner_browser: Client, gemini_deployment: Deployment, openai_deployment: Deployment
):
    trials.record_trial(target=openai_deployment, ok=True, at=timezone.now())
    owner_browser.post("/models/test-all/", {"which": "doubtful"})
    assert last_test(gemini_deployment)["state"] == "waiting"
    assert "state" not in last_test(openai_deployment)


def test_stopping_takes_back_what_waits_and_what_was_known_stands_again(
    owner_browser: Client, gemini_deployment: Deployment, openai_deployment: Deployment
):
    trials.record_trial(target=openai_deployment, ok=True, at=timezone.now(), ms=7)
    before = last_test(openai_deployment)
    owner_browser.post("/models/test-all/", {"which": "all"})
    taken = trials.claim()
    assert taken is not None
    owner_browser.post("/models/test-all/stop/")
    states = {row.pk: last_test(row).get("state") for row in (gemini_deployment, openai_deployment)}
    assert states.pop(taken.pk) == "running"
    assert list(states.values()) == [None]
    if taken != openai_deployment:
        assert last_test(openai_deployment) == before
    assert AuditEvent.objects.get(action="models.test_stopped").after == {"deployments": 1}


def test_nobody_else_takes_what_is_taken_and_only_so_many_run_at_once(
    owner_browser: Client, openai_account: ProviderAccount, actor: Actor
):
    for number in range(trials.AT_ONCE + 2):
        models.create_deployment(
            actor=actor, model_name=f"m{number}", account=openai_account, provider_model="p"
        )
    owner_browser.post("/models/test-all/", {"which": "all"})
    taken = [trials.claim() for _ in range(trials.AT_ONCE + 2)]
    assert len({row.pk for row in taken if row}) == trials.AT_ONCE
    assert taken[trials.AT_ONCE :] == [None, None]


def test_old_wishes_are_dropped_and_a_dead_workers_test_is_not_repeated(
    owner_browser: Client, gemini_deployment: Deployment, openai_deployment: Deployment
):
    owner_browser.post("/models/test-all/", {"which": "all"})
    taken = trials.claim()
    assert taken is not None
    long_ago = (timezone.now() - timedelta(hours=1)).isoformat()
    for row in Deployment.objects.all():
        Deployment.objects.filter(pk=row.pk).update(
            last_test=row.last_test | {"asked_at": long_ago, "taken_at": long_ago}
        )
    assert trials.claim() is None
    other = openai_deployment if taken == gemini_deployment else gemini_deployment
    assert "state" not in last_test(other)
    assert last_test(taken)["error"] == trials.CUT_SHORT
    assert not last_test(taken)["ok"]
    assert not trials.are_waiting()


@pytest.mark.django_db(transaction=True)
def test_workers_test_what_waits_by_the_path_of_a_single_test(
    owner_browser: Client, actor: Actor, fakes: FakeServers, nudged: list[str]
):
    fakes.reset()
    good, wrong, unset = (
        accounts.create_account(
            actor=actor, name=name, provider=provider, api_base=base, secrets={"api_key": key}
        )
        for name, provider, base, key in (
            ("Blue", "gemini", fakes.gemini_url, "AIza-blue-0123456789abcdef"),
            ("Red", "openai", fakes.openai_url, "wrong-key-0123456789"),
            ("Grey", "openai", "", "os.environ/NO_SUCH_VARIABLE_HERE"),
        )
    )
    rows = [
        models.create_deployment(actor=actor, model_name=name, account=account, provider_model=served)
        for name, account, served in (
            ("a", good, "gemini-3.5-flash"),
            ("b", wrong, "gpt-5.4"),
            ("c", unset, "gpt-5.4"),
        )
    ]
    owner_browser.post("/models/test-all/", {"which": "all"})
    under_way = trials.latest_round()
    assert under_way is not None
    tasks.test_models()
    tests = [last_test(row) for row in rows]
    assert [test["ok"] for test in tests] == [True, False, False]
    assert tests[0]["error"] == ""
    assert tests[0]["ms"] > 0
    assert "wrong-key" not in tests[1]["error"]
    assert "NO_SUCH_VARIABLE_HERE" in tests[2]["error"]
    assert trials.latest_round() is None
    ids = "&".join(f"id={row.pk}" for row in rows)
    part = text_of(
        owner_browser, f"/models/test-all/watch/?round={under_way.id.replace('+', '%2B')}&{ids}", **PART
    )
    assert "3 of 3, 1 works, 2 failed" in part
    assert part.count('hx-swap-oob="true"') == 3
    assert part.count("chip ok") == 1
    assert "hx-get" not in part
    asked = len(fakes.gemini.requests())
    tasks.look_around()
    tasks.test_models()
    assert [last_test(row) for row in rows] == tests
    assert len(fakes.gemini.requests()) == asked
    assert nudged == [trials.TASK]


@pytest.mark.parametrize("who", ["member", "auditor"])
def test_only_those_who_may_change_models_ask_watch_and_stop(
    who: str, member: User, team: Team, gemini_deployment: Deployment
):
    person = member if who == "member" else User.objects.create_user("a@example.com", "x", role="auditor")
    browser = signed_in(person)
    for answer in (
        browser.get("/models/test-all/"),
        browser.post("/models/test-all/", {"which": "all"}),
        browser.get("/models/test-all/watch/"),
        browser.post("/models/test-all/stop/"),
    ):
        assert answer.status_code == 403
    assert "Test all" not in text_of(browser, "/models/")
    assert last_test(gemini_deployment) == {}


def test_odd_questions_of_the_watch_are_answered_with_nothing(
    owner_browser: Client, gemini_deployment: Deployment
):
    for query in ("", "?round=x%00y&id=z&turn=q", f"?id={'9' * 40}&turn={'9' * 40}", f"?round={'1' * 900}"):
        assert "progress" not in text_of(owner_browser, f"/models/test-all/watch/{query}", **PART)
