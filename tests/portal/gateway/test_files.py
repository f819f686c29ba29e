"""A request never goes out without its files, and nobody's file goes out for another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from files import raw, storage
from files import services as file_services
from files.database import in_thread
from files.models import ManagedFile
from portal.gateway import client
from portal.gateway.calls import Answer, chat
from portal.models import Deployment
from portal.services import accounts, catalog, models
from portal.services.access import Caller
from portal.services.audit import Actor
from providers.errors import FileNotFound
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.portal.gateway.conftest import Rows

FILM = samples.mp4() + bytes(16 << 20)
"""Too large to be shown inline, so it is shown as a copy."""

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def servers() -> Iterator[FakeServers]:
    with FakeServers() as running:
        yield running


@pytest.fixture
def fakes(servers: FakeServers) -> FakeServers:
    servers.gemini.reset()
    servers.openai.reset()
    return servers


@pytest.fixture
def deployments(fakes: FakeServers, caller: Caller, rival_caller: Caller, actor: Actor) -> list[Deployment]:
    """The models `flash` at Gemini and `gpt` at OpenAI, for both teams."""
    made = []
    for name, provider, base, key, upstream in (
        ("flash", "gemini", fakes.gemini_url, "AIza-blue-1", "gemini-2.5-flash"),
        ("gpt", "openai", fakes.openai_url, "sk-fake-blue-1", "gpt-4.1-mini"),
    ):
        account = accounts.create_account(
            actor=actor, name=name, provider=provider, api_base=base, secrets={"api_key": key}
        )
        made.append(
            models.create_deployment(actor=actor, model_name=name, account=account, provider_model=upstream)
        )
    catalog.refresh()
    return made


async def upload(caller: Caller, data: bytes, filename: str) -> ManagedFile:
    ingest = await storage.begin("local")
    await ingest.write(data)
    return await in_thread(
        lambda stored: file_services.create_file(
            caller=caller, stored=stored, filename=filename, purpose="user_data", declared_media_type=""
        ),
        await ingest.finish(),
    )


async def ask(caller: Caller, model: str, *ids: str) -> Answer:
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What is in the files?"}]
    parts += [{"type": "file", "file": {"file_id": file_id}} for file_id in ids]
    body = {"model": model, "messages": [{"role": "user", "content": parts}]}
    try:
        answered = await chat(caller=caller, body=body, request_id="req_test", endpoint="chat")
    finally:
        await client.close()
    assert isinstance(answered, Answer)
    return answered


def text_of(answered: Answer) -> str:
    return str(answered.body["choices"][0]["message"]["content"])


@pytest.mark.parametrize("model", ["flash", "gpt"])
async def test_a_model_sees_the_very_bytes_of_the_file(
    model: str, deployments: list[Deployment], caller: Caller, rows: Rows
):
    file = await upload(caller, samples.pdf("the truth"), "truth.pdf")
    answered = await ask(caller, model, file.pk)
    assert file.sha256 in text_of(answered)
    (row,) = await rows()
    assert (row.status, row.files[0]["file_id"]) == (200, file.pk)


async def test_a_rivals_file_is_no_file_and_reaches_no_provider(
    deployments: list[Deployment], fakes: FakeServers, caller: Caller, rival_caller: Caller, rows: Rows
):
    file = await upload(rival_caller, samples.pdf(), "secret.pdf")
    told = []
    for file_id in (file.pk, "file-" + "x" * 24):
        with pytest.raises(FileNotFound) as refused:
            await ask(caller, "flash", file_id)
        told.append(refused.value.message.replace(file_id, "ID"))
    assert told[0] == told[1]
    assert fakes.gemini.requests() == []
    assert {row.status for row in await rows()} == {404}


async def test_a_copy_that_the_provider_lost_is_made_again_once(
    deployments: list[Deployment], fakes: FakeServers, caller: Caller, rows: Rows
):
    file = await upload(caller, FILM, "film.mp4")
    await ask(caller, "flash", file.pk)
    (lost,) = fakes.gemini.files()
    fakes.gemini.lose(lost["id"])
    answered = await ask(caller, "flash", file.pk)
    assert re.search(r"received: video/mp4", text_of(answered))
    assert answered.headers["x-portico-attempts"] == "2"
    assert len(fakes.gemini.files()) == 2
    first, second = await rows()
    assert (first.status, second.status) == (200, 200)
    assert [attempt["code"] for attempt in second.attempts] == ["upstream_file_gone", ""]


async def test_a_file_at_one_provider_alone_is_made_again_when_it_was_lost(
    deployments: list[Deployment], fakes: FakeServers, caller: Caller, rows: Rows
):
    async with await storage.begin("local") as ingest:
        await ingest.write(samples.pdf() + bytes(16 << 20))
        stored = await ingest.finish()
    row = await in_thread(
        lambda: raw.create_raw_file(
            caller=caller,
            stored=stored,
            filename="large.pdf",
            purpose="user_data",
            account_id=deployments[0].account_id,
        )
    )
    await ask(caller, "flash", row.provider_file_id)
    (lost,) = fakes.gemini.files()
    fakes.gemini.lose(lost["id"])
    for attempts in ("2", "1"):
        answered = await ask(caller, "flash", row.provider_file_id)
        assert re.search(r"received: application/pdf", text_of(answered))
        assert answered.headers["x-portico-attempts"] == attempts
    assert len(fakes.gemini.files()) == 2


async def test_the_account_that_holds_the_file_is_asked(
    deployments: list[Deployment], fakes: FakeServers, caller: Caller, actor: Actor
):
    def second_account() -> Deployment:
        account = accounts.create_account(
            actor=actor,
            name="another project",
            provider="gemini",
            api_base=fakes.gemini_url,
            secrets={"api_key": "AIza-other-1"},
        )
        made = models.create_deployment(
            actor=actor, model_name="flash", account=account, provider_model="gemini-2.5-flash"
        )
        catalog.refresh()
        return made

    await in_thread(second_account)
    file = await upload(caller, FILM, "film.mp4")
    for _ in range(6):
        await ask(caller, "flash", file.pk)
    assert sum(fakes.gemini.uploads().values()) == 1
