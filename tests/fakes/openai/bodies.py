"""Reads JSON bodies the way OpenAI does: an object, and no field it does not know."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from aiohttp import web

from tests.fakes.control import read_body
from tests.fakes.openai import errors


async def read_object(request: web.Request, known: Collection[str]) -> dict[str, Any]:
    """The body as an object of known fields; nulls count as absent."""
    raw = await read_body(request)
    try:
        body = json.loads(raw)
    except ValueError:
        message = (
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
            "using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was "
            "sent was not valid JSON.)"
        )
        raise errors.invalid(message) from None
    if not isinstance(body, dict):
        raise errors.invalid("The request body must be a JSON object.")
    only_known(body, known)
    return {name: value for name, value in body.items() if value is not None}


def only_known(value: dict[str, Any], known: Collection[str], path: str = "") -> None:
    for name in value:
        if name not in known:
            raise errors.unknown_parameter(f"{path}.{name}" if path else name)
