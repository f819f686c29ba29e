"""Questions to one provider, answered by what its functions build and read; nothing is typed in by hand."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from providers import office
from providers.errors import PorticoError
from providers.types import (
    ChatCall,
    Checkpoint,
    Delivery,
    FileRef,
    Flow,
    HttpRequest,
    HttpResponse,
    InlineFile,
    Json,
    Provider,
    ProviderFile,
    SignedUrl,
    Upload,
    Wait,
)
from tests.providers.matrix.samples import EMBEDDERS, MODELS, PAINTERS, SPEAKERS, WHOLE, connection
from tests.providers.test_conformance import OURS, STREAMS

YES, SOME, NO = "yes", "some models", "–"
MIB, GIB = 2**20, 2**30
SEARCHED = 8 * GIB
"""No provider takes larger files."""

Probe = Callable[[Provider], str]


def call(provider: Provider, model: str, body: Json, files: dict[str, FileRef] | None = None) -> ChatCall:
    messages = [{"role": "user", "content": "Hello"}]
    return ChatCall(model, "m", {"model": "m", "messages": messages, **body}, files or {})


def sent(provider: Provider, model: str, body: Json, files: dict[str, FileRef] | None = None) -> bytes | None:
    """The body that would go up; None when the provider's folder refuses it or leaves something out."""
    asked = call(provider, model, body, files)
    try:
        request = provider.to_chat(connection(provider.name), asked)
    except PorticoError:
        return None
    assert isinstance(request.body, bytes)
    return None if asked.warnings else request.body


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def parts_of(*parts: Json) -> Json:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look"}, *parts]}]}


def verdict(answers: Sequence[bool]) -> str:
    return YES if all(answers) else SOME if any(answers) else NO


# ---- asking ---------------------------------------------------------------------------------------


def asks(body: Json, *marks: str) -> Probe:
    """Does a request with `body` go up holding one of the marks, whole and without a warning?"""
    wanted = [mark.encode() for mark in marks]

    def probe(provider: Provider) -> str:
        bodies = [sent(provider, model, body) for model in MODELS[provider.name]]
        return verdict([data is not None and any(mark in data for mark in wanted) for data in bodies])

    return probe


def calls_once(provider: Provider) -> str:
    """Is the provider told to call one tool at most, or are further calls kept from the caller?"""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = {"tools": [tool], "parallel_tool_calls": False}
    verdicts = []
    for model in MODELS[provider.name]:
        asked = call(provider, model, body)
        data = provider.to_chat(connection(provider.name), asked).body
        assert isinstance(data, bytes)
        calls = provider.from_chat(asked, whole(provider))["choices"][0]["message"]["tool_calls"]
        verdicts.append(b'"parallel_tool_calls":false' in data or len(calls) == 1)
    return verdict(verdicts)


def speaks(provider: Provider) -> str:
    """Is audio asked for in the provider's words, and is it found in the answer?"""
    body = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    asked = call(provider, SPEAKERS[provider.name], body)
    data = provider.to_chat(connection(provider.name), asked).body
    assert isinstance(data, bytes)
    asks_for_it = b"voice" in data and b"audio" in data.lower()
    return verdict([asks_for_it and "audio" in message(provider)])


def paints(provider: Provider) -> str:
    model = PAINTERS.get(provider.name, MODELS[provider.name][0])
    data = sent(provider, model, {"modalities": ["image", "text"]})
    asks_for_it = data is not None and b"image" in data.lower()
    return verdict([asks_for_it and "images" in message(provider)])


# ---- reading --------------------------------------------------------------------------------------


def whole(provider: Provider) -> HttpResponse:
    return HttpResponse(200, {}, orjson.dumps(WHOLE[provider.name]))


def answer(provider: Provider) -> Json:
    """The provider's richest answer as callers get it."""
    asked = call(provider, MODELS[provider.name][0], {"logprobs": True})
    return provider.from_chat(asked, whole(provider))


def message(provider: Provider) -> Json:
    found: Json = answer(provider)["choices"][0]["message"]
    return found


def tells(find: Callable[[Json], Any]) -> Probe:
    """Does the answer hold something where `find` looks?"""

    def probe(provider: Provider) -> str:
        try:
            return verdict([bool(find(answer(provider)))])
        except (KeyError, TypeError, IndexError):
            return NO

    return probe


def streams(provider: Provider) -> str:
    """Does a stream give text, a tool call and usage?"""
    body = {"stream": True, "stream_options": {"include_usage": True}}
    reader = provider.open_stream(call(provider, MODELS[provider.name][0], body))
    chunks = reader.feed(STREAMS[provider.name]) + reader.finish()
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    has_text = "".join(delta.get("content") or "" for delta in deltas) == "Grüße"
    return verdict([has_text and any("tool_calls" in delta for delta in deltas) and reader.usage is not None])


# ---- files ----------------------------------------------------------------------------------------


def shows(media_type: str, data: bytes) -> Probe:
    """How a managed file of a type is shown, by size, each way proven by a request that shows it."""

    def probe(provider: Provider) -> str:
        steps = []
        for way, limit in deliveries(provider, media_type):
            if way != "unsupported":
                assert is_shown(provider, way, media_type, data), (provider.name, media_type, way)
                steps.append(f"{WORDS[way]} to {amount(limit)}")
        return ", ".join(steps) or NO

    return probe


WORDS = {"inline": "inline", "copy": "copy", "text": "as text", "convert": "as text made of it"}


def is_shown(provider: Provider, way: Delivery, media_type: str, data: bytes) -> bool:
    shown: FileRef = InlineFile(data, media_type, "name")
    if way == "convert":
        shown = InlineFile(office.bytes_to_text(data, "name").text.encode(), office.MEDIA_TYPE, "name")
    if way == "copy":
        shown = ProviderFile("copy-id", "gs://our-bucket/portico/copy-id", media_type, "name")
    body = parts_of({"type": "file", "file": {"file_id": OURS, "format": media_type}})
    sent_body = sent(provider, MODELS[provider.name][0], body, {OURS: shown})
    return sent_body is not None and (b"copy-id" in sent_body or way != "copy")


def deliveries(provider: Provider, media_type: str) -> list[tuple[Delivery, int]]:
    """Each way with the largest size that it is taken for, found by halving."""
    found: list[tuple[Delivery, int]] = []
    size = 1
    while size <= SEARCHED:
        way = provider.delivery(media_type, size)
        low, high = size, SEARCHED
        while low < high:
            middle = (low + high + 1) // 2
            if provider.delivery(media_type, middle) == way:
                low = middle
            else:
                high = middle - 1
        found.append((way, low))
        size = low + 1
    return found


def amount(size: int) -> str:
    return f"{size // GIB} GB" if size >= GIB else f"{size // MIB} MB"


def reads(part_type: str, url: str) -> Probe:
    """Does the provider itself fetch an address?"""
    return lambda provider: verdict([provider.takes_url(part_type, url)])


def shows_signed(provider: Provider) -> str:
    """Is a file shown by an address that the provider reads itself?"""
    url = "https://our-storage.example/a.png?signature=x"
    body = parts_of({"type": "image_url", "image_url": {"url": OURS}})
    models, files = MODELS[provider.name], {OURS: SignedUrl(url, "image/png", "a.png")}
    bodies = [sent(provider, model, body, dict(files)) for model in models]
    return verdict([data is not None and url.encode() in data for data in bodies])


def keeps_copies(provider: Provider) -> str:
    if provider.files is None:
        return NO
    upload = Upload("a.pdf", "application/pdf", 10, reference=OURS)
    return begins(provider.files.create(connection(provider.name), upload))


def begins(flow: Flow[Any]) -> str:
    """Does a protocol of several steps come to a request that it would send?"""
    step: object = next(flow)
    while isinstance(step, (Checkpoint, Wait)):
        step = flow.send(None)
    return verdict([isinstance(step, HttpRequest)])


# ---- the rest of a provider's row -----------------------------------------------------------------


def embeds(provider: Provider) -> str:
    if provider.embed is None:
        return NO
    model = EMBEDDERS.get(provider.name, "text-embedding-3-small")
    asked = ChatCall(model, "m", {"model": "m", "input": "Hello"})
    return begins(provider.embed(connection(provider.name), asked))


def counts(provider: Provider) -> str:
    if provider.count_tokens is None:
        return "estimated"
    asked = call(provider, MODELS[provider.name][0], {})
    return begins(provider.count_tokens(connection(provider.name), asked))


def lists_models(provider: Provider) -> str:
    return begins(provider.list_models(connection(provider.name)))


def caches(provider: Provider) -> str:
    """Is a marked beginning of a request cut off and kept?"""
    if provider.caches is None:
        return NO
    text = {"type": "text", "text": "word " * 20_000, "cache_control": {"type": "ephemeral"}}
    body = {"messages": [{"role": "system", "content": [text]}, {"role": "user", "content": "Hello"}]}
    models = MODELS[provider.name]
    return verdict([provider.caches.split(call(provider, model, body)) is not None for model in models])


def has_own_api(provider: Provider) -> str:
    if provider.native is None:
        return NO
    body: Json = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    model = MODELS[provider.name][0]
    request = provider.native.to_request(connection(provider.name), model, "generateContent", body)
    return verdict([model in request.url])
