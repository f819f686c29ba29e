"""Addresses and headers of a server that speaks OpenAI's API.

https://platform.openai.com/docs/api-reference/authentication
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from providers import urls
from providers.openai import spec
from providers.types import Connection

VERSION = re.compile(r"v\d+[a-z0-9]*")


def address(connection: Connection, path: str, query: Mapping[str, str] | None = None) -> str:
    """`path` below the connection's base; a base whose path names no version means /v1."""
    if query is None:
        return _fixed(connection.api_base, path)
    return urls.join(_root(connection.api_base), path, query)


@lru_cache(maxsize=1024)
def _fixed(api_base: str | None, path: str) -> str:
    return urls.join(_root(api_base), path)


@lru_cache(maxsize=1024)
def _root(api_base: str | None) -> str:
    base = (api_base or spec.DEFAULT_BASE).strip()
    if not any(VERSION.fullmatch(part) for part in urlsplit(base).path.split("/")):
        base = urls.join(base, "v1")
    return base


def headers(connection: Connection, content_type: str | None = "application/json") -> dict[str, str]:
    found = {"content-type": content_type} if content_type else {}
    if connection.api_key:
        found["authorization"] = f"Bearer {connection.api_key}"
    if connection.organization:
        found["openai-organization"] = connection.organization
    project = connection.options.get("project")
    if isinstance(project, str) and project:
        found["openai-project"] = project
    return found
