"""cachedContents of a project's location: make, use, delete.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.cachedContents
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from aiohttp import web

from tests.fakes.control import read_body
from tests.fakes.gemini import errors, shapes
from tests.fakes.gemini.caches import Cache, expiry, parsed
from tests.fakes.gemini.contents import check_contents, check_system
from tests.fakes.gemini.models import Model, model_for
from tests.fakes.gemini.tokens import prompt_tokens
from tests.fakes.vertex.media import media_in
from tests.fakes.vertex.shapes import VERTEX_SHAPES
from tests.fakes.vertex.state import VertexFake, fake_of

NAMED = re.compile(r"projects/([a-z0-9-]+)/locations/([a-z0-9-]+)/publishers/google/models/([^/:]+)")
PROJECT_NUMBER = "123456789"


def cache_for(fake: VertexFake, project: str, model: Model, body: dict[str, Any]) -> Cache | None:
    """The cache a request names, checked as Vertex checks it."""
    name = body.get("cachedContent")
    if not name:
        return None
    cache_id = str(name).rpartition("/cachedContents/")[2]
    cache: Cache | None = fake.caches.get(cache_id)
    if cache is None or cache.project != project or fake.clock.now() >= cache.expires:
        raise errors.GeminiError(404, f"Not found: cached content metadata for {cache_id}.")
    if cache.model != model.name:
        raise errors.invalid("The model of the request and that of the cached content must be the same.")
    if any(key in body for key in ("systemInstruction", "tools", "toolConfig")):
        raise errors.invalid("Tool config, tools and system instruction should not be set with a cache.")
    return cache


async def create_cache(request: web.Request) -> web.Response:
    fake = fake_of(request)
    project = fake.require_token(request)
    body = shapes.checked(parsed(await read_body(request)), "CachedContent", VERTEX_SHAPES)
    here = (request.match_info["project"], request.match_info["location"])
    found = NAMED.fullmatch(str(body.get("model", "")))
    if here[0] != project or found is None or (found[1], found[2]) != here:
        raise errors.invalid("The model must be named with the project and location of the cache.")
    model = model_for(found[3], "v1", "createCachedContent")
    contents = body.get("contents") or []
    if contents:
        check_contents(model, contents, check_signatures=False, require_call_ids=False)
    if "systemInstruction" in body:
        check_system(body["systemInstruction"])
    media = media_in(fake, project, contents)
    tokens = prompt_tokens(body, media).total()
    if tokens < (least := 4096 if model.is_pro else 1024):
        raise errors.invalid(f"The cached content is of {tokens} tokens. The minimum is {least}.")
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
    # Vertex answers with the number of the project, whatever it was called in the request.
    name = f"projects/{PROJECT_NUMBER}/locations/{here[1]}/cachedContents/{cache.cache_id}"
    return web.json_response(cache.resource() | {"name": name, "model": found[0]})


async def delete_cache(request: web.Request) -> web.Response:
    fake = fake_of(request)
    cache = fake.caches.get(request.match_info["cache_id"])
    if cache is None or cache.project != fake.require_token(request):
        raise errors.GeminiError(404, "Not found: cached content metadata.")
    del fake.caches[cache.cache_id]
    return web.json_response({})
