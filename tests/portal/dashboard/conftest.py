"""Signed-in browsers without a browser, and a house that is lived in."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from files.models import ManagedFile, ProviderFileMapping
from portal.models import Deployment, Team, UsageRecord, User, VirtualKey
from portal.services import catalog
from portal.services.usage_rows import UsageRow, write

PLAIN_STATICS = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
STATES = ProviderFileMapping.State


@pytest.fixture(autouse=True)
def _plain_statics(settings: Any) -> None:
    """Pages refer to hashed files that only `manage.py up` makes; the browser tests cover those."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("servestatic.")]
    settings.STORAGES = {**settings.STORAGES, "staticfiles": PLAIN_STATICS}


def signed_in(user: User, **defaults: Any) -> Client:
    browser = Client(**defaults)
    browser.force_login(user)
    return browser


@pytest.fixture
def owner_browser(owner: User) -> Client:
    return signed_in(owner)


@pytest.fixture
def member_browser(member: User) -> Client:
    return signed_in(member)


@pytest.fixture
def rival_browser(rival_member: User) -> Client:
    return signed_in(rival_member)


def make_file(team: Team, filename: str = "report.pdf", **fields: Any) -> ManagedFile:
    given: dict[str, Any] = {
        "purpose": "user_data",
        "media_type": "application/pdf",
        "size": 4_800_000,
        "storage": "local",
        "blob": "ab/cd/x",
        "sha256": "0" * 64,
    }
    return ManagedFile.objects.create(team=team, filename=filename, **(given | fields))


@pytest.fixture
def file(team: Team) -> ManagedFile:
    """Belongs to Blue."""
    return make_file(team, "blue secrets.pdf")


@pytest.fixture
def lived_in(
    team: Team,
    owner: User,
    key: VirtualKey,
    file: ManagedFile,
    gemini_deployment: Deployment,
    openai_deployment: Deployment,
) -> ManagedFile:
    """Files in every state, calls good and bad; gives a file without copies."""
    for number, state in enumerate(STATES.values):
        ProviderFileMapping.objects.create(
            file=make_file(team, f"report-{number}.pdf"),
            account=gemini_deployment.account,
            state=state,
            error="too large" if state == STATES.FAILED else "",
        )
    for status in (200, 503):
        UsageRecord.objects.create(
            call_id=f"call-{status}",
            request_id=f"req_{status}",
            started_at=timezone.now(),
            team=team,
            key=key,
            caller_name=key.name,
            endpoint="chat",
            model="gpt",
            status=status,
            input_tokens=12_345,
        )
    # A serving process has its catalog in memory before the first page is asked for.
    catalog.refresh()
    return file


def call(team: Team, number: int = 1, **fields: Any) -> str:
    """Writes one call as a finished request does; gives its request id."""
    given: dict[str, Any] = {
        "call_id": f"call_{team.pk}_{number}",
        "request_id": f"req_{team.pk}_{number}",
        "started_at": timezone.now() - timedelta(minutes=number),
        "endpoint": "/v1/chat/completions",
        "status": 200,
        "team_id": team.pk,
        "caller_name": f"key of {team.name}",
        "model": "gpt",
        "provider": "openai",
        "cost": Decimal("0.25"),
        "input_tokens": 100,
        "output_tokens": 20,
        "duration_ms": 900,
    }
    row = UsageRow(**(given | fields))
    write([row])
    return row.request_id


def text_of(browser: Client, path: str, **headers: str) -> str:
    response = browser.get(path, headers=headers)
    assert response.status_code == 200, path
    return response.content.decode()
