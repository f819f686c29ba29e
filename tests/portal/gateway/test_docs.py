"""The page about the endpoints says what the registry says."""

from __future__ import annotations

from django.conf import settings

from providers import registry
from providers.types import Provider


def row(provider: Provider) -> str:
    """The provider's line of the table."""

    def has(feature: object, otherwise: str = "–") -> str:
        return otherwise if feature is None else "yes"

    cells = [
        f"{provider.title} (`{provider.name}`)",
        "yes",
        has(provider.files),
        has(provider.embed),
        has(provider.count_tokens, "estimated"),
        has(provider.caches),
        has(provider.native),
    ]
    return f"| {' | '.join(cells)} |"


def test_the_table_of_providers_is_true():
    page = (settings.BASE_DIR / "templates" / "docs" / "endpoints.md").read_text(encoding="utf-8")
    _, _, table = page.partition("## What each provider serves\n\n")
    lines = table.partition("\n\n")[0].splitlines()[2:]
    expected = sorted(row(provider) for provider in registry.PROVIDERS.values())
    assert lines == expected
