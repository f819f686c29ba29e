"""config.yaml in LiteLLM's format: read with line numbers, imported into the database, exported again."""

from __future__ import annotations

from portal.services.config.exporting import export
from portal.services.config.importing import Diff, apply_import, plan_import
from portal.services.config.meaning import Parsed, parse
from portal.services.config.source import ConfigError, read, read_text

__all__ = ["ConfigError", "Diff", "Parsed", "apply_import", "export", "load", "loads", "plan_import"]


def load(path: str) -> Parsed:
    """Reads and understands a file. Raises ConfigError, every complaint with its line."""
    return parse(read(path))


def loads(text: str, name: str = "config.yaml") -> Parsed:
    """As `load`, from a text."""
    return parse(read_text(text, name))
