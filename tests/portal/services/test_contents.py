"""What calls say is kept sealed, small and for a time, and only where the operator wants it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError

from files.database import in_thread
from portal.crypto import CannotOpen, Keyring, new_encryption_keys
from portal.models import CallContent, Revision, Settings, Team
from portal.services import catalog, contents, secrets
from portal.services.access import Caller
from portal.services.content_packing import MOST_BYTES, pack, slimmed, unpack
from portal.services.contents import Content, Shelf
from portal.services.options import Options

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ASKED = {"model": "gpt", "messages": [{"role": "user", "content": "the secret plan"}]}


def content(call_id: str = "call_1", **values: Any) -> Content:
    usual: dict[str, Any] = {
        "team_id": None,
        "started_at": NOW,
        "headers": {"user-agent": "tests"},
        "request": ASKED,
        "answer": {"choices": [{"message": {"content": "done"}}]},
    }
    return Content(call_id=call_id, **(usual | values))


def switch_on(**general: Any) -> None:
    row = Settings.current()
    row.general = {"store_bodies": True} | general
    row.save()
    Revision.advance()
    catalog.refresh()


def test_inline_bytes_are_described_wherever_they_stand():
    data = bytes(range(256)) * 8
    written = base64.b64encode(data).decode()
    known = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    body = {
        "image": {"url": f"data:image/png;base64,{written}"},
        "audio": {"data": written, "format": "wav"},
        "native": {"inlineData": {"mimeType": "image/jpeg", "data": written}},
        "file": {"file_data": f"data:application/pdf;base64,{written}"},
    }
    found = slimmed(body)
    assert found["image"]["url"] == known | {"media_type": "image/png"}
    assert found["audio"]["data"] == known | {"media_type": "wav"}
    assert found["native"]["inlineData"]["data"] == known | {"media_type": "image/jpeg"}
    assert found["file"]["file_data"] == known | {"media_type": "application/pdf"}


def test_texts_that_only_look_like_bytes_are_kept():
    body = {"content": "a" * 5000, "data": "short", "url": "data:text/plain,hello", "note": "data:;base64,"}
    assert slimmed(body) == body


def test_vectors_are_counted_and_depths_are_bounded():
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    assert slimmed({"embedding": [0.5] * 1536}) == {"embedding": "[1536 numbers]"}
    assert "bottom" not in repr(slimmed(deep))


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"content": "x" * 400_000}, {"content": "kept"}]},
        {"messages": [{"content": f"{number} " * 10} for number in range(60_000)]},
    ],
)
def test_what_is_too_long_is_cut_and_says_so(body: dict[str, Any]):
    packed, size, is_cut = pack({"headers": {}, "request": body, "answer": None})
    assert is_cut
    assert size <= MOST_BYTES
    assert "cut" in repr(unpack(packed)["request"])


def test_json_that_few_libraries_write_is_kept_all_the_same():
    odd = {"request": {"text": "\ud800", "number": 10**40}}
    assert unpack(pack(odd)[0]) == odd


@pytest.mark.django_db(transaction=True)
async def test_a_content_is_sealed_and_read_again():
    shelf = Shelf()
    shelf.record(content())
    assert await shelf.flush()
    row = await CallContent.objects.aget()
    assert "secret plan" not in row.sealed_content
    assert (len(shelf), row.created_at, row.is_cut) == (0, NOW, False)


@pytest.mark.django_db(transaction=True)
async def test_a_kept_content_is_read_under_its_own_id_only():
    shelf = Shelf()
    shelf.record(content("call_1"))
    shelf.record(content("call_2", request={"model": "other"}))
    await shelf.flush()
    found = await contents_of("call_1")
    assert found is not None
    assert (found.request, found.headers) == (ASKED, {"user-agent": "tests"})
    assert await contents_of("call_3") is None
    other = await CallContent.objects.aget(call_id="call_2")
    await CallContent.objects.filter(call_id="call_1").aupdate(sealed_content=other.sealed_content)
    with pytest.raises(CannotOpen):
        await contents_of("call_1")


async def contents_of(call_id: str) -> contents.Kept | None:
    return await in_thread(contents.read, call_id)


@pytest.mark.django_db(transaction=True)
async def test_contents_wait_for_the_database_within_bounds(monkeypatch: pytest.MonkeyPatch):
    def away(rows: object) -> None:
        raise OperationalError("away")

    shelf = Shelf(most_bytes=2_000)
    with monkeypatch.context() as patched:
        patched.setattr(contents, "_insert", away)
        for number in range(20):
            shelf.record(content(f"call_{number}"))
        assert not await shelf.flush()
    assert 0 < len(shelf) < 20
    assert await shelf.flush()
    assert await CallContent.objects.filter(call_id="call_19").aexists()


@pytest.mark.django_db(transaction=True)
async def test_contents_go_with_their_team(team: Team, rival: Team):
    shelf = Shelf()
    shelf.record(content("call_1", team_id=team.pk))
    await shelf.flush()
    shelf.record(content("call_2", team_id=team.pk))
    shelf.record(content("call_3", team_id=rival.pk))
    await team.adelete()
    assert await shelf.flush()
    assert [row.call_id async for row in CallContent.objects.all()] == ["call_3"]


@pytest.mark.django_db
def test_contents_are_forgotten_after_the_days_of_the_settings():
    for days in (1, 6, 8):
        CallContent.objects.create(
            call_id=f"call_{days}", sealed_content="x", size=1, created_at=NOW - timedelta(days=days)
        )
    assert contents.purge(NOW) == 0
    switch_on(bodies_retention_days=7)
    assert contents.purge(NOW) == 1
    assert not CallContent.objects.filter(call_id="call_8").exists()
    switch_on(bodies_retention_days=7, maximum_spend_logs_retention_period="2d")
    assert contents.purge(NOW) == 1
    assert [row.call_id for row in CallContent.objects.all()] == ["call_1"]


def test_only_the_operator_and_a_team_can_switch_it_on(caller: Caller):
    def for_team(value: bool | None) -> Caller:
        return replace(caller, team_options=Options(store_bodies=value))

    assert not contents.is_wanted(caller, ASKED)
    assert contents.is_wanted(for_team(True), ASKED)
    switch_on()
    assert contents.is_wanted(caller, ASKED)
    assert not contents.is_wanted(for_team(False), ASKED)
    assert not contents.is_wanted(caller, ASKED | {"no-log": True})
    assert contents.is_wanted(caller, ASKED | {"no-log": False})


def test_a_header_keeps_a_call_out_and_secrets_are_never_kept(caller: Caller):
    switch_on()
    headers = {
        "authorization": "Bearer sk-1",
        "cookie": "portico_session=1",
        "x-litellm-api-key": "sk-2",
        "x-portico-team": "blue",
        "user-agent": "OpenAI/Python",
    }
    contents.note_headers(headers)
    try:
        assert contents.headers_to_keep() == {"x-portico-team": "blue", "user-agent": "OpenAI/Python"}
        assert contents.is_wanted(caller, ASKED)
        contents.note_headers(headers | {"x-litellm-enable-message-redaction": "True"})
        assert not contents.is_wanted(caller, ASKED)
    finally:
        contents.note_headers({})


@pytest.mark.django_db(transaction=True)
async def test_contents_are_resealed_with_a_new_key(monkeypatch: pytest.MonkeyPatch):
    shelf = Shelf()
    shelf.record(content())
    await shelf.flush()
    fresh = Keyring.parse(new_encryption_keys().replace("k1:", "k2:")).keys
    ring = Keyring({**fresh, **settings.ENCRYPTION_KEYS.keys})
    monkeypatch.setattr(settings, "ENCRYPTION_KEYS", ring)
    assert (await in_thread(secrets.reseal_all)).resealed >= 1
    monkeypatch.setattr(settings, "ENCRYPTION_KEYS", Keyring(fresh))
    found = await contents_of("call_1")
    assert found is not None
    assert found.request == ASKED
