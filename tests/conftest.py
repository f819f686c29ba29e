"""Fixtures that every test may use; two rival teams, so that each test can ask of the neighbour."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgiref.sync import SyncToAsync
from django.conf import settings
from django.db import connections
from hypothesis import HealthCheck
from hypothesis import settings as examples

from portal.models import Deployment, Membership, Model, ProviderAccount, Team, User, VirtualKey
from portal.services import accounts, catalog, keys, models, teams
from portal.services.access import Caller, caller_for_token
from portal.services.audit import Actor
from tests import migrated

# How fast a busy machine makes and tries examples says nothing about what is tried.
examples.register_profile("busy", examples(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
examples.load_profile("busy")


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The database is a copy, and goes away with the folder it is in."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    migrated.copy_sqlite(Path(settings.DATABASES["default"]["TEST"]["NAME"]))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """The thread in which Django's asynchronous queries run keeps its connection, and PostgreSQL drops no
    database that somebody is connected to."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


LONGEST_ID = 80
GROUPS = (
    "browser",
    "larger",
    "budgets",
    "chaos",
    "houses",
    "seeds",
    "product",
    "clients",
    "lifecycle",
    "deletion",
    "readme",
)
"""Tests that one process has to run in turn. What depends on seconds is kept apart from its like."""


def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: one more than processors, as many tests wait, for a page, a process, a second."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long is begun first: at the end all processes have small tests left to share.

    Those keep their order: pytest-django lets tests that empty the database follow those that need its rows.
    """
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    mark = item.get_closest_marker("xdist_group")
    if mark and mark.args[0] in GROUPS:
        return GROUPS.index(mark.args[0])
    return len(GROUPS) + (mark is None)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Megabytes of input name a test by their length: names go to every process of the run."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_ID:
        return f"{argname} of {len(val)}"
    return None


@pytest.fixture(autouse=True)
def _fresh_catalog() -> Iterator[None]:
    """The database forgets between tests, so the picture in memory must."""
    catalog.forget()
    yield
    catalog.forget()


@pytest.fixture
def actor() -> Actor:
    return Actor.system("tests")


@pytest.fixture
def team(db: None, actor: Actor) -> Team:
    return teams.create_team(actor=actor, name="Blue")


@pytest.fixture
def rival(db: None, actor: Actor) -> Team:
    return teams.create_team(actor=actor, name="Red")


@pytest.fixture
def key_and_secret(team: Team, actor: Actor) -> tuple[VirtualKey, str]:
    return keys.create_key(actor=actor, team=team, name="blue key")


@pytest.fixture
def key(key_and_secret: tuple[VirtualKey, str]) -> VirtualKey:
    return key_and_secret[0]


@pytest.fixture
def secret(key_and_secret: tuple[VirtualKey, str]) -> str:
    """What the team's programs send."""
    return key_and_secret[1]


@pytest.fixture
def rival_secret(rival: Team, actor: Actor) -> str:
    return keys.create_key(actor=actor, team=rival, name="red key")[1]


@pytest.fixture
def caller(secret: str) -> Caller:
    catalog.refresh()
    return caller_for_token(secret)


@pytest.fixture
def rival_caller(rival_secret: str) -> Caller:
    catalog.refresh()
    return caller_for_token(rival_secret)


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_superuser("owner@example.com", "correct horse battery")


@pytest.fixture
def member(team: Team, actor: Actor) -> User:
    """Belongs to Blue."""
    person = User.objects.create_user("member@example.com", "correct horse battery")
    teams.set_member(actor=actor, team=team, user=person, role=Membership.Role.MEMBER)
    return person


@pytest.fixture
def rival_member(rival: Team, actor: Actor) -> User:
    """Belongs to Red."""
    person = User.objects.create_user("rival@example.com", "correct horse battery")
    teams.set_member(actor=actor, team=rival, user=person, role=Membership.Role.MEMBER)
    return person


@pytest.fixture
def gemini_account(db: None, actor: Actor) -> ProviderAccount:
    return _account(actor, "Gemini of the tests", "gemini")


@pytest.fixture
def openai_account(db: None, actor: Actor) -> ProviderAccount:
    return _account(actor, "OpenAI of the tests", "openai")


@pytest.fixture
def gemini_deployment(gemini_account: ProviderAccount, actor: Actor) -> Deployment:
    """Serves the model `gemini-flash`."""
    return models.create_deployment(
        actor=actor, model_name="gemini-flash", account=gemini_account, provider_model="gemini-2.5-flash"
    )


@pytest.fixture
def openai_deployment(openai_account: ProviderAccount, actor: Actor) -> Deployment:
    """Serves the model `gpt`."""
    return models.create_deployment(
        actor=actor, model_name="gpt", account=openai_account, provider_model="gpt-4.1-mini"
    )


@pytest.fixture
def gemini_model(gemini_deployment: Deployment) -> Model:
    return gemini_deployment.model


@pytest.fixture
def openai_model(openai_deployment: Deployment) -> Model:
    return openai_deployment.model


def _account(actor: Actor, name: str, provider: str) -> ProviderAccount:
    return accounts.create_account(
        actor=actor,
        name=name,
        provider=provider,
        secrets={"api_key": f"{provider}-test-key-0123456789"},
    )
