"""Where Google's two hosts of Gemini differ, as a value; and the state of one request's translation.

https://ai.google.dev/gemini-api/docs/migrate-to-cloud
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from providers.gemini import media, spec
from providers.types import ChatCall


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one host of Gemini takes."""

    title: str
    """The name of the host in messages to the caller."""
    generation_fields: frozenset[str]
    built_in_tools: frozenset[str]
    takes_labels: bool
    takes_server_tools: bool
    """toolCall and toolResponse parts, and the switch that asks for them."""
    takes_url: Callable[[str, str], bool]
    normal_type: Callable[[str | None, str | None], str | None]


AI_STUDIO: Final = Dialect(
    title="Gemini",
    generation_fields=spec.GENERATION_FIELDS,
    built_in_tools=frozenset({"googleSearch", "urlContext", "codeExecution", "googleMaps", "computerUse"}),
    takes_labels=False,
    takes_server_tools=True,
    takes_url=media.takes_url,
    normal_type=media.normal_type,
)


@dataclass(slots=True)
class Translation:
    """One request on its way: the call, its settings with extra_body merged in, the model's traits."""

    call: ChatCall
    settings: Mapping[str, Any]
    dialect: Dialect
    traits: spec.Traits
    resolution: str | None = None
    """Highest resolution that a media part asked for, where the model takes only one for all."""
    server_tools: bool = False
    """Built-in tools stand next to functions."""
    warned: set[str] = field(default_factory=set)

    def warn(self, text: str) -> None:
        """Adds a warning once."""
        if text not in self.warned:
            self.warned.add(text)
            self.call.warnings.append(text)
