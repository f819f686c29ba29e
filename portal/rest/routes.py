"""Finds the API view of a path before anything of the request is read."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from django.urls import Resolver404, get_resolver

from portal.rest.request import Scope
from portal.rest.views import AsyncAPIView

API_SHAPED = re.compile(
    r"/(?:v1|[^/]+/v1|key|team|user|budget|model|spend|health|metrics|engines|openai/deployments|chat|completions|embeddings|uploads"
    r"|responses|batches|images|audio|moderations|gemini|vertex_ai|v1beta|v1alpha|upload|utils|model_group|global|tag|customer|credentials|access_group|invitation|cost)(?:/.*)?",
    re.DOTALL,
)
"""Paths that belong to the API even where no view answers them."""

SHARED = re.compile(r"(/gemini)?/v1/((?:files|models)(?:/.*)?)", re.DOTALL)
"""Addresses that OpenAI's API and Google's have in common."""
OF_GOOGLES_CLIENTS = b"x-goog-api-client"
"""The header in which Google's libraries say which one they are."""


@dataclass(frozen=True, slots=True)
class Route:
    """An API view and the words of the path. `template` names it in metrics."""

    template: str
    view: Callable[..., Awaitable[HttpResponseBase]]
    view_class: type[AsyncAPIView]
    methods: tuple[str, ...]
    arguments: Mapping[str, Any]


_fixed: dict[tuple[str, str], Route] = {}
"""Routes of paths without variable words, so that the calls that come most often cost one look-up."""


def find_route(path: str) -> Route | None:
    """The API view of a path; None for pages and for unknown paths."""
    known = _fixed.get((settings.ROOT_URLCONF, path))
    if known is not None:
        return known
    try:
        found = get_resolver(settings.ROOT_URLCONF).resolve(path)
    except Resolver404:
        return None
    view_class = getattr(found.func, "cls", None)
    if not (isinstance(view_class, type) and issubclass(view_class, AsyncAPIView)):
        return None
    route = Route(f"/{found.route}", found.func, view_class, tuple(view_class.methods()), found.kwargs)
    if not found.kwargs:
        _fixed[settings.ROOT_URLCONF, path] = route
    return route


def path_meant(scope: Scope) -> str:
    """The path of a request; where it has two meanings, Google's libraries mean Google's."""
    path: str = scope["path"]
    found = SHARED.fullmatch(path)
    if found is None or not any(name == OF_GOOGLES_CLIENTS for name, _ in scope["headers"]):
        return path
    return f"{found[1] or ''}/v1beta/{found[2]}"


def is_api_shaped(path: str) -> bool:
    """Does an unknown path get the API's 404 rather than a page's?"""
    return API_SHAPED.fullmatch(path) is not None


def is_page(path: str) -> bool:
    """Does one of the browser's pages answer this path?"""
    try:
        found = get_resolver(settings.ROOT_URLCONF).resolve(path)
    except Resolver404:
        return False
    view_class = getattr(found.func, "cls", None)
    return not (isinstance(view_class, type) and issubclass(view_class, AsyncAPIView))
