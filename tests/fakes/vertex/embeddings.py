"""predict of the older embedding models, embedContent of the newer family.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

from __future__ import annotations

import json
import math
from typing import Any

from aiohttp import web

from tests.fakes.answers import token_count, vector
from tests.fakes.control import read_body
from tests.fakes.gemini.errors import GeminiError, invalid
from tests.fakes.vertex.state import fake_of

DIMENSIONS = {"gemini-embedding-001": 3072, "text-embedding-005": 768, "gemini-embedding-2": 3072}
LARGEST_BATCH = {"gemini-embedding-001": 1, "text-embedding-005": 250}
TASKS = frozenset(
    ["RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION", "CLUSTERING"]
)


async def predict(request: web.Request) -> web.Response:
    model, body = await _read(request, {"instances", "parameters"})
    instances, wanted = body.get("instances") or [], body.get("parameters") or {}
    if not 0 < len(instances) <= LARGEST_BATCH.get(model, 0):
        raise invalid(f"{len(instances)} instance(s) is allowed per prediction. Actual: {len(instances)}")
    rows = []
    for item in instances:
        if set(item) - {"content", "task_type", "title"} or not item.get("content"):
            raise invalid("The text content is empty.")
        if item.get("task_type", "CLUSTERING") not in TASKS:
            raise invalid("Unable to submit request because the task type is not supported.")
        statistics = {"token_count": token_count(item["content"]), "truncated": False}
        values = _values(model, item["content"], wanted.get("outputDimensionality"))
        rows.append({"embeddings": {"values": values, "statistics": statistics}})
    return web.json_response({"predictions": rows, "metadata": {"billableCharacterCount": 1}})


async def embed_content(request: web.Request) -> web.Response:
    model, body = await _read(request, {"content", "embedContentConfig"})
    if model in LARGEST_BATCH:
        raise GeminiError(400, f"{model} is not supported by embedContent.")
    parts, wanted = (body.get("content") or {}).get("parts") or [], body.get("embedContentConfig") or {}
    texts = [part.get("text") for part in parts]
    if not texts or not all(texts):
        raise invalid("content contains an empty Part.")
    text = "\n".join(texts)
    usage = {"promptTokenCount": token_count(text), "totalTokenCount": token_count(text)}
    values = _values(model, text, wanted.get("outputDimensionality"))
    return web.json_response({"embedding": {"values": values}, "usageMetadata": usage})


async def _read(request: web.Request, known: set[str]) -> tuple[str, dict[str, Any]]:
    fake, named = fake_of(request), request.match_info.get("project")
    if named not in (None, fake.require_project(request)):
        raise GeminiError(403, "Permission 'aiplatform.endpoints.predict' denied on resource.")
    model = request.match_info["model"]
    if model not in DIMENSIONS:
        raise GeminiError(404, f"Publisher Model `{model}` was not found.")
    body = json.loads(await read_body(request))
    if unknown := sorted(set(body) - known):
        raise invalid(f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.')
    return model, body


def _values(model: str, text: str, wanted: int | None) -> list[float]:
    most = DIMENSIONS[model]
    size = most if wanted is None else wanted
    if not 1 <= size <= most:
        raise invalid("outputDimensionality is out of range.")
    values = vector(text, size)
    # Shortened vectors of this model come unnormalised.
    is_short = model == "gemini-embedding-001" and size != most
    return [value * math.sqrt(0.5) for value in values] if is_short else values
