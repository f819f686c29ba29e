"""generateContent and the list of models under Vertex's paths.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.publishers.models
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.fakes.clock import timestamp
from tests.fakes.gemini import errors
from tests.fakes.gemini.config import check_config, check_safety, check_tools
from tests.fakes.gemini.contents import check_contents, check_system
from tests.fakes.gemini.files import page
from tests.fakes.gemini.generate import read_message, send_answer
from tests.fakes.gemini.models import LISTED, Model, model_for
from tests.fakes.gemini.tokens import prompt_tokens
from tests.fakes.vertex.caches import cache_for
from tests.fakes.vertex.media import media_in
from tests.fakes.vertex.shapes import VERTEX_SHAPES
from tests.fakes.vertex.state import VertexFake, fake_of


async def generate(request: web.Request) -> web.StreamResponse:
    """In a project's location, or for an API key's project in express mode."""
    fake = fake_of(request)
    project = _project(request, fake)
    model = _model(request, project)
    body = await read_message(request, "GenerateContentRequest", VERTEX_SHAPES)
    contents, tools = body.get("contents") or [], body.get("tools") or []
    for number, turn in enumerate(contents):
        if turn.get("role") not in ("user", "model"):
            raise errors.invalid("Please use a valid role: user, model.", field=f"contents[{number}].role")
    check_contents(
        model,
        contents,
        check_signatures=bool(fake.settings["check_signatures"]),
        require_call_ids=bool(fake.settings["require_call_ids"]),
    )
    if "systemInstruction" in body:
        check_system(body["systemInstruction"])
    check_tools(model, tools, body.get("toolConfig") or {})
    check_config(model, body.get("generationConfig") or {}, tools)
    check_safety(body.get("safetySettings") or [])
    if body.get("modelArmorConfig") and body.get("safetySettings"):
        raise errors.invalid("model_armor_config and safety_settings are mutually exclusive.")
    cache = cache_for(fake, project, model, body)
    media = media_in(fake, project, contents)
    extras = {"createTime": timestamp(fake.clock.now())}
    cached, tokens = (cache.media, cache.tokens) if cache else ((), 0)
    return await send_answer(request, model, body, media, cached=cached, tokens=tokens, extras=extras)


async def count_tokens(request: web.Request) -> web.Response:
    """Tools and system instruction count, beside the contents."""
    fake = fake_of(request)
    project = _project(request, fake)
    model = _model(request, project)
    body = await read_message(request, "CountTokensRequest", VERTEX_SHAPES)
    check_contents(model, body.get("contents") or [], check_signatures=False, require_call_ids=False)
    counted = prompt_tokens(body, media_in(fake, project, body["contents"]))
    details = [{"modality": name, "tokenCount": count} for name, count in counted.items() if count]
    return web.json_response({"totalTokens": counted.total(), "promptTokensDetails": details})


async def list_models(request: web.Request) -> web.Response:
    fake_of(request).require_project(request)
    if request.match_info["version"] != "v1beta1":
        raise web.HTTPNotFound
    shown, token = page(request, list(LISTED), largest=1000)
    names = [*shown, "imagen-4.0-generate-001", "veo-3.1"] if token is None else shown
    models = [{"name": f"publishers/google/models/{name}", "versionId": "default"} for name in names]
    answer: dict[str, Any] = {"publisherModels": models}
    return web.json_response(answer | ({"nextPageToken": token} if token else {}))


def _project(request: web.Request, fake: VertexFake) -> str:
    project, named = fake.require_project(request), request.match_info.get("project")
    if named is not None and named != project:
        raise errors.GeminiError(
            403,
            f"Permission 'aiplatform.endpoints.predict' denied on resource "
            f"'//aiplatform.googleapis.com/projects/{named}' (or it may not exist).",
        )
    return project


def _model(request: web.Request, project: str) -> Model:
    name = request.match_info["model"]
    bare = name.partition("@")[0]
    try:
        return model_for(bare, "v1", request.match_info["method"])
    except errors.GeminiError:
        location = request.match_info.get("location", "global")
        raise errors.GeminiError(
            404,
            f"Publisher Model `projects/{project}/locations/{location}/publishers/google/models/{name}` was "
            "not found or your project does not have access to it. Please ensure you are using a valid "
            "model version.",
        ) from None
