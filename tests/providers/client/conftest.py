"""The functions in front of the fakes: keys and addresses stand in the environment, as users have them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from providers.client import contexts
from providers.client.known_files import known_files
from providers.variables import VARIABLES
from tests.fakes.server import FakeServers

GEMINI_KEY = "AIza-main-0123456789abcdef"
OPENAI_KEY = "sk-fake-main-0123456789"


@pytest.fixture(scope="session")
def running_fakes() -> Iterator[FakeServers]:
    with FakeServers() as servers:
        yield servers


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No account is configured, whatever the machine's own environment says."""
    for variables in VARIABLES.values():
        for names in variables.values():
            for name in names:
                monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    known_files.clear()
    contexts.forget_all()
    return monkeypatch


@pytest.fixture
def fakes(running_fakes: FakeServers, environment: pytest.MonkeyPatch) -> FakeServers:
    """Both providers, fresh, with a key for each."""
    running_fakes.reset()
    environment.setenv("GEMINI_API_KEY", GEMINI_KEY)
    environment.setenv("GEMINI_API_BASE", running_fakes.gemini_url)
    environment.setenv("OPENAI_API_KEY", OPENAI_KEY)
    environment.setenv("OPENAI_BASE_URL", running_fakes.openai_url)
    return running_fakes
