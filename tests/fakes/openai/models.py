"""Which models the OpenAI fake has (https://platform.openai.com/docs/models)."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from tests.fakes.openai import errors
from tests.fakes.openai.state import fake_of

LISTED = (
    "gpt-6-astra",
    "gpt-6-luna",
    "gpt-5.5",
    "gpt-5.4",
    "gpt-5-mini",
    "gpt-4.1",
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4o-audio-preview",
    "text-embedding-3-small",
    "text-embedding-3-large",
    "text-embedding-ada-002",
)
CHAT = re.compile(r"gpt-(?:3\.5|4|4o|4\.[15]|5|5\.\d|6|6\.\d|audio)(?:-[a-z0-9.-]+)?|o[134](?:-[a-z0-9.-]+)?")
REASONING = re.compile(r"gpt-[56].*|o[134].*")
# These take no sampling parameters at all; later ones only while they reason.
NO_SAMPLING = re.compile(r"gpt-5(?:-mini|-nano)?(?:-\d{4}-\d\d-\d\d)?|o[134].*")
DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}


def require_chat_model(model: Any) -> str:
    if model is None:
        raise errors.missing_parameter("model")
    if not isinstance(model, str):
        raise errors.wrong_type("model", "a string", model)
    if not CHAT.fullmatch(model):
        raise errors.no_model(model)
    return model


def _resource(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 1_715_367_049, "owned_by": "system"}


async def list_models(request: web.Request) -> web.Response:
    fake_of(request).require_project(request)
    return web.json_response({"object": "list", "data": [_resource(model) for model in LISTED]})


async def get_model(request: web.Request) -> web.Response:
    fake_of(request).require_project(request)
    model = request.match_info["model"]
    if model not in LISTED and not CHAT.fullmatch(model):
        raise errors.no_model(model)
    return web.json_response(_resource(model))
