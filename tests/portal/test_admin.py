"""The raw records: owners only, nothing secret on any page."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from files.models import ManagedFile
from portal.models import AuditEvent, Deployment, ProviderAccount, Revision, Team, User, VirtualKey
from portal.services import catalog
from portal.services.access import Caller

TABLES = [table for table in apps.get_models() if table._meta.app_label in ("portal", "files")]


@pytest.fixture(autouse=True)
def _plain_statics(settings: Any) -> None:
    """The manifest of hashed names is made by `manage.py up`."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("servestatic.")]
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


@pytest.fixture
def visit(owner: User) -> Client:
    client = Client()
    client.force_login(owner)
    return client


def page(table: str, name: str, *arguments: object) -> str:
    return reverse(f"admin:{table}_{name}", args=arguments)


def test_every_table_is_registered():
    assert set(TABLES) <= set(admin.site._registry)
    assert Group not in admin.site._registry


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table._meta.label_lower)
def test_every_list_opens_and_searches(table: type, visit: Client, key: VirtualKey):
    options = table._meta  # type: ignore[attr-defined] # a model
    address = page(f"{options.app_label}_{options.model_name}", "changelist")
    assert visit.get(address).status_code == 200
    if admin.site._registry[table].search_fields:
        assert visit.get(address, {"q": "blue"}).status_code == 200


@pytest.mark.parametrize("role", ["admin", "auditor", ""])
def test_nobody_but_owners_gets_in(role: str, db: None):
    client = Client()
    person = User.objects.create_user("staff@example.com", role=role, is_staff=True)
    client.force_login(person)
    for table in ("team", "user", "virtualkey", "provideraccount"):
        assert client.get(page(f"portal_{table}", "changelist")).status_code == 403
    client.logout()
    assert client.get(page("portal_team", "changelist")).status_code == 302


def test_no_secret_shows(visit: Client, gemini_account: ProviderAccount, key: VirtualKey):
    account = visit.get(page("portal_provideraccount", "change", gemini_account.pk)).content.decode()
    assert gemini_account.sealed_secrets not in account
    assert "gemini-test-key" not in account
    assert "sealed" not in account
    shown = visit.get(page("portal_virtualkey", "change", key.pk)).content.decode()
    assert key.digest not in shown
    assert "digest" not in shown


def test_a_change_reaches_the_catalog_and_the_trail(visit: Client, key: VirtualKey, owner: User):
    before = catalog.refresh()
    answer = visit.post(
        page("portal_virtualkey", "change", key.pk),
        {"name": "by hand", "allowed_models": "[]", "is_blocked": "on", "metadata": "{}", "user": ""},
    )
    assert answer.status_code == 302
    after = catalog.refresh()
    assert after.revision > before.revision
    assert after.keys[key.digest].is_blocked
    event = AuditEvent.objects.get(action="record.changed")
    assert (event.actor, event.object_name) == (owner.email, "by hand")


def test_a_removed_deployment_leaves_the_catalog(visit: Client, openai_deployment: Deployment):
    assert "gpt" in catalog.refresh().models
    visit.post(page("portal_deployment", "delete", openai_deployment.pk), {"post": "yes"})
    assert "gpt" not in catalog.refresh().models


def test_records_of_the_product_are_read_only(visit: Client, caller: Caller, team: Team):
    file = ManagedFile.objects.create(
        team=team, filename="f", purpose="user_data", media_type="text/plain", size=1, sha256="0", blob="b"
    )
    assert visit.get(page("files_managedfile", "change", file.pk)).status_code == 200
    assert visit.post(page("files_managedfile", "change", file.pk), {"filename": "x"}).status_code == 403
    assert visit.post(page("files_managedfile", "delete", file.pk), {"post": "yes"}).status_code == 403
    assert visit.get(page("portal_auditevent", "add")).status_code == 403
    assert ManagedFile.objects.get().filename == "f"


def test_an_owner_makes_people_and_their_rights_follow_the_role(visit: Client):
    answer = visit.post(
        page("portal_user", "add"),
        {
            "email": "new@example.com",
            "usable_password": "true",
            "password1": "correct horse battery",
            "password2": "correct horse battery",
            "role": "owner",
            "memberships-TOTAL_FORMS": "0",
            "memberships-INITIAL_FORMS": "0",
        },
    )
    assert answer.status_code == 302, answer.content.decode()
    made = User.objects.get(email="new@example.com")
    assert (made.is_superuser, made.is_staff) == (True, True)


def test_the_last_owner_stays(visit: Client, owner: User):
    answer = visit.post(
        page("portal_user", "change", owner.pk),
        {
            "email": owner.email,
            "role": "",
            "is_active": "on",
            "memberships-TOTAL_FORMS": "0",
            "memberships-INITIAL_FORMS": "0",
        },
    )
    assert answer.status_code == 200
    assert "last owner" in answer.content.decode()
    assert User.objects.get(pk=owner.pk).is_superuser
    assert Revision.latest() >= 0
