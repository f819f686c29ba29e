"""Who asks, times what they ask: nobody but its team learns anything of a file."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from files import tasks
from files.models import Upload
from portal.models import Team, VirtualKey
from portal.services import catalog, keys
from portal.services.audit import Actor
from tests.portal.server import Server

SECRET = b"only for blue eyes"
UPLOAD = {"purpose": "user_data", "filename": "secret.txt", "mime_type": "text/plain", "bytes": len(SECRET)}

FILE_QUESTIONS = [
    ("GET", "/v1/files/{id}", None),
    ("GET", "/files/{id}", None),
    ("GET", "/gemini/v1/files/{id}", None),
    ("GET", "/v1/files/{id}/content", None),
    ("HEAD", "/v1/files/{id}/content", None),
    ("GET", "/v1/files/{id}/deletion", None),
    ("GET", "/v1/files/{id}/shares", None),
    ("POST", "/v1/files/{id}/shares", {"team_id": "default"}),
    ("DELETE", "/v1/files/{id}/shares/default", None),
    ("DELETE", "/openai/v1/files/{id}", None),
    ("DELETE", "/v1/files/{id}", None),
]
UPLOAD_QUESTIONS = [
    ("GET", "/v1/uploads/{id}", None),
    ("POST", "/v1/uploads/{id}/complete", {"part_ids": ["part_x"]}),
    ("POST", "/v1/uploads/{id}/cancel", None),
]


@pytest.fixture
def file_id(client: httpx.Client) -> str:
    made = client.post(
        "/v1/files", data={"purpose": "user_data"}, files={"file": ("secret.txt", SECRET, "text/plain")}
    )
    found: str = made.json()["id"]
    return found


@pytest.fixture
def upload_id(client: httpx.Client) -> str:
    found: str = client.post("/v1/uploads", json=UPLOAD).json()["id"]
    return found


def ask(client: httpx.Client, question: tuple[str, str, Any], wanted: str) -> httpx.Response:
    method, path, body = question
    return client.request(method, path.format(id=wanted), json=body)


def without(answer: httpx.Response, wanted: str) -> tuple[int, str]:
    """What the caller learns, apart from the id that they sent themselves."""
    return answer.status_code, answer.text.replace(wanted, "ID")


def has_leaked(answer: httpx.Response) -> bool:
    return SECRET in answer.content or "secret.txt" in answer.text or "secret.txt" in str(answer.headers)


@pytest.mark.parametrize("question", FILE_QUESTIONS, ids=lambda question: f"{question[0]} {question[1]}")
def test_a_foreign_file_is_the_same_as_none(
    rival_client: httpx.Client, client: httpx.Client, file_id: str, question: tuple[str, str, Any]
) -> None:
    unknown = "file-" + "A" * 24
    foreign, none = ask(rival_client, question, file_id), ask(rival_client, question, unknown)
    assert without(foreign, file_id) == without(none, unknown)
    assert foreign.status_code == 404
    assert not has_leaked(foreign)
    assert client.get(f"/v1/files/{file_id}").status_code == 200


@pytest.mark.parametrize("question", UPLOAD_QUESTIONS, ids=lambda question: f"{question[0]} {question[1]}")
def test_a_foreign_upload_is_the_same_as_none(
    rival_client: httpx.Client, upload_id: str, question: tuple[str, str, Any]
) -> None:
    unknown = "upload_" + "0" * 32
    foreign, none = ask(rival_client, question, upload_id), ask(rival_client, question, unknown)
    assert without(foreign, upload_id) == without(none, unknown)
    assert foreign.status_code == 404
    assert Upload.objects.get().status == "pending"


@pytest.mark.parametrize("question", FILE_QUESTIONS, ids=lambda question: f"{question[0]} {question[1]}")
def test_a_deleted_file_is_gone_for_its_own_team_and_only_its_proof_remains(
    client: httpx.Client, rival_client: httpx.Client, file_id: str, question: tuple[str, str, Any]
) -> None:
    client.delete(f"/v1/files/{file_id}")
    for finished in (False, True):
        if finished:
            tasks.delete_copies(file_id)
        own, foreign = ask(client, question, file_id), ask(rival_client, question, file_id)
        assert own.status_code == (200 if question[1].endswith("/deletion") else 404)
        assert foreign.status_code == 404
        assert not has_leaked(own)
        assert not has_leaked(foreign)


@pytest.mark.parametrize(
    "question", [*FILE_QUESTIONS, *UPLOAD_QUESTIONS], ids=lambda question: f"{question[0]} {question[1]}"
)
def test_keys_that_ended_and_no_key_get_nowhere(
    server: Server, team: Team, actor: Actor, file_id: str, question: tuple[str, str, Any]
) -> None:
    expired = keys.create_key(actor=actor, team=team, name="expired")
    VirtualKey.objects.filter(pk=expired[0].pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    blocked = keys.create_key(actor=actor, team=team, name="blocked")
    keys.block_key(actor=actor, key=blocked[0])
    catalog.forget()
    catalog.refresh()
    for secret in (expired[1], blocked[1], "sk-nobody-knows-this-one", None):
        with server.client(secret) as someone:
            answer = ask(someone, question, file_id)
            assert answer.status_code == 401
            assert not has_leaked(answer)


def test_lists_hold_only_ones_own(client: httpx.Client, rival_client: httpx.Client, file_id: str) -> None:
    for path in ("/v1/files", "/files", "/v1/files?purpose=user_data", "/gemini/v1/files"):
        answer = rival_client.get(path)
        assert answer.json()["data"] == []
        assert not has_leaked(answer)
    after = rival_client.get("/v1/files", params={"after": file_id})
    unknown = rival_client.get("/v1/files", params={"after": "file-" + "A" * 24})
    assert (after.status_code, after.text) == (unknown.status_code, unknown.text)
    assert [row["id"] for row in client.get("/v1/files").json()["data"]] == [file_id]


def test_a_colleague_with_another_key_of_the_team_sees_the_file(
    server: Server, team: Team, actor: Actor, file_id: str
) -> None:
    _, secret = keys.create_key(actor=actor, team=team, name="colleague")
    catalog.refresh()
    with server.client(secret) as colleague:
        assert colleague.get(f"/v1/files/{file_id}/content").content == SECRET
