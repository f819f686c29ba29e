"""Which models the Gemini fake has and what each generation takes (https://ai.google.dev/gemini-api/docs/models)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fakes.gemini import errors
from tests.fakes.gemini.files import page
from tests.fakes.gemini.state import fake_of

GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?-")
# Anything shaped like a model of a generation that exists or existed is served, listed or not.
SERVED = re.compile(
    r"gemini-pro(?:-vision)?|gemini-(?:1\.5|2\.0|2\.5|3|3\.[15678])-(?:pro|flash)(?:-[a-z0-9.-]+)?"
)
LISTED = (
    "gemini-3.8-flash",
    "gemini-3.7-flash",
    "gemini-3.6-flash",
    "gemini-3.5-flash",
    "gemini-3.5-flash-lite",
    "gemini-3.1-pro-preview",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.0-flash",
    "gemini-3-pro-image",
    "gemini-3.1-flash-image",
    "gemini-3.8-flash-tts",
    "gemini-2.5-flash-preview-tts",
    "gemini-embedding-001",
    "gemini-embedding-2",
)
LATEST = {
    "gemini-flash-latest": "gemini-3.8-flash",
    "gemini-flash-lite-latest": "gemini-3.5-flash-lite",
    "gemini-pro-latest": "gemini-3.1-pro-preview",
}


@dataclass(frozen=True)
class Model:
    """Facts derived from a model's name."""

    name: str
    generation: tuple[int, int]

    @property
    def embeds(self) -> bool:
        return "embedding" in self.name

    @property
    def speaks(self) -> bool:
        return self.name.endswith("-tts")

    @property
    def draws(self) -> bool:
        return "-image" in self.name

    @property
    def is_lite(self) -> bool:
        return "-lite" in self.name

    @property
    def is_pro(self) -> bool:
        return "-pro" in self.name

    @property
    def thinks(self) -> bool:
        return "-thinking" in self.name or (self.generation >= (2, 5) and not (self.speaks or self.embeds))

    @property
    def signs_thoughts(self) -> bool:
        return self.generation >= (3, 0)

    @property
    def wants_last_user(self) -> bool:
        return self.generation >= (3, 6) or (self.generation == (3, 5) and self.is_lite)

    @property
    def levels(self) -> frozenset[str]:
        """Thinking levels; empty when the model takes a budget or does not think."""
        if self.generation < (3, 0) or not self.thinks:
            return frozenset()
        if "flash-lite-image" in self.name:
            return frozenset({"MINIMAL", "HIGH"})
        if self.generation >= (3, 7) or self.is_pro:
            return frozenset({"LOW", "MEDIUM", "HIGH"})
        return frozenset({"MINIMAL", "LOW", "MEDIUM", "HIGH"})

    @property
    def methods(self) -> list[str]:
        if self.embeds:
            return ["embedContent", "batchEmbedContents", "countTokens"]
        return ["generateContent", "streamGenerateContent", "countTokens", "createCachedContent"]

    def resource(self) -> dict[str, Any]:
        return {
            "name": f"models/{self.name}",
            "version": "001",
            "displayName": self.name.replace("-", " ").title(),
            "description": "An emulated model.",
            "inputTokenLimit": 2048 if self.name == "gemini-embedding-001" else 1_048_576,
            "outputTokenLimit": 1 if self.embeds else 65_536,
            "supportedGenerationMethods": self.methods,
            **({"thinking": True} if self.thinks else {}),
        }


def model_for(name: str, version: str, method: str) -> Model:
    """The model, or Google's 404 when there is none or it lacks the method."""
    real = LATEST.get(name, name) if version != "v1" else name
    if real not in LISTED and not SERVED.fullmatch(real):
        raise errors.no_model(name, version, method)
    found = GENERATION.match(real)
    # Embedding models have no generation in their names.
    generation = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    model = Model(real, generation)
    if method not in model.methods:
        raise errors.no_model(name, version, method)
    return model


async def list_models(request: web.Request) -> web.Response:
    fake_of(request).require_project(request)
    shown, token = page(request, list(LISTED), largest=1000)
    version = request.match_info["version"]
    models = [model_for(name, version, "countTokens").resource() for name in shown]
    answer: dict[str, Any] = {"models": models}
    if token:
        answer["nextPageToken"] = token
    return web.json_response(answer, headers=errors.HEADERS)


async def get_model(request: web.Request) -> web.Response:
    fake_of(request).require_project(request)
    name, version = request.match_info["model"], request.match_info["version"]
    return web.json_response(model_for(name, version, "countTokens").resource(), headers=errors.HEADERS)
