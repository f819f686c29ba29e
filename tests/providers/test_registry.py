from __future__ import annotations

import pytest

from providers.errors import InvalidRequest
from providers.registry import PROVIDERS, provider, split_model


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gemini/gemini-2.0-flash", ("gemini", "gemini-2.0-flash")),
        ("openai/gpt-5", ("openai", "gpt-5")),
        ("openai/meta/llama", ("openai", "meta/llama")),
        ("gpt-5", (None, "gpt-5")),
        ("meta/llama", (None, "meta/llama")),
        ("openai/", (None, "openai/")),
        ("/x", (None, "/x")),
        ("", (None, "")),
    ],
)
def test_a_models_name_tells_its_provider(model: str, expected: tuple[str | None, str]) -> None:
    assert split_model(model) == expected


def test_providers_are_found_by_name_only() -> None:
    assert all(provider(name).name == name for name in PROVIDERS)
    with pytest.raises(InvalidRequest) as refused:
        provider("open ai\n")
    assert refused.value.code == "unknown_provider"
