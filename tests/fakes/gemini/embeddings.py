"""embedContent and batchEmbedContents (https://ai.google.dev/api/embeddings)."""

from __future__ import annotations

import math
from typing import Any

from aiohttp import web

from tests.fakes.answers import token_count, vector
from tests.fakes.control import received_of
from tests.fakes.gemini import errors
from tests.fakes.gemini.generate import read_message
from tests.fakes.gemini.media import media_in
from tests.fakes.gemini.models import Model, model_for
from tests.fakes.gemini.state import fake_of

LARGEST_BATCH = 100
DIMENSIONS = 3072


async def embed(request: web.Request) -> web.Response:
    one = await read_message(request, "EmbedContentRequest")
    values, _ = _embed(request, _model(request), one)
    return web.json_response({"embedding": {"values": values}}, headers=errors.HEADERS)


async def embed_batch(request: web.Request) -> web.Response:
    body = await read_message(request, "BatchEmbedContentsRequest")
    items = body.get("requests") or []
    if not 0 < len(items) <= LARGEST_BATCH:
        raise errors.invalid(
            f"* BatchEmbedContentsRequest.requests: at most {LARGEST_BATCH} requests can be in one batch\n",
            field="requests",
        )
    model = _model(request)
    embedded = [_embed(request, model, item) for item in items]
    answer = {
        "embeddings": [{"values": values} for values, _ in embedded],
        "usageMetadata": {"promptTokenCount": sum(tokens for _, tokens in embedded)},
    }
    return web.json_response(answer, headers=errors.HEADERS)


def _model(request: web.Request) -> Model:
    method = request.match_info["method"]
    return model_for(request.match_info["model"], request.match_info["version"], method)


def _embed(request: web.Request, model: Model, item: dict[str, Any]) -> tuple[list[float], int]:
    fake = fake_of(request)
    project = fake.require_project(request)
    if str(item.get("model", "")).removeprefix("models/") not in ("", model.name):
        raise errors.invalid("The model in the path and in the request differ.", field="model")
    parts = (item.get("content") or {}).get("parts") or []
    texts = [part["text"] for part in parts if "text" in part]
    if not parts or any(not text for text in texts):
        raise errors.invalid("content contains an empty Part.", field="content")
    if model.name == "gemini-embedding-001" and len(texts) != len(parts):
        raise errors.invalid("This model embeds text only.", field="content")
    if model.name != "gemini-embedding-001" and "taskType" in item:
        raise errors.invalid("task_type is not supported by this model.", field="task_type")
    size = int(item.get("outputDimensionality") or DIMENSIONS)
    if not 128 <= size <= DIMENSIONS:
        raise errors.invalid("output_dimensionality must be from 128 to 3072.", field="output_dimensionality")
    media = media_in(fake, project, model, [{"parts": parts}])
    received_of(request).media += [one.record() for one in media]
    values = vector("\n".join([*texts, *(one.sentence() for one in media)]), size)
    if model.name == "gemini-embedding-001" and size != DIMENSIONS:
        # Shortened vectors of this model come unnormalised.
        values = [value * math.sqrt(0.5) for value in values]
    return values, sum(token_count(text) for text in texts) + sum(one.tokens() for one in media)
