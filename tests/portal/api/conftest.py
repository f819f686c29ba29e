"""Callers of the management API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import httpx
import pytest

from portal.services import catalog
from tests.portal.server import Server

MASTER = "sk-master-of-the-tests-0123456789"
Post: TypeAlias = Callable[..., dict[str, Any]]


@pytest.fixture
def master(server: Server, settings: Any) -> Iterator[httpx.Client]:
    """Speaks with the master key."""
    settings.PORTICO_MASTER_KEY = MASTER
    catalog.forget()
    with server.client(MASTER) as made:
        yield made


@pytest.fixture
def post(master: httpx.Client) -> Post:
    """Asks with the master key and expects it to work."""

    def ask(path: str, **body: Any) -> dict[str, Any]:
        answer = master.post(path, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return ask
