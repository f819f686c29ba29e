"""OpenAI embeddings ⇄ Gemini batchEmbedContents.

https://ai.google.dev/api/embeddings#method:-models.batchembedcontents
https://ai.google.dev/gemini-api/docs/embeddings
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping
from typing import Any, Final

import orjson

from providers.errors import InvalidRequest, UpstreamInvalid
from providers.gemini import endpoint
from providers.gemini.chat_request import encode
from providers.gemini.usage import to_usage
from providers.params import drop
from providers.types import ChatCall, Connection, HttpRequest, HttpResponse, Json

MAX_INPUTS: Final = 100
TASKS: Final = frozenset(
    {
        "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION", "CLUSTERING",
        "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY",
    }
)  # fmt: skip
NORMALISED_BY_GOOGLE: Final = 3072
"""gemini-embedding-001 scales vectors of its full length alone to 1; shorter ones are scaled here."""

_HANDLED = frozenset({"model", "input", "dimensions", "encoding_format", "task_type", "input_type", "title"})
_HINTS = frozenset({"user", "metadata"})


def to_embeddings(connection: Connection, call: ChatCall) -> HttpRequest:
    """The request for all inputs of one call."""
    path = endpoint.model_path(call.model)
    common = _common(call)
    title = call.body.get("title")
    if title is not None and not isinstance(title, str):
        raise InvalidRequest("title must be a string.", param="title")
    requests = [
        {
            "model": path,
            "content": {"parts": [{"text": text}]},
            **common,
            **({"title": title} if title else {}),
        }
        for text in inputs_of(call.body)
    ]
    url = endpoint.url(connection, f"{path}:batchEmbedContents")
    return HttpRequest("POST", url, endpoint.headers(connection), encode({"requests": requests}))


def inputs_of(body: Mapping[str, Any]) -> list[str]:
    """The texts to embed. Lists of tokens are another provider's and refused."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise InvalidRequest("input must be a text or a list of texts, none of them empty.", param="input")
    if len(texts) > MAX_INPUTS:
        raise InvalidRequest(f"input may hold at most {MAX_INPUTS} texts for this model.", param="input")
    return texts


def _common(call: ChatCall) -> Json:
    """What every single request of the batch says."""
    common: Json = {}
    body = call.body
    dimensions = body.get("dimensions")
    if dimensions is not None:
        if isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1:
            raise InvalidRequest("dimensions must be a whole number of at least 1.", param="dimensions")
        common["outputDimensionality"] = dimensions
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise InvalidRequest("encoding_format must be float or base64.", param="encoding_format")
    task = body.get("task_type", body.get("input_type"))
    if task is not None:
        if not isinstance(task, str) or task.upper() not in TASKS:
            raise InvalidRequest(f"task_type must be one of {', '.join(sorted(TASKS))}.", param="task_type")
        if "embedding-2" in call.model:
            drop(call, "task_type", "this model reads its task from the text")
        else:
            common["taskType"] = task.upper()
    for name, value in body.items():
        if value is not None and name not in _HANDLED | _HINTS:
            drop(call, name, "embeddings have no such parameter")
    return common


def from_embeddings(call: ChatCall, response: HttpResponse) -> Json:
    """A 2xx answer as OpenAI's list of embeddings. Raises UpstreamInvalid."""
    try:
        answer: Any = orjson.loads(response.body)
    except ValueError:
        raise UpstreamInvalid("The provider's answer is not JSON.") from None
    listed = answer.get("embeddings") if isinstance(answer, dict) else None
    if not isinstance(listed, list) or len(listed) != len(inputs_of(call.body)):
        raise UpstreamInvalid("The provider's answer does not hold one vector for each input.")
    as_base64 = call.body.get("encoding_format") == "base64"
    data = []
    for index, item in enumerate(listed):
        vector = _vector(item)
        shown = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_base64 else vector
        data.append({"object": "embedding", "index": index, "embedding": shown})
    prompt = (to_usage(answer.get("usageMetadata")) or {}).get("prompt_tokens", 0)
    usage = {"prompt_tokens": prompt, "total_tokens": prompt}
    return {"object": "list", "data": data, "model": call.public_model, "usage": usage}


def _vector(item: Any) -> list[float]:
    values = item.get("values") if isinstance(item, dict) else None
    if not isinstance(values, list) or not values:
        raise UpstreamInvalid("The provider sent an embedding without values.")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
            raise UpstreamInvalid("The provider sent an embedding that holds something else than numbers.")
    if len(values) == NORMALISED_BY_GOOGLE:
        return values
    length = math.sqrt(math.fsum(value * value for value in values))
    return [value / length for value in values] if length else values
