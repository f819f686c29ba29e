"""The Models page shows which deployments rest, and its form takes their tags."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from portal.gateway import routing
from portal.gateway.routing.policy import Policy
from portal.models import Deployment
from portal.services import catalog
from providers.errors import RateLimited
from tests.portal.dashboard.conftest import text_of


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    routing.clear()
    yield
    routing.clear()


def test_a_resting_deployment_is_marked_with_why_and_until_when(
    owner_browser: Client, openai_deployment: Deployment
):
    assert "Rests until" not in text_of(owner_browser, "/models/")
    routing.note_failure(catalog.plan(openai_deployment), RateLimited("x", retry_after=50), Policy())
    (rest,) = routing.resting().values()
    shown = text_of(owner_browser, "/models/")
    assert f"Rests until {rest.until:%H:%M:%S}" in shown
    assert 'title="rate_limit_exceeded"' in shown


def test_tags_are_typed_with_commas(owner_browser: Client, openai_deployment: Deployment):
    place = f"/models/{openai_deployment.pk}/"
    form = {
        "account": openai_deployment.account_id,
        "provider_model": openai_deployment.provider_model,
        "model_name": openai_deployment.model.name,
        "tags": " paid, eu ,,",
    }
    assert owner_browser.post(place, form).status_code == 303
    openai_deployment.refresh_from_db()
    assert openai_deployment.tags == ["paid", "eu"]
    assert 'value="paid, eu"' in text_of(owner_browser, place)
    assert owner_browser.post(place, form | {"tags": ""}).status_code == 303
    openai_deployment.refresh_from_db()
    assert openai_deployment.tags == []
