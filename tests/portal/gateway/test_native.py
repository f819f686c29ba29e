"""Google's SDKs work against Portico with a virtual key, and nothing of the account's key comes back."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from google import genai
from google.genai import errors, types
from hypothesis import given
from hypothesis import strategies as st

from files.database import in_thread
from portal.gateway.native import METHODS, _file_data
from portal.gateway.native_stream import Array, Pieces, Reader
from portal.models import VirtualKey
from portal.services import catalog, keys
from portal.services.access import Caller
from portal.services.audit import Actor
from providers import registry
from providers.errors import RateLimited, UpstreamInvalid, UpstreamUnavailable
from providers.gemini.native import NATIVE, with_model
from tests.fakes.server import FakeServers
from tests.portal.gateway.conftest import GEMINI_KEY, Rows, Serve
from tests.portal.gateway.test_files import FILM, upload

pytestmark = pytest.mark.django_db(transaction=True)

ASKED: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def google(gateway: str, secret: str) -> genai.Client:
    retries = types.HttpRetryOptions(attempts=1)
    options = types.HttpOptions(base_url=f"{gateway}/gemini", retry_options=retries)
    return genai.Client(api_key=secret, vertexai=False, http_options=options)


TWICE = {"contents": [{"parts": [{"fileData": {"fileUri": "https://youtu.be/x", "file_uri": "file-x"}}]}]}


@asynccontextmanager
async def post(
    gateway: str, path: str, body: Any = None, **headers: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway + path, json=ASKED if body is None else body, headers=sent) as got,
    ):
        yield got


async def test_google_s_sdk_generates_counts_and_embeds(
    serve: Serve, gateway: str, secret: str, providers: FakeServers, rows: Rows
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    await serve("vectors", "gemini", "gemini-embedding-001", mode="embedding")

    def use() -> types.GenerateContentResponse:
        with google(gateway, secret) as client:
            answered = client.models.generate_content(model="flash", contents="Hello there")
            counted = client.models.count_tokens(model="flash", contents="Hello there")
            assert (counted.total_tokens or 0) > 0
            embedded = client.models.embed_content(model="vectors", contents=["a", "b"])
            assert len(embedded.embeddings or []) == 2
            assert [model.name for model in client.models.list()] == ["models/flash", "models/vectors"]
            return answered

    answered = await asyncio.to_thread(use)
    assert "Hello there" in (answered.text or "")
    sent = providers.gemini.requests(path="models")
    assert all(secret not in str(request) and "key=" not in request["path"] for request in sent)
    generated, counting, embedding = await rows()
    assert (generated.model, generated.provider_model) == ("flash", "gemini-2.5-flash")
    assert generated.input_tokens == answered.usage_metadata.prompt_token_count  # type: ignore[union-attr] # there is usage
    assert generated.cost is not None
    assert generated.cost > 0
    assert counting.cost == Decimal(0)
    assert embedding.input_tokens > 0


async def test_google_s_sdk_streams(serve: Serve, gateway: str, secret: str, rows: Rows):
    await serve("flash", "gemini", "gemini-2.5-flash")

    def use() -> list[types.GenerateContentResponse]:
        with google(gateway, secret) as client:
            return list(client.models.generate_content_stream(model="flash", contents="Tell me a long story"))

    pieces = await asyncio.to_thread(use)
    assert len(pieces) > 1
    assert "long story" in "".join(piece.text or "" for piece in pieces)
    (row,) = await rows()
    assert (row.status, row.is_stream, row.is_estimated) == (200, True, False)
    assert row.output_tokens > 0


async def test_vertex_s_addresses_use_the_account_s_own_project(
    serve: Serve, gateway: str, secret: str, providers: FakeServers, rows: Rows
):
    await serve("flash", "vertex_ai", "gemini-2.5-flash")

    def use() -> list[str | None]:
        options = types.HttpOptions(base_url=f"{gateway}/vertex_ai", api_version="v1")
        with genai.Client(vertexai=True, api_key=secret, http_options=options) as client:
            answered = client.models.generate_content(model="flash", contents="Hello there")
            stream = client.models.generate_content_stream(model="flash", contents="And again")
            return [answered.text, "".join(piece.text or "" for piece in stream)]

    whole, streamed = await asyncio.to_thread(use)
    assert "Hello there" in (whole or "")
    assert "And again" in (streamed or "")
    place = "/vertex_ai/v1/projects/elsewhere/locations/mars-1/publishers/google/models"
    async with post(gateway, f"{place}/flash:generateContent", x_goog_api_key=secret) as response:
        assert response.status == 200
    asked = [request["path"] for request in providers.vertex.requests(path="enerateContent")]
    assert len(asked) == 3
    assert all("projects/alpha/locations/europe-west1" in path for path in asked)
    assert [row.output_tokens > 0 for row in await rows()] == [True, True, True]


async def test_a_stream_without_events_is_one_array(serve: Serve, gateway: str, secret: str):
    await serve("flash", "gemini", "gemini-2.5-flash")
    path = "/gemini/v1beta/models/flash:streamGenerateContent"
    async with post(gateway, path, x_goog_api_key=secret) as response:
        assert response.content_type == "application/json"
        answered = await response.json()
    assert len(answered) > 1
    assert answered[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize(
    "path",
    [
        "/gemini/v1beta/models/flash:generateContent",
        "/gemini/v1/models/flash:generateContent",
        "/v1beta/models/flash:generateContent",
        "/gemini/v1beta/models/gemini-2.5-flash:generateContent",
    ],
)
async def test_each_address_and_each_place_for_the_key_works(
    path: str, serve: Serve, gateway: str, secret: str, providers: FakeServers
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    for headers in ({"authorization": f"Bearer {secret}"}, {"x_api_key": secret}, {"x_goog_api_key": secret}):
        async with post(gateway, path, **headers) as response:
            assert response.status == 200
    async with post(gateway, f"{path}?key={secret}&alt=json") as response:
        assert response.status == 200
        assert GEMINI_KEY not in str(response.headers) + await response.text()
    assert secret not in str(providers.gemini.requests())


async def test_the_key_in_the_address_is_for_google_s_addresses_alone(
    serve: Serve, gateway: str, secret: str
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    async with post(gateway, f"/v1/chat/completions?key={secret}") as response:
        assert response.status == 401


async def test_a_model_that_the_key_may_not_use_is_not_there(
    serve: Serve, gateway: str, key: VirtualKey, secret: str, actor: Actor
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    await serve("other", "gemini", "gemini-2.5-pro")

    def narrow() -> None:
        keys.update_key(actor=actor, key=key, allowed_models=["other"])
        catalog.refresh()

    def use() -> None:
        with google(gateway, secret) as client:
            for name in ("flash", "gemini-2.5-flash", "nothing"):
                with pytest.raises(errors.ClientError) as refused:
                    client.models.generate_content(model=name, contents="x")
                assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")
            assert [model.name for model in client.models.list()] == ["models/other"]

    await in_thread(narrow)
    await asyncio.to_thread(use)
    # A body that names another model than the address reaches the one that was checked.
    body = {"generateContentRequest": {"model": "models/gemini-3-pro", **ASKED}}
    async with post(gateway, "/v1beta/models/other:countTokens", body, x_api_key=secret) as response:
        assert response.status == 200


async def test_a_managed_file_is_shown_by_its_id_and_a_neighbours_is_not_there(
    serve: Serve, gateway: str, secret: str, rival_secret: str, caller: Caller
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    file = await upload(caller, FILM, "film.mp4")
    path = "/gemini/v1beta/models/flash:generateContent"
    for uri in (file.pk, f"files/{file.pk}", f"{gateway}/gemini/v1beta/files/{file.pk}"):
        part = {"fileData": {"mimeType": "video/mp4", "fileUri": uri}}
        body = {"contents": [{"role": "user", "parts": [{"text": "What is this?"}, part]}]}
        async with post(gateway, path, body, x_goog_api_key=secret) as response:
            answered = await response.json()
        assert response.status == 200
        assert "video/mp4" in answered["candidates"][0]["content"]["parts"][0]["text"]
        async with post(gateway, path, body, x_goog_api_key=rival_secret) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (404, "file_not_found")


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/gemini/upload/v9/files"),
        ("POST", "/gemini/v1beta/files:register"),
        ("GET", "/gemini/v1beta/cachedContents"),
        ("DELETE", "/gemini/v1beta/fileSearchStores/abc"),
    ],
)
async def test_what_belongs_to_no_team_is_not_passed_on(
    verb: str, path: str, gateway: str, secret: str, providers: FakeServers
):
    async with (
        aiohttp.ClientSession() as session,
        session.request(verb, gateway + path, headers={"x-goog-api-key": secret}) as response,
    ):
        error = (await response.json())["error"]
    assert (response.status, error["code"], error["status"]) == (404, "unsupported_route", "NOT_FOUND")
    assert "/v1/files" in error["message"]
    assert providers.gemini.requests() == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/gemini/v1beta/models/flash:deleteEverything", ASKED, 400),
        ("/gemini/v9/models/flash:generateContent", ASKED, 400),
        ("/gemini/v1beta/models/flash", ASKED, 400),
        ("/gemini/v1beta/models/flash:generateContent", {"contents": 7}, 400),
        ("/gemini/v1beta/models/flash:generateContent", {"contents": [], "bogus": 1}, 400),
        ("/gemini/v1beta/models/flash:batchEmbedContents", {"requests": [1]}, 400),
        ("/gemini/v1beta/models/flash:generateContent", TWICE, 400),
        ("/gemini/v1beta/models/flash:generateContent", ASKED | {"tools": [{"fileSearch": {}}]}, 400),
        ("/gemini/v1beta/nonsense", {}, 404),
        ("/vertex_ai/v1/projects/p/locations/l/publishers/google/models/flash:generateContent", ASKED, 400),
    ],
)
async def test_refusals_are_openai_shaped_with_google_s_word(
    path: str, body: Any, status: int, serve: Serve, gateway: str, secret: str
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    async with post(gateway, path, body, x_goog_api_key=secret) as response:
        answered = await response.json()
    assert response.status == status
    assert set(answered["error"]) == {"message", "type", "param", "code", "status"}


async def test_an_upstream_failure_is_retried_and_settled(
    serve: Serve, gateway: str, secret: str, providers: FakeServers, rows: Rows
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    providers.gemini.fault(path="generateContent", status=503, times=1)
    async with post(gateway, "/v1beta/models/flash:generateContent", x_api_key=secret) as response:
        assert response.status == 200
        assert response.headers["x-portico-attempts"] == "2"
    assert len((await rows())[0].attempts) == 2


async def test_without_a_key_nothing_is_asked(gateway: str, providers: FakeServers):
    async with post(gateway, "/gemini/v1beta/models/flash:generateContent") as response:
        assert response.status == 401
    async with post(gateway, "/gemini/v1beta/models/flash:generateContent?key=wrong") as response:
        assert response.status == 401
        assert "wrong" not in await response.text()
    assert providers.gemini.requests() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["contents", "parts", "requests", "model", "fileData", "fileUri", "generateContentRequest"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["contents", "requests", "generateContentRequest"]), JSON))
def test_no_body_breaks_the_search_for_files_or_the_exchange_of_the_model(body: dict[str, Any]):
    before = copy.deepcopy(body)
    found = [reference.value for reference, _ in _file_data(body)]
    assert all(found)
    for method in METHODS:
        sent = with_model(body, "models/checked", method)
        assert "checked" in str(sent) or "model" not in sent
    assert body == before


def test_an_error_in_a_stream_is_the_house_s_own():
    reader = Reader(NATIVE, registry.PROVIDERS["gemini"])
    said = b'data: {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}\r\n\r\n'
    assert len(reader.feed(said)) == 1
    with pytest.raises(UpstreamInvalid):
        reader.finish()
    broken = Reader(NATIVE, registry.PROVIDERS["gemini"])
    with pytest.raises(RateLimited):
        broken.feed(b'data: {"error": {"code": 429, "message": "slow down", "status": "X"}}\r\n\r\n')
    late = Reader(NATIVE, registry.PROVIDERS["gemini"])
    assert len(late.feed(said + b'data: {"error": {"code": 503, "message": "gone"}}\r\n\r\n')) == 1
    with pytest.raises(UpstreamUnavailable):
        late.feed(b"")
    for nonsense in (b"data: nope\r\n\r\n", b"data: 7\r\n\r\n"):
        with pytest.raises(UpstreamInvalid):
            Reader(NATIVE, registry.PROVIDERS["gemini"]).feed(nonsense)


def test_a_key_that_a_provider_repeats_does_not_reach_the_caller():
    for framing in (Pieces([b"AIza-secret"]), Array([b"AIza-secret"])):
        assert b"AIza-secret" not in framing.encode({"text": "it is AIza-secret"})
        assert b"[redacted]" in framing.encode({"text": "it is AIza-secret"})
