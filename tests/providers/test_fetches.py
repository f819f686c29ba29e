"""Which files each provider fetches by itself from a signed address."""

from __future__ import annotations

import pytest

from providers import registry


@pytest.mark.parametrize(
    ("provider", "model", "media_type", "size", "fetched"),
    [
        ("openai", "gpt-5.4", "image/png", 5 << 20, True),
        ("openai", "gpt-5.4", "application/pdf", 5 << 20, False),
        ("gemini", "gemini-2.5-flash", "application/pdf", 5 << 20, True),
        ("gemini", "gemini-3.5-flash", "video/mp4", 40 << 20, True),
        ("gemini", "gemini-2.0-flash", "application/pdf", 5 << 20, False),
        ("gemini", "gemini-2.5-flash", "audio/mpeg", 5 << 20, False),
        ("gemini", "gemini-2.5-flash", "video/mp4", 51 << 20, False),
        ("gemini", "gemini-2.5-flash", "application/zip", 5 << 20, False),
        ("vertex_ai", "gemini-2.5-flash", "application/pdf", 5 << 20, True),
        ("vertex_ai", "gemini-2.5-flash", "video/mp4", 16 << 20, False),
    ],
)
def test_what_each_provider_fetches(
    provider: str, model: str, media_type: str, size: int, fetched: bool
) -> None:
    fetches = registry.provider(provider).fetches
    assert fetches is not None
    assert fetches(model, media_type, size) is fetched


def test_azure_is_shown_no_address() -> None:
    """Its resources stand in private networks."""
    assert registry.provider("azure").fetches is None
