"""Files at one provider alone: under its own id, their owner's team's only, through every way to name it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest
from django.utils import timezone

from files import storage, tasks
from files.models import ManagedFile, ProviderFileMapping, RawFile
from portal.models import ProviderAccount
from portal.services import accounts, models
from portal.services.audit import Actor
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.portal.server import Server

PDF = samples.pdf()


@pytest.fixture(scope="module")
def running_fakes() -> Iterator[FakeServers]:
    with FakeServers() as servers:
        yield servers


@pytest.fixture
def fakes(running_fakes: FakeServers) -> FakeServers:
    running_fakes.reset()
    return running_fakes


@pytest.fixture(autouse=True)
def at_gemini(fakes: FakeServers, transactional_db: None, actor: Actor) -> ProviderAccount:
    account = _account(actor, "gemini", fakes.gemini_url, "AIza-blue-0123456789abcdef", "browser")
    for name in ("gemini-3.5-flash",):
        models.create_deployment(actor=actor, model_name=name, account=account, provider_model=name)
    return account


@pytest.fixture(autouse=True)
def at_openai(fakes: FakeServers, transactional_db: None, actor: Actor) -> ProviderAccount:
    """No model is served from here: it is an entry of files_settings."""
    return _account(actor, "openai", fakes.openai_url, "sk-fake-blue-0123456789abcdef", "files_settings")


def _account(actor: Actor, provider: str, address: str, key: str, origin: str) -> ProviderAccount:
    return accounts.create_account(
        actor=actor,
        name=provider,
        provider=provider,
        api_base=address,
        secrets={"api_key": key},
        origin=origin,
    )


def upload(client: httpx.Client, path: str = "/v1/files", **options: Any) -> httpx.Response:
    data = {"purpose": "user_data", **options.pop("data", {})}
    return client.post(path, data=data, files={"file": ("a.pdf", PDF)}, **options)


def left_at(fake: Any) -> list[dict[str, Any]]:
    return [row for row in fake.files() if not row["gone"]]


def ask(client: httpx.Client, model: str, file_id: str) -> httpx.Response:
    content = [{"type": "text", "text": "What is it?"}, {"type": "file", "file": {"file_id": file_id}}]
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    return client.post("/v1/chat/completions", json=body)


@pytest.mark.parametrize(
    "how",
    [
        {"path": "/gemini/v1/files"},
        {"headers": {"custom-llm-provider": "gemini"}},
        {"params": {"custom_llm_provider": "gemini"}},
        {"params": {"provider": "gemini"}},
        {"data": {"custom_llm_provider": "gemini"}},
    ],
    ids=["path", "header", "query", "query provider", "body"],
)
def test_a_file_goes_to_the_named_provider_alone(
    client: httpx.Client, fakes: FakeServers, how: dict[str, Any]
) -> None:
    answer = upload(client, **how)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    (remote,) = left_at(fakes.gemini)
    assert body["id"] == f"files/{remote['id']}"
    assert (body["object"], body["bytes"], body["filename"]) == ("file", len(PDF), "a.pdf")
    assert body["expires_at"] > body["created_at"]
    assert left_at(fakes.openai) == []
    assert not ManagedFile.objects.exists()
    assert not ProviderFileMapping.objects.exists()


def test_named_models_make_it_a_managed_file_all_the_same(client: httpx.Client) -> None:
    both = {"custom_llm_provider": "gemini", "target_model_names": "gemini-3.5-flash"}
    assert upload(client, data=both).json()["id"].startswith("file-")
    assert ManagedFile.objects.count() == 1
    assert not RawFile.objects.exists()


def test_its_life_with_the_official_client(server: Server, secret: str, fakes: FakeServers) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0) as client:
        named: dict[str, Any] = {"extra_body": {"custom_llm_provider": "openai"}}
        made = client.files.create(file=("data.jsonl", b'{"a": 1}\n'), purpose="fine-tune", **named)
        other = client.files.create(file=("b.txt", b"managed"), purpose="user_data")
        assert [file.id for file in client.files.list()] == [other.id, made.id]
        assert [file.id for file in client.files.list(limit=1)] == [other.id, made.id]
        alone = client.files.list(extra_query={"custom_llm_provider": "openai"})
        assert [file.id for file in alone] == [made.id]
        assert client.files.retrieve(made.id, **named).filename == "data.jsonl"
        assert client.files.content(made.id, **named).content == b'{"a": 1}\n'
        assert client.files.delete(made.id, **named).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(made.id)
        assert [file.id for file in client.files.list()] == [other.id]
    assert left_at(fakes.openai) == []
    assert not RawFile.objects.exists()


def test_it_is_used_in_chats_at_its_provider_by_its_team_alone(
    client: httpx.Client,
    rival_client: httpx.Client,
    fakes: FakeServers,
    actor: Actor,
    at_openai: ProviderAccount,
) -> None:
    models.create_deployment(actor=actor, model_name="gpt", account=at_openai, provider_model="gpt-5.4")
    raw_id = upload(client, "/gemini/v1/files").json()["id"]
    answer = ask(client, "gemini-3.5-flash", raw_id)
    assert answer.status_code == 200, answer.text
    assert RawFile.objects.get().sha256 in answer.text
    assert len(fakes.gemini.uploads()) == 1
    elsewhere = ask(client, "gpt", raw_id)
    assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (400, "unsupported_file")
    before = len(fakes.gemini.requests())
    refused = ask(rival_client, "gemini-3.5-flash", raw_id)
    unknown = ask(rival_client, "gemini-3.5-flash", "files/unknown12345")
    assert refused.status_code == unknown.status_code == 404
    assert refused.text.replace(raw_id, "ID") == unknown.text.replace("files/unknown12345", "ID")
    assert len(fakes.gemini.requests()) == before, "nothing foreign goes upstream"


def test_a_neighbour_finds_nothing_under_a_raw_id(client: httpx.Client, rival_client: httpx.Client) -> None:
    raw_id = upload(client, "/gemini/v1/files").json()["id"]
    for path in (f"/v1/files/{raw_id}", f"/gemini/v1/files/{raw_id}", f"/v1/files/{raw_id}/content"):
        assert rival_client.get(path).status_code == 404
        assert client.get(path).status_code == 200
    assert rival_client.delete(f"/v1/files/{raw_id}").status_code == 404
    assert rival_client.get("/gemini/v1/files").json()["data"] == []
    assert [row["id"] for row in client.get("/gemini/v1/files").json()["data"]] == [raw_id]
    assert client.get("/openai/v1/files").json()["data"] == []
    assert client.get(f"/openai/v1/files/{raw_id}").status_code == 404


def test_a_deletion_while_the_provider_is_away_is_finished_later(
    client: httpx.Client, fakes: FakeServers
) -> None:
    raw_id = upload(client, "/gemini/v1/files").json()["id"]
    fakes.gemini.fault(method="DELETE", status=503, times=-1)
    assert client.delete(f"/v1/files/{raw_id}").json() == {"id": raw_id, "object": "file", "deleted": True}
    assert client.get(f"/v1/files/{raw_id}").status_code == 404
    tasks.sweep_copies()
    assert len(left_at(fakes.gemini)) == 1
    fakes.gemini.clear_faults()
    tasks.sweep_copies()
    assert left_at(fakes.gemini) == []
    assert list(storage.blobs("local")) == [] or not RawFile.objects.exists()


def test_an_upload_that_the_provider_refuses_leaves_nothing(client: httpx.Client, fakes: FakeServers) -> None:
    before = {blob.key for blob in storage.blobs("local")}
    fakes.gemini.fault(path="upload", status=400, times=-1)
    answer = upload(client, "/gemini/v1/files")
    assert 400 <= answer.status_code < 600
    assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}
    assert not RawFile.objects.exists()
    assert {blob.key for blob in storage.blobs("local")} == before


def test_what_a_crash_interrupted_is_removed_at_the_provider(
    client: httpx.Client, fakes: FakeServers
) -> None:
    upload(client, "/gemini/v1/files")
    # As if the worker had died between the provider's answer and its own commit.
    RawFile.objects.update(state="uploading", provider_file_id="", uri="")
    tasks.sweep_copies()
    assert RawFile.objects.exists(), "it may still be under way"
    RawFile.objects.update(created_at=timezone.now() - timedelta(hours=7))
    tasks.sweep_copies()
    assert not RawFile.objects.exists()
    assert left_at(fakes.gemini) == []


def test_places_that_contradict_each_other_are_named(client: httpx.Client) -> None:
    answer = client.get("/gemini/v1/files", params={"custom_llm_provider": "openai"})
    assert answer.status_code == 400
    assert "path" in answer.json()["error"]["message"]
    assert "query" in answer.json()["error"]["message"]
    assert client.get("/nobody/v1/files").status_code == 400


def test_a_body_may_name_the_provider_on_every_verb(client: httpx.Client) -> None:
    raw_id = upload(client, "/gemini/v1/files").json()["id"]
    body = {"custom_llm_provider": "openai"}
    assert client.request("GET", "/v1/files", json=body).json()["data"] == []
    assert client.request("GET", f"/v1/files/{raw_id}", json=body).status_code == 404
    assert client.request("DELETE", f"/v1/files/{raw_id}", json=body).status_code == 404
    body = {"custom_llm_provider": "gemini"}
    assert client.request("DELETE", f"/v1/files/{raw_id}", json=body).json()["deleted"] is True


def test_a_managed_file_is_the_same_under_every_provider(client: httpx.Client) -> None:
    file_id = upload(client).json()["id"]
    for provider in ("gemini", "openai"):
        assert client.get(f"/{provider}/v1/files/{file_id}").json()["id"] == file_id
