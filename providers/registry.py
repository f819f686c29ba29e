"""Every provider by name, and which of them a model's name asks for."""

from __future__ import annotations

from collections.abc import Mapping

from providers import azure_openai, gemini, openai, vertex
from providers.errors import InvalidRequest
from providers.types import Provider

PROVIDERS: Mapping[str, Provider] = {
    row.name: row for row in (openai.PROVIDER, azure_openai.PROVIDER, gemini.PROVIDER, vertex.PROVIDER)
}

PREFIXES: Mapping[str, str] = {prefix: row.name for row in PROVIDERS.values() for prefix in row.prefixes}


def provider(name: str) -> Provider:
    """Raises InvalidRequest for a name that is not registered."""
    found = PROVIDERS.get(name)
    if found is None:
        known = ", ".join(PROVIDERS)
        raise InvalidRequest(f"There is no such provider; there are: {known}.", code="unknown_provider")
    return found


def split_model(model: str) -> tuple[str | None, str]:
    """`gemini/gemini-2.0-flash` → the provider's name and its own model id; None where no prefix is known."""
    prefix, slash, rest = model.partition("/")
    if slash and rest and prefix in PREFIXES:
        return PREFIXES[prefix], rest
    return None, model
