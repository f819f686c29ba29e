"""Office files through every door: chats, streams, Google's own API; the ledger says what was sent."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from google.genai import types

from files.database import in_thread
from portal.gateway import client
from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.models import Deployment, User
from portal.services import accounts, catalog, models
from portal.services.access import Caller
from portal.services.audit import Actor
from providers.errors import FileFailed, UnsupportedFile
from tests.fakes.server import FakeServers
from tests.portal.dashboard.conftest import PLAIN_STATICS
from tests.portal.gateway.conftest import Rows, Serve
from tests.portal.gateway.test_files import upload
from tests.portal.gateway.test_native import google

pytestmark = pytest.mark.django_db(transaction=True)
SAMPLES = Path(__file__).parents[2] / "providers" / "office" / "samples"
DOCX = (SAMPLES / "report.docx").read_bytes()
SEEN = "größer als erwartet"
DOCX_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


async def served(provider: str, serve: Serve, providers: FakeServers, actor: Actor) -> None:
    if provider != "azure":
        named = {"openai": "gpt-4.1-mini"}.get(provider, "gemini-2.5-flash")
        await serve("m", provider, named)
        return

    def make() -> Deployment:
        account = accounts.create_account(
            actor=actor,
            name="azure",
            provider="azure",
            api_base=providers.azure_url,
            secrets={"api_key": "az-fake-blue-0123456789"},
        )
        made = models.create_deployment(
            actor=actor, model_name="m", account=account, provider_model="gpt-5-mini"
        )
        catalog.refresh()
        return made

    await in_thread(make)


def asked(part: dict[str, Any], **more: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": "What does it say?"}, part]
    return {"model": "m", "messages": [{"role": "user", "content": parts}], **more}


def file_part(file_id: str) -> dict[str, Any]:
    return {"type": "file", "file": {"file_id": file_id}}


async def answered(caller: Caller, body: dict[str, Any]) -> Answer | StreamAnswer:
    answer = await chat(caller=caller, body=body, request_id="req_office", endpoint="/v1/chat/completions")
    if isinstance(answer, StreamAnswer):
        assert b"[DONE]" in b"".join([piece async for piece in answer.events])
    return answer


def sent_to(providers: FakeServers, provider: str) -> str:
    control = {
        "gemini": providers.gemini,
        "vertex_ai": providers.vertex,
        "openai": providers.openai,
        "azure": providers.azure,
    }[provider]
    last = str(control.requests()[-1])
    for found in _base64_in(last):
        last += found
    return last


def _base64_in(text: str) -> list[str]:
    found = []
    for piece in text.replace('"', "'").split("'"):
        if len(piece) > 200 and " " not in piece:
            try:
                found.append(base64.b64decode(piece, validate=True).decode())
            except ValueError:
                continue
    return found


@pytest.mark.parametrize("provider", ["gemini", "vertex_ai", "openai", "azure"])
@pytest.mark.parametrize("stream", [False, True])
async def test_models_read_the_text_of_a_managed_file(
    provider: str,
    stream: bool,
    serve: Serve,
    providers: FakeServers,
    actor: Actor,
    caller: Caller,
    rows: Rows,
    http: None,
):
    await served(provider, serve, providers, actor)
    file = await upload(caller, DOCX, "report.docx")
    answer = await answered(caller, asked(file_part(file.pk), stream=stream))
    assert SEEN in sent_to(providers, provider)
    assert "report.docx was sent as the text made of it" in answer.headers["x-portico-warnings"]
    (row,) = await rows()
    (entry,) = row.files
    assert (entry["file_id"], entry["delivery"], entry["made_from"]) == (file.pk, "text", "docx")
    assert any("report.docx" in warning for warning in row.warnings)


async def test_files_within_a_request_are_read_too(
    serve: Serve, providers: FakeServers, caller: Caller, rows: Rows, http: None
):
    await serve("m", "openai", "gpt-4.1-mini")
    data = f"data:{DOCX_TYPE};base64,{base64.b64encode(DOCX).decode()}"
    await answered(caller, asked({"type": "file", "file": {"file_data": data, "filename": "in.docx"}}))
    assert SEEN in sent_to(providers, "openai")
    (row,) = await rows()
    assert (row.files[0]["file_id"], row.files[0]["filename"]) == ("", "in.docx")


async def test_google_s_own_api_takes_them_by_id(
    serve: Serve, gateway: str, secret: str, providers: FakeServers, caller: Caller
):
    await serve("m", "gemini", "gemini-2.5-flash")
    file = await upload(caller, DOCX, "report.docx")

    def use() -> None:
        with google(gateway, secret) as sdk:
            part = types.Part.from_uri(file_uri=file.pk, mime_type=DOCX_TYPE)
            sdk.models.generate_content(model="m", contents=["Read it", part])

    await asyncio.to_thread(use)
    sent = sent_to(providers, "gemini")
    assert SEEN in sent
    assert "text/plain" in sent


async def test_a_file_that_cannot_be_read_is_a_422_that_names_it(
    serve: Serve, providers: FakeServers, caller: Caller, rows: Rows, http: None
):
    await serve("m", "gemini", "gemini-2.5-flash")
    file = await upload(caller, DOCX[:20_000], "broken.docx")
    with pytest.raises(FileFailed, match=r"broken\.docx.*cut short or damaged"):
        await answered(caller, asked(file_part(file.pk)))
    old = await upload(caller, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old.doc")
    with pytest.raises(UnsupportedFile, match=r"save the file as \.docx or PDF"):
        await answered(caller, asked(file_part(old.pk)))
    assert providers.gemini.requests() == [], "nothing goes up without its file"
    assert [(row.status, row.error_code) for row in await rows()] == [
        (422, "file_damaged"),
        (400, "unsupported_file"),
    ]
    await client.close()


async def test_the_pages_of_the_request_and_of_the_file_show_what_was_sent(
    serve: Serve, caller: Caller, rows: Rows, owner: User, settings: Any, http: None
):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("servestatic.")]
    settings.STORAGES = {**settings.STORAGES, "staticfiles": PLAIN_STATICS}
    await serve("m", "openai", "gpt-4.1-mini")
    file = await upload(caller, DOCX, "report.docx")
    await answered(caller, asked(file_part(file.pk)))
    await rows()

    def pages() -> list[str]:
        browser = Client()
        browser.force_login(owner)
        places = (
            reverse("request", args=["req_office"]),
            reverse("file", args=[file.pk]),
            reverse("file-preview", args=[file.pk]),
        )
        return [browser.get(place).content.decode() for place in places]

    request, detail, preview = await in_thread(pages)
    assert "sent as text made of the docx" in request
    assert "Sent as the text made of it" in detail
    assert SEEN in preview
