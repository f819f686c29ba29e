"""The running server, and clients of the two teams."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.portal.server import Server


@pytest.fixture(scope="session")
def _running_server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def server(_running_server: Server, transactional_db: None) -> Server:
    """One for all tests: without a lifespan nothing in it touches the database between requests."""
    return _running_server


@pytest.fixture
def client(server: Server, secret: str) -> Iterator[httpx.Client]:
    """Speaks with the key of team Blue."""
    with server.client(secret) as made:
        yield made


@pytest.fixture
def rival_client(server: Server, rival_secret: str) -> Iterator[httpx.Client]:
    """Speaks with the key of team Red."""
    with server.client(rival_secret) as made:
        yield made


@pytest.fixture
def stranger(server: Server) -> Iterator[httpx.Client]:
    """Has no key."""
    with server.client() as made:
        yield made
