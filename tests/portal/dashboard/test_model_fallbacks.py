"""Admins say on the Models page who answers in a model's place; a request's page tells who did."""

from __future__ import annotations

import pytest
from django.test import Client

from portal.models import Deployment, Model, Settings, Team
from portal.services import fallbacks, models
from portal.services.audit import Actor
from tests.portal.dashboard.conftest import call, text_of


@pytest.fixture
def known(openai_deployment: Deployment, gemini_deployment: Deployment) -> Model:
    """The model `gpt`, beside `gemini-flash`."""
    return openai_deployment.model


def test_lists_are_saved_shown_and_taken_away(owner_browser: Client, known: Model):
    place = f"/models/fallbacks/{known.pk}/"
    assert "gemini-flash" in text_of(owner_browser, place)
    form = {"fallbacks": " gemini-flash \n\n", "context_window_fallbacks": "", "content_policy_fallbacks": ""}
    assert owner_browser.post(place, form).status_code == 303
    assert Settings.current().router["fallbacks"] == [{"gpt": ["gemini-flash"]}]
    assert "When it fails, asks <code>gemini-flash</code>" in text_of(owner_browser, "/models/")
    assert "\ngemini-flash</textarea>" in text_of(owner_browser, place)
    owner_browser.post(place, form | {"fallbacks": ""})
    assert "When it fails" not in text_of(owner_browser, "/models/")


def test_what_cannot_work_is_told_beside_its_field(owner_browser: Client, known: Model):
    place = f"/models/fallbacks/{known.pk}/"
    answer = owner_browser.post(place, {"fallbacks": "nobody"})
    assert answer.status_code == 422
    assert "There is no model `nobody`." in answer.content.decode()
    part = owner_browser.post(place, {"fallbacks": "gpt"}, headers={"HX-Request": "true"})
    assert "cannot stand in for itself" in part.content.decode()


def test_only_admins_change_them_and_nobody_reads_names_of_models_he_may_not_see(
    member_browser: Client, owner_browser: Client, known: Model, team: Team, actor: Actor
):
    assert member_browser.get(f"/models/fallbacks/{known.pk}/").status_code == 403
    assert member_browser.post(f"/models/fallbacks/{known.pk}/", {}).status_code == 403
    fallbacks.set_fallbacks(actor=actor, model=known, lists={"fallbacks": ["gemini-flash"]})
    Team.objects.filter(pk=team.pk).update(allowed_models=["gpt"])
    assert "gemini-flash" not in text_of(member_browser, "/models/")
    assert "gemini-flash" in text_of(owner_browser, "/models/")


def test_a_model_keeps_answers_as_its_form_says(owner_browser: Client, openai_deployment: Deployment):
    models.update_deployment(
        actor=Actor.system("t"), deployment=openai_deployment, info={"base_model": "gpt-4.1"}
    )
    place = f"/models/{openai_deployment.pk}/"
    form = {"account": openai_deployment.account_id, "provider_model": "gpt-4.1-mini", "model_name": "gpt"}
    for choice, told in (("yes", True), ("no", False)):
        assert owner_browser.post(place, form | {"cache": choice}).status_code == 303
        openai_deployment.refresh_from_db()
        assert openai_deployment.info == {"base_model": "gpt-4.1", "cache": told}
        assert f'<option value="{choice}" selected>' in text_of(owner_browser, place)
    owner_browser.post(place, form)
    openai_deployment.refresh_from_db()
    assert openai_deployment.info == {"base_model": "gpt-4.1"}


def test_a_request_tells_which_attempts_were_of_other_models(member_browser: Client, team: Team):
    tried = {"deployment": "d", "provider": "openai", "status": 503, "code": "upstream_unavailable", "ms": 5}
    attempts = [{**tried, "model": "gpt"}, {**tried, "model": "flash", "status": 200, "fallback": 1}]
    shown = text_of(member_browser, f"/requests/{call(team, attempts=attempts)}/")
    assert shown.count("fallback flash") == 1
    assert "fallback gpt" not in shown
    old = [{name: value for name, value in tried.items() if name != "model"}]
    assert "fallback" not in text_of(member_browser, f"/requests/{call(team, 2, attempts=old)}/")


def test_a_request_tells_that_its_answer_was_kept(member_browser: Client, team: Team):
    request_id = call(team, cache_hit=True)
    assert "Answered from what an equal request" in text_of(member_browser, f"/requests/{request_id}/")
    assert "from cache" in text_of(member_browser, "/requests/")
