"""OpenAI embeddings ⇄ Vertex AI: `predict` for the older models, `embedContent` for the newer family.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from providers import vectors
from providers.errors import UpstreamInvalid
from providers.gemini.chat_request import encode
from providers.gemini.embeddings import common_of, vector_of
from providers.gemini.usage import to_usage
from providers.types import ChatCall, Connection, Flow, HttpRequest, HttpResponse, Json
from providers.vertex import endpoint
from providers.vertex.chat_errors import from_error
from providers.vertex.credentials import bearer
from providers.vertex.storage import expect, object_in

NEWER: Final = "embedding-2"
"""Part of the names of the models that take embedContent."""
SINGLE: Final = "gemini-embedding"
"""Models that take one text at a time."""
BATCH: Final = 25
"""Texts of one request to the others: their 20,000 tokens leave each a page or two."""


def embed(connection: Connection, call: ChatCall) -> Flow[Json]:
    """All inputs of one call, as many at a time as the model takes."""
    texts = vectors.texts_of(call.body)
    size = 1 if SINGLE in call.model else BATCH
    found: list[list[float]] = []
    prompt = 0
    for start in range(0, len(texts), size):
        # What is dropped is dropped from every request alike and told once.
        part = replace(call, warnings=[] if start else call.warnings)
        batch = texts[start : start + size]
        response = expect((yield to_request(connection, part, batch)))
        if not 200 <= response.status < 300:
            raise from_error(response)
        read = from_content if NEWER in call.model else from_predictions
        values, tokens = read(response, len(batch))
        found += values
        prompt += tokens
    return vectors.to_answer(call, found, prompt)


def to_request(connection: Connection, call: ChatCall, texts: list[str]) -> HttpRequest:
    """The request for one batch of texts."""
    common = common_of(call)
    if NEWER in call.model:
        method = "embedContent"
        body: Json = {"content": {"role": "user", "parts": [{"text": text} for text in texts]}}
        if common:
            body["embedContentConfig"] = common
    else:
        method = "predict"
        names = {"taskType": "task_type", "title": "title"}
        about = {names[name]: value for name, value in common.items() if name in names}
        body = {"instances": [{"content": text, **about} for text in texts]}
        if "outputDimensionality" in common:
            body["parameters"] = {"outputDimensionality": common["outputDimensionality"]}
    url = endpoint.url(connection, f"{endpoint.model_path(connection, call.model)}:{method}")
    return HttpRequest("POST", url, endpoint.headers(connection), encode(body), bearer=bearer(connection))


def from_predictions(response: HttpResponse, expected: int) -> tuple[list[list[float]], int]:
    """The vectors of `predict`, and the tokens it counted. Raises UpstreamInvalid."""
    listed = object_in(response).get("predictions")
    if not isinstance(listed, list) or len(listed) != expected:
        raise UpstreamInvalid("The provider's answer does not hold one vector for each input.")
    held = [item.get("embeddings") if isinstance(item, dict) else None for item in listed]
    told = [item.get("statistics") if isinstance(item, dict) else None for item in held]
    counts = [item.get("token_count") if isinstance(item, dict) else 0 for item in told]
    prompt = sum(int(count) for count in counts if isinstance(count, int | float) and count >= 0)
    return [vector_of(item) for item in held], prompt


def from_content(response: HttpResponse, expected: int) -> tuple[list[list[float]], int]:
    """The vector of `embedContent`. Raises UpstreamInvalid."""
    answer = object_in(response)
    if expected != 1:
        raise UpstreamInvalid("The provider's answer holds one vector for several inputs.")
    usage = to_usage(answer.get("usageMetadata")) or {}
    return [vector_of(answer.get("embedding"))], usage.get("prompt_tokens", 0)
