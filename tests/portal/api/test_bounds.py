"""Budgets of tags and models."""

from __future__ import annotations

import httpx

from portal.models import AuditEvent, BudgetWindow, Deployment
from portal.services import catalog, models
from portal.services.audit import Actor
from tests.portal.api.conftest import Post


def test_a_tag_has_a_budget(post: Post, master: httpx.Client):
    made = post("/tag/new", name="nightly", max_budget=5, budget_duration="1d")
    assert (made["max_budget"], made["spend"]) == (5, 0)
    assert post("/tag/update", name="nightly", max_budget=6)["budget_duration"] == "1d"
    assert post("/tag/info", names=["nightly"])["nightly"]["max_budget"] == 6
    assert [each["name"] for each in master.get("/tag/list").json()] == ["nightly"]
    assert "tag:nightly" in catalog.snapshot().windows
    post("/tag/delete", name="nightly")
    assert not BudgetWindow.objects.exists()
    assert "tag:nightly" not in catalog.snapshot().windows
    assert master.post("/tag/new", json={"name": "a,b"}).status_code == 400
    assert AuditEvent.objects.filter(action="budget.set").count() == 2


def test_a_model_has_a_budget_and_limits_that_follow_its_name(
    post: Post, openai_deployment: Deployment, actor: Actor
):
    made = post("/model_group/bound", model_group="gpt", max_budget=5, rpm_limit=10)
    assert (made["max_budget"], made["rpm_limit"]) == (5, 10)
    assert catalog.snapshot().models["gpt"].info["rpm_limit"] == 10
    models.update_model(actor=actor, model=openai_deployment.model, name="renamed")
    assert set(catalog.refresh().windows) == {"model:renamed"}
    assert post("/model_group/bound", model_group="renamed", rpm_limit=None)["rpm_limit"] is None
