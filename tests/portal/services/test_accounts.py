"""Provider accounts: secrets go in and never come out."""

from __future__ import annotations

from typing import Any

import pytest

from portal.models import AuditEvent, Deployment, ProviderAccount, Revision
from portal.services import accounts
from portal.services.access import Caller
from portal.services.audit import Actor
from providers.errors import Conflict, InvalidRequest

SECRET = "sk-provider-0123456789"


@pytest.fixture
def account(actor: Actor, db: None) -> ProviderAccount:
    return accounts.create_account(
        actor=actor, name="main", provider="openai", organization="org", secrets={"api_key": SECRET}
    )


def test_secrets_are_sealed_and_only_hinted_at(account: ProviderAccount):
    stored = repr(ProviderAccount.objects.filter(pk=account.pk).values_list().get())
    assert SECRET not in stored
    assert SECRET not in repr(list(AuditEvent.objects.values_list()))
    assert account.secret_hints == {"api_key": "…6789"}
    assert account.connection().api_key == SECRET


def test_a_sealed_secret_moved_to_another_row_does_not_open(actor: Actor, account: ProviderAccount):
    other = accounts.create_account(actor=actor, name="other", provider="openai")
    ProviderAccount.objects.filter(pk=other.pk).update(sealed_secrets=account.sealed_secrets)
    other.refresh_from_db()
    with pytest.raises(Exception, match="belongs to another row"):
        other.connection()


def test_a_blank_secret_keeps_the_old_one_and_none_removes_it(actor: Actor, account: ProviderAccount):
    before = Revision.latest()
    accounts.update_account(actor=actor, account=account, secrets={"api_key": ""})
    assert account.written_secrets() == {"api_key": SECRET}
    assert Revision.latest() == before
    accounts.update_account(actor=actor, account=account, secrets={"api_key": None})
    assert account.written_secrets() == {}
    assert Revision.latest() == before + 1


def test_a_new_secret_with_an_old_hint_still_counts_as_a_change(actor: Actor, account: ProviderAccount):
    before = Revision.latest()
    accounts.update_account(actor=actor, account=account, secrets={"api_key": "sk-another-456789"})
    assert account.written_secrets() == {"api_key": "sk-another-456789"}
    assert Revision.latest() == before + 1
    event = AuditEvent.objects.filter(action="account.updated").get()
    assert "sk-another" not in repr((event.before, event.after))


def test_typing_all_secrets_anew_mends_an_unreadable_account(actor: Actor, account: ProviderAccount):
    account.sealed_secrets = "v1:lost:AAAA"
    account.save()
    accounts.update_account(actor=actor, account=account, secrets={"api_key": "sk-new-0123456789"})
    assert account.connection().api_key == "sk-new-0123456789"


def test_references_are_kept_as_references(actor: Actor, db: None, monkeypatch: pytest.MonkeyPatch):
    account = accounts.create_account(
        actor=actor, name="ref", provider="openai", secrets={"api_key": "os.environ/SOME_KEY"}
    )
    assert account.secret_hints == {"api_key": "os.environ/SOME_KEY"}
    assert account.unset_variables() == ["SOME_KEY"]
    monkeypatch.setenv("SOME_KEY", "value")
    assert account.connection().api_key == "value"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"name": ""}, "name"),
        ({"provider": "nobody"}, None),
        ({"api_base": "ftp://x"}, "api_base"),
        ({"api_base": "https://"}, "api_base"),
        ({"api_base": "https://user:pw@host"}, "api_base"),
        ({"api_base": "https://host/?key=1"}, "api_base"),
        ({"api_base": "https://host:99999"}, "api_base"),
        ({"secrets": {"api_key": "line\nbreak"}}, "api_key"),
        ({"secrets": {"api_key": "schlüssel"}}, "api_key"),
    ],
)
def test_wrong_values_are_refused_by_name(actor: Actor, db: None, wrong: dict[str, Any], param: str | None):
    with pytest.raises(InvalidRequest) as caught:
        accounts.create_account(**{"actor": actor, "name": "n", "provider": "openai", **wrong})
    assert caught.value.param == param
    assert not ProviderAccount.objects.exists()


def test_names_are_unique(actor: Actor, account: ProviderAccount):
    with pytest.raises(Conflict):
        accounts.create_account(actor=actor, name="main", provider="openai")


def test_an_account_in_use_stays(actor: Actor, openai_deployment: Deployment):
    with pytest.raises(Conflict) as caught:
        accounts.delete_account(actor=actor, account=openai_deployment.account)
    assert caught.value.code == "account_in_use"
    assert "deployments" in caught.value.message
    openai_deployment.delete()
    accounts.delete_account(actor=actor, account=openai_deployment.account)
    assert not ProviderAccount.objects.exists()


def test_keys_see_no_accounts(account: ProviderAccount, caller: Caller):
    assert not ProviderAccount.objects.visible_to(caller).exists()
