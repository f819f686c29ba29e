"""The playground and what requests keep: who sees it, what is filled in, what is said before sending."""

from __future__ import annotations

import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from files.models import ManagedFile, ProviderFileMapping
from portal.dashboard import playground
from portal.gateway.routing import cooldowns
from portal.models import CallContent, Deployment, Membership, Team, UsageRecord, User, VirtualKey
from portal.services import catalog, contents, keys, teams, trials
from portal.services.access import caller_for_user
from portal.services.audit import Actor
from portal.services.charging import chargeable, charging
from portal.services.contents import Content, Shelf
from providers.errors import Forbidden, UpstreamUnavailable
from tests.portal.dashboard.conftest import call, make_file, signed_in, text_of

STATES = ProviderFileMapping.State
SECRET = "the plan <b>for Ulm</b>"
ASKED: dict[str, Any] = {
    "model": "gpt",
    "temperature": 0.5,
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": SECRET}],
}
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": "Understood.", "reasoning_content": "hm"}}]
}


@pytest.fixture(autouse=True)
def _offers(openai_deployment: Deployment, gemini_deployment: Deployment) -> None:
    catalog.refresh()
    cooldowns.clear()


def kept_call(team: Team, number: int = 1, **fields: Any) -> str:
    """A call whose content is kept; gives its request id."""
    request_id = call(team, number, **fields)
    row = UsageRecord.objects.get(request_id=request_id)
    content = Content(
        call_id=row.call_id,
        team_id=team.pk,
        started_at=row.started_at,
        headers={"user-agent": "tests"},
        request=ASKED,
        answer=ANSWER,
    )
    contents._write(contents._pack_all([content]))
    return request_id


def team_admin(team: Team, actor: Actor) -> Client:
    person = User.objects.create_user("chief@example.com", "correct horse battery")
    teams.set_member(actor=actor, team=team, user=person, role=Membership.Role.ADMIN)
    return signed_in(person)


def problems(browser: Client, *models: str, files: tuple[ManagedFile, ...] = ()) -> list[dict[str, Any]]:
    asked = {"model": list(models), "file": [file.pk for file in files]}
    found: list[dict[str, Any]] = browser.get("/playground/check/", asked).json()["problems"]
    return found


def test_what_was_said_is_shown_to_those_who_may_read_it(
    owner_browser: Client, member_browser: Client, member: User, team: Team, actor: Actor
):
    own = kept_call(team, 1, user_id=member.pk)
    others = kept_call(team, 2)
    for browser in (owner_browser, team_admin(team, actor)):
        for request_id in (own, others):
            shown = text_of(browser, f"/requests/{request_id}/")
            assert escape(SECRET) in shown
            assert "Understood." in shown
            assert "user-agent" in shown
    assert escape(SECRET) in text_of(member_browser, f"/requests/{own}/")
    assert escape(SECRET) not in text_of(member_browser, f"/requests/{others}/")


@pytest.mark.parametrize("role", ["auditor", "viewer"])
def test_who_only_watches_reads_no_prompts(role: str, team: Team, actor: Actor):
    person = User.objects.create_user("watch@example.com", "x", role=role if role == "auditor" else "")
    if role == "viewer":
        teams.set_member(actor=actor, team=team, user=person, role=Membership.Role.VIEWER)
    shown = text_of(signed_in(person), f"/requests/{kept_call(team)}/")
    assert "the plan" not in shown
    assert "Only the caller" in shown


def test_a_rival_reaches_no_content(rival_browser: Client, team: Team, rival: Team):
    foreign = kept_call(team)
    assert rival_browser.get(f"/requests/{foreign}/").status_code == 404
    shown = text_of(rival_browser, f"/playground/?replay={foreign}")
    assert "the plan" not in shown
    assert "There is no such request." in shown
    assert rival_browser.get(f"/playground/calls/{foreign}/").json() == {"is_known": False}


def test_without_content_the_page_names_the_setting(
    owner_browser: Client, member_browser: Client, member: User, team: Team
):
    request_id = call(team, user_id=member.pk)
    for browser in (owner_browser, member_browser):
        assert "store_bodies" in text_of(browser, f"/requests/{request_id}/")
    assert 'href="/settings/">Settings</a>; it counts' in text_of(owner_browser, f"/requests/{request_id}/")


def test_a_replay_fills_in_what_was_sent_and_keeps_it_out_of_the_address(owner_browser: Client, team: Team):
    request_id = kept_call(team)
    page = text_of(owner_browser, f"/requests/{request_id}/")
    assert f'href="/playground/?replay={request_id}"' in page
    response = owner_browser.get(f"/playground/?replay={request_id}")
    shown = response.content.decode()
    assert "data-seed=" in shown
    assert "Be brief." in shown
    assert '<option value="gpt" selected>' in shown
    assert response["Cache-Control"] == "no-store"


def test_a_replay_without_content_fills_in_model_and_files(
    member_browser: Client, team: Team, file: ManagedFile
):
    request_id = call(team, files=[{"file_id": file.pk}])
    shown = text_of(member_browser, f"/playground/?replay={request_id}")
    assert "data-seed=" not in shown
    assert playground.NOT_KEPT in shown
    assert f'value="{file.pk}" data-name="blue secrets.pdf" checked' in shown


def test_a_content_whose_key_is_lost_breaks_no_page(owner_browser: Client, team: Team):
    request_id = kept_call(team)
    CallContent.objects.update(sealed_content="v1:gone:AAAA")
    assert "PORTICO_ENCRYPTION_KEYS" in text_of(owner_browser, f"/requests/{request_id}/")
    assert playground.NOT_KEPT in text_of(owner_browser, f"/playground/?replay={request_id}")


def test_shared_addresses_fill_in_settings_and_nothing_odd(member_browser: Client):
    shown = text_of(
        member_browser,
        '/playground/?model=gpt&second=gemini-flash&temperature=0.7&top_p=9&max_tokens="><script>'
        "&stop=END&format=json_object",
    )
    assert 'step="any" placeholder="Default" value="0.7"' in shown
    assert 'name="top_p" type="number" min="0" max="1" step="any" placeholder="Default" value=""' in shown
    assert '"><script>' not in shown
    assert '<option value="gemini-flash" selected>' in shown
    assert '<option value="json_object" selected>' in shown
    assert ">END</textarea>" in shown


def test_files_are_found_by_name_and_ticked_ones_stay(member_browser: Client, team: Team, rival: Team):
    report, minutes = make_file(team, "report.pdf"), make_file(team, "minutes.pdf")
    make_file(rival, "minutes of Red.pdf")
    shown = text_of(member_browser, f"/playground/files/?q=minu&file={report.pk}")
    assert f'value="{report.pk}" data-name="report.pdf" checked' in shown
    assert minutes.pk in shown
    assert "Red" not in shown
    assert "No file matches" in text_of(member_browser, "/playground/files/?q=nothing%00")


@pytest.mark.parametrize(
    ("state", "waits", "words"),
    [
        (STATES.PROCESSING, True, "is not ready for gemini-flash"),
        (STATES.FAILED, False, "could not be copied for gemini-flash: too odd"),
        (STATES.ACTIVE, None, ""),
    ],
)
def test_a_file_that_is_not_ready_is_told_before_sending(
    state: str,
    waits: bool | None,
    words: str,
    member_browser: Client,
    team: Team,
    gemini_deployment: Deployment,
):
    film = make_file(team, "film.mp4", media_type="video/mp4", size=500_000_000)
    ProviderFileMapping.objects.create(
        file=film, account=gemini_deployment.account, state=state, error="too odd"
    )
    found = problems(member_browser, "gemini-flash", files=(film,))
    assert [problem["waits"] for problem in found] == ([] if waits is None else [waits])
    assert all(words in problem["text"] for problem in found)


def test_a_file_without_a_copy_is_no_problem_and_a_type_nobody_reads_is(member_browser: Client, team: Team):
    assert problems(member_browser, "gemini-flash", files=(make_file(team, "new.pdf"),)) == []
    film = make_file(team, "film.mp4", media_type="video/mp4", size=500_000_000)
    (problem,) = problems(member_browser, "gpt", files=(film,))
    assert "does not read files of the type video/mp4" in problem["text"]


def test_files_of_rivals_are_as_missing_as_deleted_ones(rival_browser: Client, file: ManagedFile):
    (problem,) = problems(rival_browser, "gpt", files=(file,))
    assert "blue" not in problem["text"]


def test_a_model_that_fails_is_told_before_sending(member_browser: Client, openai_deployment: Deployment):
    assert problems(member_browser, "gpt") == []
    trials.record_trial(target=openai_deployment, ok=False, at=timezone.now(), error="bad key")
    assert "bad key" in problems(member_browser, "gpt")[0]["text"]
    trials.record_trial(target=openai_deployment, ok=True, at=timezone.now())
    for _ in range(5):
        cooldowns.failed(openai_deployment.deployment_id, UpstreamUnavailable("x"), time.monotonic(), 3, 30.0)
    (problem,) = problems(member_browser, "gpt", "gemini-flash")
    assert problem["waits"]
    assert "does not exist" in problems(member_browser, "nothing")[0]["text"]


def test_the_cost_of_a_call_is_told_once_the_ledger_knows_it(member_browser: Client, team: Team):
    assert member_browser.get("/playground/calls/req_none/").json() == {"is_known": False}
    assert member_browser.get(f"/playground/calls/{call(team)}/").json() == {"is_known": True, "cost": 0.25}


def test_calls_are_charged_to_keys_that_the_person_may_charge(
    team: Team, rival: Team, member: User, owner: User, key: VirtualKey, actor: Actor
):
    own = keys.create_key(
        actor=actor, team=team, name="own", user=member, allowed_models=["gpt"], options={"rpm_limit": 3}
    )[0]
    foreign = keys.create_key(actor=actor, team=rival, name="red", user=member)[0]
    catalog.refresh()
    person, boss = caller_for_user(member), caller_for_user(owner, team.pk)
    assert chargeable(person) == [own]
    assert chargeable(boss) == [key, own]
    charged = charging(person, str(own.pk))
    assert (charged.key_id, charged.user_id, charged.key_options.limits.requests) == (own.pk, member.pk, 3)
    assert (charged.may_use("gpt"), charged.may_use("gemini-flash")) == (True, False)
    assert charged.role == person.role
    for number in (key.pk, foreign.pk, "x", 2**70):
        with pytest.raises(Forbidden):
            charging(person, str(number))
    keys.update_key(actor=actor, key=own, expires_at=None)
    own.is_blocked = True
    own.save()
    assert chargeable(person) == []
    with pytest.raises(Forbidden):
        charging(person, str(own.pk))


@pytest.mark.django_db(transaction=True)
def test_kept_contents_go_through_the_writer(owner_browser: Client, team: Team):
    shelf = Shelf()
    row = UsageRecord.objects.get(request_id=call(team))
    shelf.record(
        Content(
            call_id=row.call_id,
            team_id=team.pk,
            started_at=row.started_at,
            headers={},
            request={"contents": [{"role": "user", "parts": [{"text": "hello"}, {"inlineData": {}}]}]},
            answer={"choices": [{"content": {"parts": [{"text": "hm", "thought": True}, {"text": "hi"}]}}]},
        )
    )
    assert async_to_sync(shelf.flush)()
    shown = text_of(owner_browser, f"/requests/{row.request_id}/")
    for words in ("hello", "inlineData", "hm", "hi"):
        assert words in shown
