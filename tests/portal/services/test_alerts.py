"""Alerts: found, told once by every channel, told over once, and nothing secret in them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import serializers
from django.utils import timezone
from openai import InvalidWebhookSignatureError, OpenAI

from files.models import FileRules, ManagedFile, ProviderFileMapping
from portal.models import Alert, BudgetWindow, Deployment, Message, Settings, Team, User, VirtualKey
from portal.services import alerts, budgets, keys, messages, settings
from portal.services.alerts import conditions
from portal.services.audit import Actor
from portal.services.mail import Undelivered
from portal.services.usage_rows import UsageRow, write
from tests.receivers import MailServer, WebServer, running

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    with running(server):
        yield server


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    with running(server):
        yield server


@pytest.fixture
def all_channels(db: None, actor: Actor, owner: User, mail: MailServer, web: WebServer) -> None:
    settings.change(
        actor=actor,
        values={
            "general_settings.alerting": ["email", "slack", "webhook"],
            "general_settings.smtp_host": "127.0.0.1",
            "general_settings.smtp_port": mail.port,
            "general_settings.smtp_tls": False,
            "general_settings.smtp_username": "robot",
            "secrets.smtp_password": "mail-password-0123",
            "general_settings.smtp_sender_email": "portico@example.com",
            "secrets.slack_webhook_url": f"{web.url}/slack/T0SECRET",
            "secrets.webhook_url": f"{web.url}/hook?code=HOOKSECRET",
            "secrets.webhook_secret": SECRET,
        },
    )


def spend(key: VirtualKey, dollars: str) -> None:
    BudgetWindow.objects.filter(subject=budgets.key_subject(key.pk)).update(spent=Decimal(dollars))


def calls(model: str, statuses: list[int], **fields: Any) -> None:
    started = timezone.now() - timedelta(seconds=30)
    write(
        [
            UsageRow(
                call_id=f"{model}-{number}-{time.monotonic_ns()}",
                request_id=f"r{number}",
                started_at=started,
                endpoint="chat",
                model=model,
                status=status,
                **fields,
            )
            for number, status in enumerate(statuses)
        ]
    )


def look(now: datetime | None = None) -> None:
    alerts.look(now or timezone.now())


def send() -> int:
    return messages.send_due(time.monotonic() + 20)


def titles() -> list[str]:
    return list(Alert.objects.filter(resolved_at=None).order_by("pk").values_list("title", flat=True))


@pytest.fixture
def budgeted(key: VirtualKey, actor: Actor) -> VirtualKey:
    return keys.update_key(
        actor=actor,
        key=key,
        figures={"max_budget": 10, "soft_budget": 5, "budget_duration": "30d"},
    )


def test_a_budget_is_told_at_its_soft_limit_when_nearly_and_when_wholly_used(
    budgeted: VirtualKey, all_channels: None, mail: MailServer, web: WebServer
):
    spend(budgeted, "4.99")
    look()
    assert titles() == []
    spend(budgeted, "5")
    look()
    look()
    assert titles() == ["The budget of the key blue key has reached its soft limit"]
    spend(budgeted, "8.5")
    look()
    assert titles()[1:] == ["The budget of the key blue key is nearly used up"]
    spend(budgeted, "10")
    look()
    assert titles()[1:] == ["The budget of the key blue key is used up"]
    assert send() == 9
    assert [one.message["subject"] for one in mail.received] == [
        "[Portico] The budget of the key blue key has reached its soft limit",
        "[Portico] The budget of the key blue key is nearly used up",
        "[Portico] The budget of the key blue key is used up",
    ]
    assert mail.received[0].recipients == ["owner@example.com"]
    told = [json.loads(post.body) for post in web.received if post.path.startswith("/hook")]
    assert [each["event"] for each in told] == ["soft_budget_crossed", "threshold_crossed", "budget_crossed"]
    assert told[2] | {"event_message": "", "opened_at": "", "alert_id": 0} == {
        "spend": 10.0,
        "max_budget": 10.0,
        "soft_budget": 5.0,
        "token": budgeted.digest,
        "customer_id": None,
        "user_id": None,
        "team_id": budgeted.team.team_id,
        "team_alias": "Blue",
        "user_email": None,
        "key_alias": "blue key",
        "projected_exceeded_date": None,
        "projected_spend": None,
        "event": "budget_crossed",
        "event_group": "key",
        "event_message": "",
        "alert_type": "budget_alerts",
        "resolves": None,
        "alert_id": 0,
        "opened_at": "",
        "resolved_at": None,
        "url": None,
    }


def test_a_window_that_starts_anew_ends_the_alert_and_may_be_told_again(
    budgeted: VirtualKey, all_channels: None
):
    now = timezone.now()
    spend(budgeted, "10")
    look(now)
    assert len(titles()) == 2
    row = BudgetWindow.objects.get()
    row.spent, row.resets_at = Decimal(0), now + timedelta(days=40)
    row.save()
    look(now + timedelta(seconds=30))
    assert len(titles()) == 2
    look(now + timedelta(minutes=3))
    assert titles() == []
    spend(budgeted, "10")
    look(now + timedelta(minutes=4))
    assert len(titles()) == 2
    assert Message.objects.filter(channel="webhook").count() == 6


def test_the_same_window_is_not_told_twice(budgeted: VirtualKey, all_channels: None, actor: Actor):
    now = timezone.now()
    spend(budgeted, "10")
    look(now)
    spend(budgeted, "1")
    look(now + timedelta(minutes=3))
    Message.objects.all().delete()
    spend(budgeted, "10")
    look(now + timedelta(minutes=4))
    assert len(titles()) == 2
    assert Message.objects.count() == 0


def test_the_holder_of_a_key_hears_of_its_budget(
    budgeted: VirtualKey, member: User, all_channels: None, mail: MailServer
):
    VirtualKey.objects.filter(pk=budgeted.pk).update(user=member)
    spend(budgeted, "9")
    look()
    send()
    assert {one.recipients[0] for one in mail.received} == {"owner@example.com", "member@example.com"}


def test_a_model_that_fails_is_told_and_told_over_when_it_works_again(
    all_channels: None, web: WebServer, mail: MailServer
):
    now = timezone.now()
    calls("gpt", [502] * 4)
    calls("flaky", [502] * 5 + [200] * 6)
    calls("refused", [400] * 20)
    look(now)
    assert titles() == []
    calls("gpt", [503])
    look(now)
    assert titles() == ["gpt fails"]
    look(now + timedelta(minutes=6))
    assert titles() == []
    send()
    told = [json.loads(post.body) for post in web.received if post.path.startswith("/hook")]
    assert [(each["event"], each["resolves"]) for each in told] == [
        ("outage", None),
        ("alert_resolved", "outage"),
    ]
    assert mail.received[-1].message["subject"] == "[Portico] Over: gpt fails"


def test_slow_answers_are_told_by_the_threshold(all_channels: None, actor: Actor):
    settings.change(actor=actor, values={"general_settings.alerting_threshold": 20})
    calls("gpt", [200], duration_ms=19_000)
    look()
    assert titles() == []
    calls("gpt", [200], duration_ms=21_000)
    look()
    assert titles() == ["gpt answers slowly"]


def test_failed_copies_full_storage_and_keys_that_end_are_told(
    team: Team, actor: Actor, gemini_deployment: Deployment, all_channels: None
):
    file = ManagedFile.objects.create(
        team=team, filename="a", purpose="user_data", size=950, storage="local", blob="x", sha256="0" * 64
    )
    ProviderFileMapping.objects.create(
        file=file, account=gemini_deployment.account, state="failed", error="too large"
    )
    FileRules.objects.create(team_id=team.pk, max_bytes=1000)
    soon, _ = keys.create_key(
        actor=actor, team=team, name="soon", expires_at=timezone.now() + timedelta(days=6)
    )
    VirtualKey.objects.filter(pk=soon.pk).update(created_at=timezone.now() - timedelta(days=30))
    keys.create_key(actor=actor, team=team, name="short", expires_at=timezone.now() + timedelta(days=6))
    look()
    assert titles() == [
        f"Copies of files fail at {gemini_deployment.account.name}",
        "The storage of the team Blue is nearly full",
        "The key soon expires soon",
    ]


def test_kinds_that_are_switched_off_are_not_told(budgeted: VirtualKey, actor: Actor, all_channels: None):
    settings.change(actor=actor, values={"general_settings.alert_types": ["outage_alerts"]})
    spend(budgeted, "10")
    calls("gpt", [502] * 5)
    look()
    assert titles() == ["gpt fails"]


def test_without_channels_alerts_are_kept_but_nothing_is_sent(budgeted: VirtualKey):
    spend(budgeted, "10")
    look()
    assert len(titles()) == 2
    assert Message.objects.count() == 0


def test_many_at_once_make_one_mail(team: Team, actor: Actor, all_channels: None, mail: MailServer):
    for number in range(25):
        made, _ = keys.create_key(actor=actor, team=team, name=f"k{number}", figures={"max_budget": 1})
        spend(made, "1")
    look()
    send()
    assert [one.message["subject"] for one in mail.received] == ["[Portico] 25 alerts"]
    assert "… and 5 more." in mail.received[0].text


def test_a_webhook_is_signed_as_openai_s_client_checks_it(
    budgeted: VirtualKey, all_channels: None, web: WebServer
):
    spend(budgeted, "10")
    look()
    send()
    post = next(post for post in web.received if post.path.startswith("/hook"))
    client = OpenAI(api_key="none", webhook_secret=SECRET)
    client.webhooks.verify_signature(post.body, post.headers)
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.verify_signature(post.body + b" ", post.headers)


def test_names_cannot_become_links_or_mentions_in_slack(
    budgeted: VirtualKey, actor: Actor, all_channels: None, web: WebServer
):
    keys.update_key(actor=actor, key=budgeted, name="<!channel> & <https://evil.example|x>")
    spend(budgeted, "10")
    look()
    send()
    post = next(post for post in web.received if post.path.startswith("/slack"))
    text = json.loads(post.body)["text"]
    assert "<!channel>" not in text
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|x&gt;" in text


def test_kinds_may_have_slack_addresses_of_their_own(
    all_channels: None, actor: Actor, web: WebServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OUTAGES_URL", f"{web.url}/outages")
    settings.change(
        actor=actor,
        values={"general_settings.alert_to_webhook_url": {"outage_alerts": ["os.environ/OUTAGES_URL"]}},
    )
    calls("gpt", [502] * 5)
    look()
    send()
    assert {post.path.partition("?")[0] for post in web.received} == {"/outages", "/hook"}


def test_a_channel_that_fails_is_tried_again_and_holds_up_no_other(
    budgeted: VirtualKey, all_channels: None, web: WebServer, mail: MailServer, caplog: Any
):
    mail.account = ["robot", "changed"]
    spend(budgeted, "9")
    look()
    assert send() == 3
    failed = Message.objects.get(channel="email", attempts=1)
    assert failed.error == "The mail server refused the user name and password."
    assert failed.next_attempt_at > timezone.now()
    mail.account = ["robot", "mail-password-0123"]
    Message.objects.update(next_attempt_at=timezone.now())
    assert send() == 1
    sent = Message.objects.get(channel="email")
    assert (sent.attempts, sent.error, sent.sealed_content) == (2, "", "")


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_a_receiver_does_not_take_is_given_up_after_a_while(
    budgeted: VirtualKey, all_channels: None, actor: Actor, web: WebServer, status: int
):
    settings.change(actor=actor, values={"general_settings.alerting": ["webhook"]})
    spend(budgeted, "9")
    look()
    Message.objects.exclude(title__contains="nearly").delete()
    web.answers = [status] * 20
    for _ in range(len(messages.PAUSES) + 1):
        Message.objects.update(next_attempt_at=timezone.now())
        assert send() == 0
    given_up = Message.objects.get()
    assert given_up.failed_at is not None
    assert given_up.error == f"The receiver answered {status}."
    assert given_up.sealed_content == ""
    assert len(web.received) == len(messages.PAUSES) + 1


def test_nothing_secret_stands_in_the_database_or_in_errors(
    budgeted: VirtualKey, all_channels: None, web: WebServer, caplog: Any
):
    spend(budgeted, "10")
    look()
    web.shutdown()
    web.server_close()
    send()
    tables: list[Any] = [Alert, Message, Settings]
    dump = "".join(serializers.serialize("json", table.objects.all()) for table in tables) + caplog.text
    for secret in ("T0SECRET", "HOOKSECRET", SECRET, "mail-password-0123"):
        assert secret not in dump
    assert {one.error for one in Message.objects.exclude(error="")} == {"The address could not be reached."}


def test_two_looks_at_once_tell_once(budgeted: VirtualKey, all_channels: None):
    spend(budgeted, "10")
    now = timezone.now()
    found = conditions.find(now, settings.read())
    look(now)
    assert len({condition.fingerprint for condition in found}) == 2
    look(now)
    assert Alert.objects.count() == 2


def test_a_test_goes_out_at_once_and_says_why_it_did_not(
    all_channels: None, actor: Actor, web: WebServer, mail: MailServer
):
    for channel in ("email", "slack", "webhook"):
        alerts.send_test(channel, settings.read())
    assert mail.received[0].message["subject"] == "Test alert of Portico"
    assert [post.path.partition("?")[0] for post in web.received] == ["/slack/T0SECRET", "/hook"]
    settings.change(actor=actor, values={"secrets.webhook_url": None})
    with pytest.raises(Undelivered, match="No address"):
        alerts.send_test("webhook", settings.read())


def test_what_is_long_over_is_forgotten(budgeted: VirtualKey, all_channels: None):
    now = timezone.now()
    spend(budgeted, "10")
    look(now)
    send()
    BudgetWindow.objects.all().delete()
    look(now + timedelta(minutes=3))
    alerts.forget(now + timedelta(days=80))
    assert Alert.objects.count() == 2
    alerts.forget(now + timedelta(days=91))
    assert Alert.objects.count() == 0
    messages.forget(now + timedelta(days=31))
    assert not Message.objects.exclude(sent_at=None).exists()
