"""cachedContents: create, read, list, change, delete, and use (https://ai.google.dev/api/caching)."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from tests.fakes.answers import Media
from tests.fakes.clock import timestamp
from tests.fakes.control import read_body
from tests.fakes.gemini import errors, shapes
from tests.fakes.gemini.contents import check_contents, check_system
from tests.fakes.gemini.files import page
from tests.fakes.gemini.media import media_in
from tests.fakes.gemini.models import Model, model_for
from tests.fakes.gemini.state import GeminiFake, fake_of
from tests.fakes.gemini.tokens import prompt_tokens

DEFAULT_SECONDS = 3600


@dataclass
class Cache:
    cache_id: str
    project: str
    model: str
    display_name: str
    media: list[Media]
    tokens: int
    created: float
    updated: float
    expires: float

    def resource(self) -> dict[str, Any]:
        return {
            "name": f"cachedContents/{self.cache_id}",
            "model": f"models/{self.model}",
            **({"displayName": self.display_name} if self.display_name else {}),
            "createTime": timestamp(self.created),
            "updateTime": timestamp(self.updated),
            "expireTime": timestamp(self.expires),
            "usageMetadata": {"totalTokenCount": self.tokens},
        }


def find(fake: GeminiFake, project: str, cache_id: str) -> Cache:
    cache: Cache | None = fake.caches.get(cache_id)
    if cache is None or cache.project != project or fake.clock.now() >= cache.expires:
        raise errors.GeminiError(403, "CachedContent not found (or permission denied)")
    return cache


def cache_for(fake: GeminiFake, project: str, model: Model, body: dict[str, Any]) -> Cache | None:
    """The cache a request names, checked as Gemini checks it."""
    name = body.get("cachedContent")
    if not name:
        return None
    cache = find(fake, project, str(name).removeprefix("cachedContents/"))
    if cache.model != model.name:
        raise errors.invalid(
            f"Model used by GenerateContent request (models/{model.name}) and CachedContent "
            f"(models/{cache.model}) has to be the same."
        )
    if any(key in body for key in ("systemInstruction", "tools", "toolConfig")):
        raise errors.invalid(
            "CachedContent can not be used with GenerateContent request setting system_instruction, "
            "tools or tool_config."
        )
    return cache


async def create_cache(request: web.Request) -> web.Response:
    fake = fake_of(request)
    project = fake.require_project(request)
    body = shapes.checked(parsed(await read_body(request)), "CachedContent")
    name = str(body.get("model", "")).removeprefix("models/")
    model = model_for(name, request.match_info["version"], "createCachedContent")
    contents = body.get("contents") or []
    if contents:
        check_contents(model, contents, check_signatures=False, require_call_ids=False)
    if "systemInstruction" in body:
        check_system(body["systemInstruction"])
    media = media_in(fake, project, model, contents)
    tokens = prompt_tokens(body, media).total()
    least = 4096 if model.is_pro else 1024
    if tokens < least:
        raise errors.invalid(
            f"Cached content is too small. total_token_count={tokens}, min_total_token_count={least}"
        )
    now = fake.clock.now()
    cache = Cache(
        cache_id=secrets.token_hex(12),
        project=project,
        model=model.name,
        display_name=str(body.get("displayName", "")),
        media=media,
        tokens=tokens,
        created=now,
        updated=now,
        expires=expiry(body, now),
    )
    fake.caches[cache.cache_id] = cache
    return web.json_response(cache.resource(), headers=errors.HEADERS)


async def one_cache(request: web.Request) -> web.Response:
    fake = fake_of(request)
    cache = find(fake, fake.require_project(request), request.match_info["cache_id"])
    match request.method:
        case "DELETE":
            del fake.caches[cache.cache_id]
            return web.json_response({}, headers=errors.HEADERS)
        case "PATCH":
            body = shapes.checked(parsed(await read_body(request)), "CachedContent")
            if set(body) - {"ttl", "expireTime", "name", "model"}:
                raise errors.invalid("Only ttl and expire_time can be updated.")
            now = fake.clock.now()
            cache.expires, cache.updated = expiry(body, now), now
    return web.json_response(cache.resource(), headers=errors.HEADERS)


async def list_caches(request: web.Request) -> web.Response:
    fake = fake_of(request)
    project, now = fake.require_project(request), fake.clock.now()
    rows = [cache for cache in fake.caches.values() if cache.project == project and now < cache.expires]
    shown, token = page(request, rows, largest=1000)
    answer: dict[str, Any] = {"cachedContents": [cache.resource() for cache in shown]} if shown else {}
    if token:
        answer["nextPageToken"] = token
    return web.json_response(answer, headers=errors.HEADERS)


def parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise errors.invalid("Invalid JSON payload received. Unexpected token.") from None


def expiry(body: dict[str, Any], now: float) -> float:
    if "ttl" in body and "expireTime" in body:
        raise errors.invalid("ttl and expire_time are mutually exclusive.")
    if "expireTime" in body:
        try:
            return datetime.fromisoformat(str(body["expireTime"])).timestamp()
        except ValueError:
            raise errors.invalid("Invalid expire_time.", field="expire_time") from None
    return now + float(str(body.get("ttl", f"{DEFAULT_SECONDS}s")).rstrip("s"))
