"""Keys that are due for a new value: reminded of, fetched by a person, the old value works on for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from portal.models import Alert, Message, Team, User, VirtualKey
from portal.services import alerts, catalog, keys, messages, settings
from portal.services.access import caller_for_token
from portal.services.audit import Actor
from providers.errors import InvalidRequest
from tests.receivers import MailServer, running


@pytest.fixture
def mail(db: None, actor: Actor) -> Iterator[MailServer]:
    server = MailServer()
    settings.change(
        actor=actor,
        values={
            "general_settings.alerting": ["email"],
            "general_settings.alert_emails": ["ops@example.com"],
            "general_settings.smtp_host": "127.0.0.1",
            "general_settings.smtp_port": server.port,
            "general_settings.smtp_tls": False,
        },
    )
    with running(server):
        yield server


def due(key: VirtualKey) -> None:
    VirtualKey.objects.filter(pk=key.pk).update(rotate_at=timezone.now() - timedelta(minutes=1))


def test_the_holder_is_told_once_and_fetches_the_new_value(
    team: Team, member: User, actor: Actor, mail: MailServer
):
    key, old = keys.create_key(actor=actor, team=team, name="bot", user=member, rotation_interval="90d")
    assert key.rotate_at is not None
    assert key.rotate_at - timezone.now() > timedelta(days=89)
    alerts.look(timezone.now())
    assert not Alert.objects.exists()
    due(key)
    for _ in range(2):
        alerts.look(timezone.now())
    messages.send_due(time.monotonic() + 10)
    assert [letter.recipients for letter in mail.received] == [["ops@example.com"], ["member@example.com"]]
    assert old not in "".join(letter.text for letter in mail.received)
    browser = Client()
    browser.force_login(member)
    assert "due for a new value" in browser.get(f"/keys/{key.pk}/").content.decode()
    answer = browser.post(f"/keys/{key.pk}/roll/", {"hours": "24"})
    key.refresh_from_db()
    assert (key.rotation_count, key.rotated_at is not None) == (1, True)
    assert key.rotate_at is not None
    assert key.rotate_at > timezone.now() + timedelta(days=89)
    assert "sk-" in answer.content.decode()
    catalog.refresh()
    assert caller_for_token(old).key_id == key.pk
    alerts.look(timezone.now() + timedelta(minutes=3))
    assert Alert.objects.get().resolved_at is not None
    assert Message.objects.count() == 2


def test_an_interval_that_stays_keeps_its_date_and_none_takes_it_away(key: VirtualKey, actor: Actor):
    keys.update_key(actor=actor, key=key, rotation_interval="30d")
    date = key.rotate_at
    keys.update_key(actor=actor, key=key, rotation_interval="30d", name="other")
    assert key.rotate_at == date
    keys.update_key(actor=actor, key=key, rotation_interval="")
    key.refresh_from_db()
    assert (key.rotation_interval, key.rotate_at) == ("", None)
    with pytest.raises(InvalidRequest, match="rotation_interval"):
        keys.update_key(actor=actor, key=key, rotation_interval="often")


def test_the_form_sets_the_interval(key: VirtualKey, owner: User):
    browser = Client()
    browser.force_login(owner)
    browser.post(f"/keys/{key.pk}/", {"name": key.name, "rotation_interval": "90d"})
    key.refresh_from_db()
    assert key.rotation_interval == "90d"
    keys.update_key(actor=Actor.of_user(owner), key=key, rotation_interval="45d")
    page = browser.get(f"/keys/{key.pk}/").content.decode()
    assert "Every 45d" in page
