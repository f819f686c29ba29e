"""Making and changing virtual keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from portal import crypto
from portal.models import AuditEvent, Revision, Team, VirtualKey
from portal.services import keys
from portal.services.audit import Actor
from providers.errors import Conflict, InvalidRequest


def test_the_secret_is_given_once_and_kept_nowhere(actor: Actor, team: Team):
    row, secret = keys.create_key(actor=actor, team=team, name="ci")
    row.refresh_from_db()
    assert crypto.is_well_formed(secret)
    assert len(secret) >= 35
    assert row.hint == f"sk-…{secret[-4:]}"
    kept = [*VirtualKey.objects.values_list(), *AuditEvent.objects.values_list()]
    assert secret not in repr(kept)
    assert secret.removeprefix("sk-") not in repr(kept)


def test_every_change_advances_the_revision(actor: Actor, key: VirtualKey):
    numbers = [key.revision]
    for change in (keys.block_key, keys.unblock_key, keys.delete_key):
        change(actor=actor, key=key)
        numbers.append(VirtualKey.objects.get(pk=key.pk).revision)
    assert numbers == sorted(set(numbers))
    assert Revision.latest() == numbers[-1]


def test_no_change_leaves_no_trace(actor: Actor, key: VirtualKey):
    before = (Revision.latest(), AuditEvent.objects.count())
    keys.update_key(actor=actor, key=key, name=key.name, allowed_models=[])
    keys.unblock_key(actor=actor, key=key)
    assert (Revision.latest(), AuditEvent.objects.count()) == before


def test_changes_are_audited(actor: Actor, key: VirtualKey):
    keys.update_key(actor=actor, key=key, name="new name", allowed_models=["gpt"])
    event = AuditEvent.objects.filter(action="key.updated").get()
    assert event.before == {"name": "blue key", "allowed_models": []}
    assert event.after == {"name": "new name", "allowed_models": ["gpt"]}
    assert (event.actor, event.object_id) == ("system: tests", str(key.pk))


def test_a_deleted_key_keeps_its_row_and_is_not_listed(actor: Actor, key: VirtualKey, caller: Any):
    keys.delete_key(actor=actor, key=key)
    assert VirtualKey.objects.get(pk=key.pk).deleted_at
    assert not VirtualKey.objects.visible_to(caller).exists()


def test_a_key_can_be_brought_along(actor: Actor, team: Team):
    row, secret = keys.create_key(actor=actor, team=team, name="old", key="sk-brought-along-1234")
    assert secret == "sk-brought-along-1234"
    assert row.digest == keys.digest_of("sk-brought-along-1234")
    with pytest.raises(Conflict):
        keys.create_key(actor=actor, team=team, name="again", key="sk-brought-along-1234")
    assert VirtualKey.objects.filter(name="again").count() == 0


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "line\nbreak"}, "name"),
        ({"name": None}, "name"),
        ({"allowed_models": "gpt"}, "models"),
        ({"allowed_models": [7]}, "models"),
        ({"allowed_models": ["m"] * 1001}, "models"),
        ({"expires_at": datetime(2099, 1, 1)}, "expires_at"),  # noqa: DTZ001 - the mistake that is refused
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expires_at"),
        ({"key": "sk-short"}, "key"),
        ({"key": "sk-with a space in it"}, "key"),
        ({"key": "sk-with-ümlauts-in-it"}, "key"),
        ({"metadata": {"x": "\ud800"}}, "metadata"),
        ({"metadata": {"x": "\0"}}, "metadata"),
        ({"metadata": {"x": "y" * 70_000}}, "metadata"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_wrong_values_are_refused_by_name(actor: Actor, team: Team, wrong: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as caught:
        keys.create_key(**{"actor": actor, "team": team, "name": "n", **wrong})
    assert caught.value.param == param
    assert not VirtualKey.objects.exists()


def test_model_names_are_kept_once_each(actor: Actor, team: Team):
    row, _ = keys.create_key(actor=actor, team=team, name="n", allowed_models=["b", "a", " b "])
    assert row.allowed_models == ["b", "a"]
