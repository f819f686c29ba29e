"""The page of features is what the providers' own functions say today."""

from __future__ import annotations

from providers.registry import PROVIDERS
from tests.providers.matrix import samples
from tests.providers.matrix.page import PAGE, to_page


def test_the_page_is_up_to_date() -> None:
    """When it is not: `python -m tests.providers.matrix`."""
    assert PAGE.read_text(encoding="utf-8") == to_page()


def test_every_provider_is_asked() -> None:
    for name in PROVIDERS:
        assert samples.MODELS[name]
        assert name in samples.WHOLE
        assert name in samples.SPEAKERS


def test_rows_tell_the_providers_apart() -> None:
    rows = {
        cells[1].strip(): cells[2:-1]
        for cells in (line.split("|") for line in to_page().splitlines())
        if len(cells) > 5
    }
    assert {cell.strip() for cell in rows["Tools"]} == {"yes"}
    assert [cell.strip() for cell in rows["Running code (`codeExecution`)"]] == ["–", "–", "yes", "yes"]
