"""OpenAI embeddings ⇄ Gemini batchEmbedContents.

https://ai.google.dev/api/embeddings#method:-models.batchembedcontents
https://ai.google.dev/gemini-api/docs/embeddings
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson

from providers import vectors
from providers.errors import InvalidRequest, UpstreamInvalid
from providers.gemini import endpoint
from providers.gemini.chat_errors import from_error
from providers.gemini.chat_request import encode
from providers.gemini.usage import to_usage
from providers.params import drop
from providers.types import ChatCall, Connection, Flow, HttpRequest, HttpResponse, Json

LARGEST_BATCH: Final = 100
TASKS: Final = frozenset(
    {
        "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION", "CLUSTERING",
        "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY",
    }
)  # fmt: skip
NORMALISED_BY_GOOGLE: Final = 3072
"""gemini-embedding-001 scales vectors of its full length alone to 1; shorter ones are scaled here."""

HANDLED: Final = frozenset(
    {
        "model", "input", "dimensions", "encoding_format", "task_type", "input_type", "title", "drop_params",
        "no-log",
    }
)  # fmt: skip
HINTS: Final = frozenset({"user", "metadata"})


def embed(connection: Connection, call: ChatCall) -> Flow[Json]:
    """All inputs of one call, as many at a time as Google takes."""
    texts = vectors.texts_of(call.body)
    found: list[list[float]] = []
    prompt = 0
    for start in range(0, len(texts), LARGEST_BATCH):
        batch = texts[start : start + LARGEST_BATCH]
        # What is dropped is dropped from every batch alike and told once.
        part = replace(call, body={**call.body, "input": batch}, warnings=[] if start else call.warnings)
        response = yield to_embeddings(connection, part)
        assert response is not None
        if not 200 <= response.status < 300:
            raise from_error(response)
        batch_vectors, tokens = from_embeddings(response, len(batch))
        found += batch_vectors
        prompt += tokens
    return vectors.to_answer(call, found, prompt)


def to_embeddings(connection: Connection, call: ChatCall) -> HttpRequest:
    """The request for one batch of inputs."""
    path = endpoint.model_path(call.model)
    common = common_of(call)
    requests = [
        {"model": path, "content": {"parts": [{"text": text}]}, **common}
        for text in vectors.texts_of(call.body)
    ]
    url = endpoint.url(connection, f"{path}:batchEmbedContents")
    return HttpRequest("POST", url, endpoint.headers(connection), encode({"requests": requests}))


def common_of(call: ChatCall) -> Json:
    """What every single request of the batch says: outputDimensionality, taskType, title."""
    common: Json = {}
    body = call.body
    if (dimensions := vectors.dimensions_of(body)) is not None:
        common["outputDimensionality"] = dimensions
    task = body.get("task_type", body.get("input_type"))
    if task is not None:
        if not isinstance(task, str) or task.upper() not in TASKS:
            raise InvalidRequest(f"task_type must be one of {', '.join(sorted(TASKS))}.", param="task_type")
        if "embedding-2" in call.model:
            drop(call, "task_type", "this model reads its task from the text")
        else:
            common["taskType"] = task.upper()
    title = body.get("title")
    if title is not None and not isinstance(title, str):
        raise InvalidRequest("title must be a string.", param="title")
    if title:
        common["title"] = title
    for name, value in body.items():
        if value is not None and name not in HANDLED | HINTS:
            drop(call, name, "embeddings have no such parameter")
    return common


def from_embeddings(response: HttpResponse, expected: int) -> tuple[list[list[float]], int]:
    """The vectors of a 2xx answer, and its prompt's tokens: 0 where Google counts none.

    Raises UpstreamInvalid.
    """
    answer = parsed(response)
    listed = answer.get("embeddings")
    if not isinstance(listed, list) or len(listed) != expected:
        raise UpstreamInvalid("The provider's answer does not hold one vector for each input.")
    found = [vector_of(item) for item in listed]
    return found, (to_usage(answer.get("usageMetadata")) or {}).get("prompt_tokens", 0)


def parsed(response: HttpResponse) -> Json:
    try:
        answer: Any = orjson.loads(response.body)
    except ValueError:
        raise UpstreamInvalid("The provider's answer is not JSON.") from None
    if not isinstance(answer, dict):
        raise UpstreamInvalid("The provider's answer is not an object.")
    return answer


def vector_of(item: Any) -> list[float]:
    """The values of one embedding, scaled to length 1 where Google leaves that to its callers."""
    vector = vectors.checked(item.get("values") if isinstance(item, dict) else None)
    return vector if len(vector) == NORMALISED_BY_GOOGLE else vectors.normalised(vector)
