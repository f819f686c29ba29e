"""Whoever runs the instance asks after the cache of answers, and empties it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from portal.models import AuditEvent
from portal.services import catalog
from portal.services.kept_answers import answers
from tests.portal.api.conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)
KEY = "a" * 64


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    answers.local.clear()
    yield
    answers.local.clear()


def test_it_says_where_answers_are_kept(master: httpx.Client, settings: Any):
    settings.REDIS_URL = None
    found = master.get("/cache/ping").json()
    assert (found["status"], found["cache_type"], found["is_on"]) == ("healthy", "local", False)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = master.get("/cache/ping")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "cache_unavailable")


def test_single_answers_are_forgotten(master: httpx.Client, post: Post):
    answers.local.put(KEY, b"{}", 2.0**40)
    assert post("/cache/delete", keys=[KEY, "b" * 64])["deleted"] == 1
    assert len(answers.local) == 0
    assert master.post("/cache/delete", json={"keys": []}).status_code == 400
    assert master.post("/cache/delete", json={}).status_code == 400


def test_all_answers_are_forgotten_and_the_trail_tells_who_did_it(post: Post):
    answers.local.put(KEY, b"{}", 2.0**40)
    assert post("/cache/flushall")["status"] == "success"
    assert len(answers.local) == 0
    assert catalog.refresh().settings.answers_dropped_at > 0
    assert AuditEvent.objects.get(action="settings.answers_dropped").actor == "master key"


def test_callers_may_not(client: httpx.Client):
    assert client.get("/cache/ping").status_code == 403
    for path in ("/cache/delete", "/cache/flushall"):
        assert client.post(path, json={"keys": [KEY]}).status_code == 403
