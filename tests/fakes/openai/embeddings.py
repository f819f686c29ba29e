"""Embeddings, as floats or packed (https://platform.openai.com/docs/api-reference/embeddings)."""

from __future__ import annotations

import base64
import struct
from typing import Any

from aiohttp import web

from tests.fakes.answers import token_count, vector
from tests.fakes.openai import errors
from tests.fakes.openai.bodies import read_object
from tests.fakes.openai.models import DIMENSIONS
from tests.fakes.openai.state import fake_of

LARGEST_BATCH = 2048
FIELDS = frozenset({"input", "model", "dimensions", "encoding_format", "user"})


async def embed(request: web.Request) -> web.Response:
    fake_of(request).require_project(request)
    body = await read_object(request, FIELDS)
    model = body.get("model")
    if model is None:
        raise errors.missing_parameter("model")
    if not isinstance(model, str) or model not in DIMENSIONS:
        raise errors.no_model(str(model))
    return send_embeddings(body, model)


def send_embeddings(body: dict[str, Any], model: str) -> web.Response:
    """The answer to a request for a model that is there."""
    texts = _texts(body.get("input"))
    packed = _is_packed(body.get("encoding_format", "float"))
    size = _dimensions(model, body.get("dimensions"))
    rows = [
        {"object": "embedding", "index": index, "embedding": _shown(vector(text, size), packed=packed)}
        for index, text in enumerate(texts)
    ]
    tokens = sum(token_count(text) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return web.json_response({"object": "list", "data": rows, "model": model, "usage": usage})


def _texts(value: Any) -> list[str]:
    if value is None:
        raise errors.missing_parameter("input")
    items = [value] if isinstance(value, str) or _is_tokens(value) else value
    if not isinstance(items, list) or not 0 < len(items) <= LARGEST_BATCH:
        raise errors.invalid("'$.input' is invalid. Please check the API reference.", "input")
    for item in items:
        if not (isinstance(item, str) and item) and not _is_tokens(item):
            raise errors.invalid("'$.input' is invalid. Please check the API reference.", "input")
    return [item if isinstance(item, str) else str(item) for item in items]


def _is_tokens(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    )


def _is_packed(value: Any) -> bool:
    if value not in ("float", "base64"):
        raise errors.invalid(
            "Supported values are: 'float' and 'base64'.", "encoding_format", "invalid_value"
        )
    return bool(value == "base64")


def _dimensions(model: str, wanted: Any) -> int:
    most = DIMENSIONS[model]
    if wanted is None:
        return most
    if model.endswith("ada-002"):
        raise errors.invalid("This model does not support specifying dimensions.", "dimensions")
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= most:
        raise errors.invalid(f"Invalid value for 'dimensions': must be from 1 to {most}.", "dimensions")
    return wanted


def _shown(values: list[float], *, packed: bool) -> list[float] | str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode() if packed else values
