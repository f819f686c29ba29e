"""Context caching: the beginning of a conversation, marked with `cache_control`, kept at Google.

https://ai.google.dev/gemini-api/docs/caching
https://ai.google.dev/api/caching
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson

from providers.errors import InvalidRequest, PorticoError, UpstreamInvalid
from providers.gemini import endpoint
from providers.gemini.chat_errors import from_error
from providers.gemini.chat_request import encode, is_stream, to_body
from providers.gemini.parts import NOT_CACHED
from providers.gemini.spec import generation_of
from providers.types import (
    CacheSplit,
    ChatCall,
    Connection,
    Flow,
    HttpRequest,
    HttpResponse,
    Json,
    RemoteCache,
)

CACHED_FIELDS: Final = ("systemInstruction", "tools", "toolConfig")
"""What belongs to the cache as a whole; Google refuses it beside one."""
LONGEST_SECONDS: Final = 24 * 3600
"""Ours: what is kept is paid by the hour."""
DEFAULT_SECONDS: Final = 3600
"""Google's own, where the caller names no time."""
DISPLAY_NAME: Final = "portico"
_SYSTEM: Final = frozenset({"system", "developer"})
_TTL = re.compile(r"(\d{1,9})(?:\.\d+)?\s*(s|m|h|d)?")
_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def to_creation(connection: Connection, call: ChatCall, body: Json) -> HttpRequest:
    """The request that makes a cache at AI Studio."""
    named = {"model": endpoint.model_path(call.model), **body}
    url = endpoint.url(connection, "cachedContents")
    return HttpRequest("POST", url, endpoint.headers(connection), encode(named))


def to_request(connection: Connection, call: ChatCall, body: Json) -> HttpRequest:
    """The chat request of AI Studio with a given body."""
    path = endpoint.model_path(call.model)
    streams = is_stream(call)
    method = "streamGenerateContent" if streams else "generateContent"
    url = endpoint.url(connection, f"{path}:{method}", {"alt": "sse"} if streams else None)
    return HttpRequest("POST", url, endpoint.headers(connection), encode(body))


@dataclass(frozen=True, slots=True)
class Caches:
    """types.ContextCaches for one of Google's two hosts."""

    to_body: Callable[[ChatCall], Json]
    to_creation: Callable[[Connection, ChatCall, Json], HttpRequest]
    to_request: Callable[[Connection, ChatCall, Json], HttpRequest]
    from_error: Callable[[HttpResponse], PorticoError]

    def split(self, call: ChatCall) -> CacheSplit | None:
        """None when nothing is marked or nothing of it can be cached; why is then a warning of the call."""
        cut = _cut(call.body)
        if cut is None or call.body.get("cached_content") or call.body.get("cachedContent"):
            return None
        draft = replace(call, warnings=[])
        whole = self.to_body(draft)
        prefix = self._beginning(call, cut)
        rest = _without(whole.get("contents", []), prefix)
        if rest is None or "cachedContent" in whole:
            return None
        content: Json = {name: whole[name] for name in CACHED_FIELDS if name in whole}
        if prefix:
            content["contents"] = prefix
        if not content.keys() - {"tools", "toolConfig"}:
            return None
        if not _may_be_large_enough(content, call.model):
            call.warnings.append("cache_control was not applied: the marked beginning is too short")
            return None
        call.warnings.extend(warning for warning in draft.warnings if warning != NOT_CACHED)
        remaining = {name: value for name, value in whole.items() if name not in CACHED_FIELDS}
        shown = orjson.dumps([call.model, content], option=orjson.OPT_SORT_KEYS)
        key = hashlib.sha256(shown).hexdigest()
        return CacheSplit(key, content, remaining | {"contents": rest}, cut.seconds)

    def create(self, connection: Connection, call: ChatCall, split: CacheSplit) -> Flow[RemoteCache]:
        seconds = min(split.seconds or DEFAULT_SECONDS, LONGEST_SECONDS)
        body = {**split.content, "displayName": DISPLAY_NAME, "ttl": f"{seconds}s"}
        asked_at = time.time()
        response = yield self.to_creation(connection, call, body)
        assert response is not None
        if not 200 <= response.status < 300:
            raise self.from_error(response)
        return _from_resource(response, asked_at + seconds)

    def to_chat(
        self, connection: Connection, call: ChatCall, split: CacheSplit, cache: RemoteCache
    ) -> HttpRequest:
        return self.to_request(connection, call, {**split.rest, "cachedContent": cache.name})

    def _beginning(self, call: ChatCall, cut: _Cut) -> list[Json]:
        """The contents of the messages before the cut; none when only instructions stand before it."""
        if not any(message.get("role") not in _SYSTEM for message in cut.messages):
            return []
        body = {**call.body, "messages": cut.messages}
        try:
            contents: list[Json] = self.to_body(replace(call, body=body, warnings=[])).get("contents", [])
        except InvalidRequest:  # the whole was valid, so there is nothing in the beginning: empty texts
            return []
        return contents


CACHES: Final = Caches(to_body, to_creation, to_request, from_error)

# ---- where the marked beginning ends ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cut:
    """The messages up to the end of the first marked block; the last one perhaps in part."""

    messages: list[Json]
    seconds: int | None


def _cut(body: Mapping[str, Any]) -> _Cut | None:
    """Everything up to the end of the first continuous block of marked parts.

    What stands unmarked before the block goes with it: a cache is the beginning of what the model reads, and
    the order of a conversation is not changed. Something of the user's must remain to be asked, and the
    beginning must not end with the model or a tool.
    """
    messages = body["messages"]
    place: tuple[int, int | None] | None = None
    seconds: int | None = None
    is_open = True
    for i, message in enumerate(messages):
        for j, mark in _marks(message):
            if mark is not None and is_open:
                place = (i, j)
                seconds = seconds or _seconds(mark)
            elif mark is None and place is not None:
                is_open = False
    if place is None:
        return None
    last, part = place
    end = last + 1
    if part is not None and part + 1 < len(messages[last]["content"]):
        if messages[last].get("role") == "user":
            head = {**messages[last], "content": messages[last]["content"][: part + 1]}
            return _Cut([*messages[:last], head], seconds)
        if messages[last].get("role") not in _SYSTEM:
            end = last
    if all(message.get("role") in _SYSTEM for message in messages[end:]):
        end = max((i for i, message in enumerate(messages[:end]) if message.get("role") == "user"), default=0)
    while end and messages[end - 1].get("role") not in _SYSTEM | {"user"}:
        end -= 1
    return _Cut(messages[:end], seconds)


def _marks(message: Mapping[str, Any]) -> list[tuple[int | None, Any]]:
    """(number of the part, its mark) for each part; one without a number for a message in one piece."""
    content = message.get("content")
    whole = message.get("cache_control")
    if not isinstance(content, list):
        return [(None, whole)]
    return [
        (j, whole or (part.get("cache_control") if isinstance(part, dict) else None))
        for j, part in enumerate(content)
    ]


def _seconds(mark: object) -> int | None:
    """`{"type": "ephemeral", "ttl": "5m"}` → 300."""
    ttl = mark.get("ttl") if isinstance(mark, dict) else None
    if isinstance(ttl, int | float) and not isinstance(ttl, bool):
        ttl = str(int(ttl)) if 0 < ttl < 1e9 else None
    found = _TTL.fullmatch(ttl.strip()) if isinstance(ttl, str) else None
    return int(found[1]) * _UNITS[found[2] or "s"] or None if found else None


def _without(whole: list[Json], prefix: list[Json]) -> list[Json] | None:
    """The contents after the prefix; None where they do not begin with it or nothing remains."""
    if not prefix:
        return whole or None
    at = len(prefix) - 1
    if len(whole) <= at or whole[:at] != prefix[:at] or whole[at]["role"] != prefix[at]["role"]:
        return None
    size = len(prefix[at]["parts"])
    if whole[at]["parts"][:size] != prefix[at]["parts"]:
        return None
    remaining = whole[at]["parts"][size:]
    rest = whole[at + 1 :]
    return ([{"role": whole[at]["role"], "parts": remaining}] if remaining else []) + rest or None


# ---- size -----------------------------------------------------------------------------------------


def _may_be_large_enough(content: Json, model: str) -> bool:
    """Could this reach Google's minimum? Only what certainly cannot is not even asked for."""
    if _has_media(content):
        return True
    shown = orjson.dumps(content)
    text = shown.decode()
    beyond_ascii = len(shown) - sum(1 for character in text if character < "\x80")
    return (len(shown) - beyond_ascii) / 2.5 + beyond_ascii >= least_tokens(model)


def least_tokens(model: str) -> int:
    """The fewest tokens that Google caches."""
    if generation_of(model) >= (3, 0):
        return 4096
    return 2048 if "-pro" in model else 1024


def _has_media(content: Json) -> bool:
    return any(
        "fileData" in part or "inlineData" in part
        for turn in content.get("contents", ())
        for part in turn.get("parts", ())
    )


def _from_resource(response: HttpResponse, fallback: float) -> RemoteCache:
    try:
        resource: Any = orjson.loads(response.body)
    except ValueError:
        raise UpstreamInvalid("The provider's answer is not JSON.") from None
    name = resource.get("name") if isinstance(resource, dict) else None
    if not isinstance(name, str) or not name:
        raise UpstreamInvalid("The provider's answer names no cache.")
    usage = resource.get("usageMetadata")
    tokens = usage.get("totalTokenCount") if isinstance(usage, dict) else 0
    return RemoteCache(name, tokens if isinstance(tokens, int) else 0, _moment(resource, fallback))


def _moment(resource: Json, fallback: float) -> float:
    try:
        return min(datetime.fromisoformat(str(resource["expireTime"])).timestamp(), fallback)
    except (KeyError, ValueError):
        return fallback


def is_gone(error: PorticoError) -> bool:
    """Did a request fail because its cache is not there any more?"""
    return isinstance(error, InvalidRequest) and error.param == "cached_content"
