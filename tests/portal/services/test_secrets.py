"""Rotation of the encryption keys."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from portal import crypto
from portal.crypto import Keyring
from portal.models import ProviderAccount, Settings
from portal.services import accounts, secrets
from portal.services.audit import Actor
from portal.services.environment import seal_environment, written_environment

OLD = f"old:{base64.b64encode(b'o' * 32).decode()}"
NEW = f"new:{base64.b64encode(b'n' * 32).decode()}"


@pytest.fixture
def sealed(db: None, actor: Actor, settings: Any) -> list[ProviderAccount]:
    settings.ENCRYPTION_KEYS = Keyring.parse(OLD)
    made = [
        accounts.create_account(actor=actor, name=f"a{n}", provider="openai", secrets={"api_key": f"key-{n}"})
        for n in range(5)
    ]
    row = Settings.current()
    row.sealed_environment = seal_environment({"NAME": "value"})
    row.save()
    return made


def test_everything_moves_to_the_new_key(
    sealed: list[ProviderAccount], settings: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(secrets, "BATCH", 2)
    settings.ENCRYPTION_KEYS = Keyring.parse(f"{NEW},{OLD}")
    assert secrets.reseal_all() == secrets.Resealed(6, 0, 0, ())
    assert secrets.reseal_all() == secrets.Resealed(0, 6, 0, ())
    settings.ENCRYPTION_KEYS = Keyring.parse(NEW)
    found = [account.connection().api_key for account in ProviderAccount.objects.order_by("pk")]
    assert found == [f"key-{n}" for n in range(5)]
    assert written_environment(Settings.current()) == {"NAME": "value"}


def test_what_nothing_opens_is_named_and_left_alone(sealed: list[ProviderAccount], settings: Any):
    settings.ENCRYPTION_KEYS = Keyring.parse(f"{NEW},{OLD}")
    ProviderAccount.objects.filter(name="a3").update(sealed_secrets="v1:lost:AAAA")
    result = secrets.reseal_all()
    assert (result.resealed, result.unreadable) == (5, ("account a3",))
    assert ProviderAccount.objects.get(name="a3").sealed_secrets == "v1:lost:AAAA"
    with pytest.raises(CommandError, match="a3"):
        call_command("rotate_secrets")


def test_a_secret_saved_meanwhile_stays(
    sealed: list[ProviderAccount], settings: Any, monkeypatch: pytest.MonkeyPatch
):
    settings.ENCRYPTION_KEYS = Keyring.parse(f"{NEW},{OLD}")
    opened = Keyring.open

    def saving(ring: Keyring, value: str, place: str) -> str:
        plain = opened(ring, value, place)
        if place == sealed[0].place:
            ProviderAccount.objects.filter(pk=sealed[0].pk).update(sealed_secrets="changed meanwhile")
        return plain

    monkeypatch.setattr(Keyring, "open", saving)
    assert secrets.reseal_all() == secrets.Resealed(5, 0, 1, ())
    assert ProviderAccount.objects.get(pk=sealed[0].pk).sealed_secrets == "changed meanwhile"


def test_every_sealed_column_is_known_to_the_rotation():
    from django.apps import apps

    columns = {
        (table, field.name)
        for table in apps.get_models()
        for field in table._meta.fields
        if field.name.startswith("sealed_")
    }
    assert columns == {(column.table, column.column) for column in secrets.COLUMNS if not column.key}


def test_a_dump_of_the_rows_holds_no_secret(sealed: list[ProviderAccount]):
    dump = repr([*ProviderAccount.objects.values_list(), *Settings.objects.values_list()])
    assert "key-1" not in dump
    assert "value" not in dump
    assert crypto.VERSION in dump
