"""What the scheduler asks the workers for exists, does its part, and keeps to what the settings say."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from portal import tasks
from portal.celery import app
from portal.models import Alert, BudgetWindow, Settings, UsageHour, UsageRecord, VirtualKey
from portal.services import alerts, keys, ledger_retention, messages, settings
from portal.services.audit import Actor
from portal.services.environment import seal_environment
from portal.services.usage_rows import UsageRow, write


@pytest.fixture
def used(key: VirtualKey) -> None:
    now = timezone.now()
    write(
        [
            UsageRow(
                call_id=f"c{days}",
                request_id=f"r{days}",
                started_at=now - timedelta(days=days),
                endpoint="chat",
                model="gpt",
                status=200,
                key_id=key.pk,
                team_id=key.team_id,
            )
            for days in (0, 29, 31, 400)
        ]
    )


def test_every_scheduled_task_exists():
    app.loader.import_default_modules()
    wanted = {entry["task"] for entry in django_settings.CELERY_BEAT_SCHEDULE.values()}
    assert wanted <= set(app.tasks)


def test_a_look_around_tells_and_sends(key: VirtualKey, actor: Actor):
    keys.update_key(actor=actor, key=key, figures={"max_budget": 1})
    BudgetWindow.objects.update(spent=1)
    tasks.look_around()
    tasks.send_messages()
    assert Alert.objects.get().event == "budget_crossed"


def test_workers_read_the_environment_of_the_config_file(db: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SMTP_HOST", raising=False)
    row = Settings.current()
    row.sealed_environment = seal_environment({"SMTP_HOST": "mail.example"})
    row.save()
    tasks.send_messages()
    assert settings.read()["general_settings.smtp_host"] == "mail.example"
    row.sealed_environment = ""
    row.save()
    tasks.send_messages()
    assert settings.read()["general_settings.smtp_host"] == ""


def test_old_calls_go_and_their_sums_stay(used: None, actor: Actor, monkeypatch: pytest.MonkeyPatch):
    assert ledger_retention.clear(timezone.now()) == 0
    name = "general_settings.maximum_spend_logs_retention_period"
    settings.change(actor=actor, values={name: "30d"})
    monkeypatch.setattr(ledger_retention, "BATCH", 1)
    tasks.clear_away()
    assert set(UsageRecord.objects.values_list("call_id", flat=True)) == {"c0", "c29"}
    assert sum(UsageHour.objects.values_list("calls", flat=True)) == 4


def test_what_nobody_foresaw_in_one_part_keeps_no_other_from_its_turn(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    def break_down(now: object) -> None:
        raise RuntimeError("unforeseen")

    sent: list[float] = []
    monkeypatch.setattr(alerts, "look", break_down)
    monkeypatch.setattr(messages, "send_due", sent.append)
    tasks.look_around()
    assert sent[0] > time.monotonic()
    assert "break_down" in caplog.text
