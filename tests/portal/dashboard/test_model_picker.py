"""The choice of models in the forms of keys and teams: groups, wildcards, patterns, the chosen first."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from portal.models import Deployment, ProviderAccount, Settings, Team, VirtualKey
from portal.services import catalog, keys, models, teams
from portal.services.access import caller_for_token
from portal.services.audit import Actor
from tests import large
from tests.portal.dashboard.conftest import text_of

BOX = re.compile(r'type="checkbox" name="allowed_models" value="([^"]*)"( checked)?')
TYPED = re.compile(r'<textarea name="allowed_models"[^>]*>([^<]*)</textarea>')


@pytest.fixture(autouse=True)
def _models(
    openai_deployment: Deployment,
    gemini_deployment: Deployment,
    openai_account: ProviderAccount,
    actor: Actor,
) -> None:
    for name, mode, served in (("words", "embedding", "embed-1"), ("any/*", "chat", "*")):
        models.create_deployment(
            actor=actor,
            model_name=name,
            account=openai_account,
            provider_model=served,
            mode=mode,
            info={"access_groups": ["cheap"]} if mode == "embedding" else {},
        )
    catalog.refresh()


def boxes(text: str) -> list[tuple[str, bool]]:
    return [(name, bool(checked)) for name, checked in BOX.findall(text)]


def typed(text: str) -> list[str]:
    found = TYPED.search(text)
    assert found
    return found.group(1).split()


def test_groups_models_of_every_mode_and_wildcards_are_offered(owner_browser: Client):
    shown = text_of(owner_browser, "/keys/new/")
    assert boxes(shown) == [
        ("cheap", False), ("any/*", False), ("gemini-flash", False), ("gpt", False), ("words", False)
    ]  # fmt: skip
    assert "Group of 1 model<" in shown
    assert "OpenAI · embedding" in shown
    assert "0 of 5 chosen" in shown


def test_what_a_key_has_comes_first_and_what_has_no_box_is_typed(
    owner_browser: Client, key: VirtualKey, actor: Actor
):
    keys.update_key(actor=actor, key=key, allowed_models=["gem*", "words", "gone", "cheap"])
    shown = text_of(owner_browser, f"/keys/{key.pk}/")
    assert boxes(shown)[:3] == [("words", True), ("cheap", True), ("any/*", False)]
    assert typed(shown) == ["gem*", "gone"]
    assert "2 of 5 chosen" in shown
    form = {"name": key.name, "days": "", "allowed_models": ["words", "cheap", "gem*\r\n gone \r\n\r\n"]}
    assert owner_browser.post(f"/keys/{key.pk}/", form).status_code == 303
    key.refresh_from_db()
    assert key.allowed_models == ["words", "cheap", "gem*", "gone"]


def test_a_key_of_patterns_and_groups_opens_what_they_cover(owner_browser: Client, team: Team, actor: Actor):
    answer = owner_browser.post(
        "/keys/new/", {"name": "program", "team": team.pk, "allowed_models": ["cheap", "gemini-*"]}
    )
    secret = re.search(r'id="secret">([^<]+)<', answer.content.decode())
    assert secret
    catalog.refresh()
    caller = caller_for_token(secret.group(1))
    assert [caller.may_use(name) for name in ("words", "gemini-flash", "gpt")] == [True, True, False]


def test_nobody_is_offered_what_their_team_may_not_use(member_browser: Client, team: Team, actor: Actor):
    teams.update_team(actor=actor, team=team, allowed_models=["gpt"])
    catalog.refresh()
    assert boxes(text_of(member_browser, "/keys/new/")) == [("gpt", False)]


@pytest.mark.parametrize("wrong", ["x" * 201, "\n".join(f"m{number}" for number in range(1001)), "a\0b"])
def test_names_that_cannot_be_are_refused_at_the_field(wrong: str, owner_browser: Client, team: Team):
    for place, form in (("/keys/new/", {"name": "p", "team": team.pk}), ("/teams/new/", {"name": "Violet"})):
        answer = owner_browser.post(place, {**form, "allowed_models": wrong}, headers={"HX-Request": "true"})
        assert answer.status_code == 422
        assert "allowed_models_error" in answer.content.decode()
    assert not VirtualKey.objects.exists()


def test_what_was_typed_stands_there_after_a_mistake(owner_browser: Client):
    answer = owner_browser.post("/teams/new/", {"name": "", "allowed_models": ["gpt", "x-*\ny"]})
    assert answer.status_code == 422
    shown = answer.content.decode()
    assert boxes(shown)[0] == ("gpt", True)
    assert typed(shown) == ["x-*", "y"]


@pytest.mark.parametrize(("word", "kept"), [("yes", True), ("no", False), ("", None)])
def test_a_team_says_whether_its_calls_are_kept(
    word: str, kept: bool | None, owner_browser: Client, member_browser: Client, team: Team, actor: Actor
):
    teams.update_team(actor=actor, team=team, options={"store_bodies": not kept, "rpm_limit": 7})
    form = {"name": team.name, "rpm_limit": "7", "store_bodies": word}
    assert owner_browser.post(f"/teams/{team.team_id}/", form).status_code == 303
    team.refresh_from_db()
    assert team.options.get("store_bodies") is kept
    assert team.options["rpm_limit"] == 7
    catalog.refresh()
    chosen = re.search(
        r'<option value="(\w*)" selected>(As the instance|Keep it|Never keep)',
        text_of(owner_browser, f"/teams/{team.team_id}/"),
    )
    assert chosen
    assert chosen.group(1) == word
    told = text_of(member_browser, f"/teams/{team.team_id}/")
    assert f"Requests and answers are {'kept' if kept else 'not kept'}" in told


def test_a_team_that_says_nothing_does_as_the_instance(
    owner_browser: Client, member_browser: Client, team: Team
):
    Settings.current()
    Settings.objects.update(general={"store_bodies": True})
    catalog.forget()
    assert "As the instance does: kept" in text_of(owner_browser, "/teams/new/")
    assert "Requests and answers are kept" in text_of(member_browser, f"/teams/{team.team_id}/")


def test_the_playground_brings_its_models_along_once(owner_browser: Client):
    large.fill(files=10, keys=10, calls=10)
    catalog.refresh()
    shown = text_of(owner_browser, "/playground/?second=gpt")
    assert shown.count('<option value="model 00042"') == 1
    assert shown.count('<option value="gpt"') == 2
    assert "data-narrow" in shown
