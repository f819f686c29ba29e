"""What calls cost: a dated table of list prices, and an operator's own prices over it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any, Final

TABLE: Final = Path(__file__).with_name("prices.toml")
PER: Final = Decimal(1_000_000)
KINDS: Final = ("input", "cached", "audio_input", "output", "image_output", "audio_output")
MOST_TOKENS: Final = 2**53

# LiteLLM's names in `model_info` for prices beside the two that a deployment has columns for.
INFO_KEYS: Final[Mapping[str, str]] = {
    "cached": "cache_read_input_token_cost",
    "audio_input": "input_cost_per_audio_token",
    "image_output": "output_cost_per_image_token",
    "audio_output": "output_cost_per_audio_token",
}
_VERSION = re.compile(r"(?:@[\w-]+|-\d{3}|-\d{4}-\d{2}-\d{2})$")
"""`-001`, `@001` and `-2025-04-14` name a version of a model; a version with its own entry keeps it."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an OpenAI `usage` object counts, whatever else a provider may have put into it.

    `input` holds `cached` and `audio_input`; `output` holds `reasoning`, `image_output` and `audio_output`.
    `cache_written` are tokens put into a cache for this call, beside its input.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    audio_input: int = 0
    image_output: int = 0
    audio_output: int = 0
    cache_written: int = 0

    @classmethod
    def of(cls, usage: Mapping[str, Any]) -> Tokens:
        asked, said = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
        return cls(
            input=_count(usage, "prompt_tokens"),
            output=_count(usage, "completion_tokens"),
            cached=_count(asked, "cached_tokens"),
            reasoning=_count(said, "reasoning_tokens"),
            audio_input=_count(asked, "audio_tokens"),
            image_output=_count(said, "image_tokens"),
            audio_output=_count(said, "audio_tokens"),
        )


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars per token of each kind. A kind without its own price costs what input or output costs."""

    input: Decimal | None = None
    cached: Decimal | None = None
    audio_input: Decimal | None = None
    output: Decimal | None = None
    image_output: Decimal | None = None
    audio_output: Decimal | None = None
    above: int | None = None
    """With more input tokens than this, `beyond` counts."""
    beyond: Prices | None = None
    service_tiers: Mapping[str, Decimal] = field(default_factory=dict)
    """What a service tier multiplies the prices by; other tiers cost as usual."""

    @property
    def is_unknown(self) -> bool:
        return self.input is None and self.output is None

    @property
    def is_free(self) -> bool:
        """Is it known that nothing costs anything?"""
        if self.input is None or self.output is None or (self.beyond and not self.beyond.is_free):
            return False
        return not any(
            (self.input, self.cached, self.audio_input, self.output, self.image_output, self.audio_output)
        )

    def cost(self, tokens: Tokens, service_tier: str = "") -> Decimal | None:
        """Dollars; None when a price that is needed is unknown, never a silent zero."""
        prices = self
        if self.beyond is not None and self.above is not None and tokens.input > self.above:
            prices = self.beyond
        cost = prices._plain_cost(tokens)
        factor = self.service_tiers.get(service_tier)
        return cost if cost is None or factor is None else cost * factor

    def _plain_cost(self, tokens: Tokens) -> Decimal | None:
        if self.is_unknown:
            return None
        asked = _sum(self._input(tokens))
        said = _sum(self._output(tokens))
        return None if asked is None or said is None else asked + said

    def _input(self, tokens: Tokens) -> Iterator[tuple[int, Decimal | None]]:
        # Providers rarely say which kind was cached; what exceeds the text can only have been audio.
        cached = min(tokens.cached, tokens.input)
        audio = min(tokens.audio_input, tokens.input - cached)
        yield tokens.input - cached - audio, self.input
        yield cached, self.input if self.cached is None else self.cached
        yield audio, self.input if self.audio_input is None else self.audio_input
        yield tokens.cache_written, self.input

    def _output(self, tokens: Tokens) -> Iterator[tuple[int, Decimal | None]]:
        images = min(tokens.image_output, tokens.output)
        audio = min(tokens.audio_output, tokens.output - images)
        yield tokens.output - images - audio, self.output
        yield images, self.output if self.image_output is None else self.image_output
        yield audio, self.output if self.audio_output is None else self.audio_output


UNKNOWN: Final = Prices()


@dataclass(frozen=True, slots=True)
class Table:
    as_of: date
    by_model: Mapping[tuple[str, str], Prices]


@cache
def table() -> Table:
    """The list prices that come with the program."""
    with TABLE.open("rb") as file:
        read = tomllib.load(file, parse_float=Decimal)
    found: dict[tuple[str, str], Prices] = {}
    for entry in read["models"]:
        prices = _prices(entry)
        if above := entry.get("above"):
            prices = replace(prices, above=above["tokens"], beyond=_prices(above))
        if factors := entry.get("service_tiers"):
            prices = replace(
                prices, service_tiers={tier: Decimal(factor) for tier, factor in factors.items()}
            )
        found |= {(provider, name): prices for provider in entry["providers"] for name in entry["names"]}
    return Table(read["as_of"], found)


def list_price(provider: str, model: str) -> Prices:
    """What the table says of a provider's own model id; UNKNOWN when it says nothing."""
    name = model.rpartition("/")[2]
    known = table().by_model
    return known.get((provider, name)) or known.get((provider, _VERSION.sub("", name))) or UNKNOWN


def of_deployment(
    *,
    provider: str,
    provider_model: str,
    input_cost: Decimal | None,
    output_cost: Decimal | None,
    info: Mapping[str, Any],
) -> Prices:
    """The operator's prices where there are some, else the table's.

    The operator's price of input (output) replaces all that the table says of input (output): a special
    price must not be mixed with a list price. `model_info.base_model` names the model to look up, for
    deployments whose own name says nothing.
    """
    base = info.get("base_model")
    listed = list_price(provider, base) if isinstance(base, str) else UNKNOWN
    if listed is UNKNOWN:
        listed = list_price(provider, provider_model)
    own: dict[str, Any] = {kind: dollars(info.get(key)) for kind, key in INFO_KEYS.items()}
    if input_cost is not None:
        listed = replace(_untiered(listed), input=input_cost, cached=None, audio_input=None)
    if output_cost is not None:
        listed = replace(_untiered(listed), output=output_cost, image_output=None, audio_output=None)
    return replace(listed, **{kind: price for kind, price in own.items() if price is not None})


def _untiered(prices: Prices) -> Prices:
    return replace(prices, above=None, beyond=None, service_tiers={})


def dollars(value: object) -> Decimal | None:
    """A price that somebody wrote as a number or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        return None
    return price if price.is_finite() and price >= 0 else None


def _prices(entry: Mapping[str, Any]) -> Prices:
    found: dict[str, Any] = {kind: Decimal(entry[kind]) / PER for kind in KINDS if kind in entry}
    return Prices(**found)


def _sum(items: Iterator[tuple[int, Decimal | None]]) -> Decimal | None:
    total = Decimal(0)
    for tokens, price in items:
        if tokens:
            if price is None:
                return None
            total += tokens * price
    return total


def _count(holder: object, name: str) -> int:
    value = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), MOST_TOKENS)
