"""What calls would cost: /cost/estimate."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from portal.api import fields
from portal.api.management import Ask, posts
from portal.services import catalog
from portal.services.prices import Prices, Tokens
from providers.errors import InvalidRequest

PARTS = ("", "input_", "output_")
PERIODS = {"day": "daily", "month": "monthly"}


def cost(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """The price of so many tokens, on the dearest deployment; null where a price is unknown."""
    entry = catalog.find_model(values["model"], ask.caller)
    counts = {name: values.get(name) or 0 for name in COUNTS}
    asked, said = counts["input_tokens"], counts["output_tokens"]
    cached, written = counts["cache_read_input_tokens"], counts["cache_creation_input_tokens"]
    if cached + written > asked:
        raise InvalidRequest("More tokens are cached than there are.", param="input_tokens")
    if counts["reasoning_tokens"] > said:
        raise InvalidRequest("More tokens are thoughts than there are.", param="output_tokens")
    tokens = Tokens(input=asked - written, output=said, cached=cached, cache_written=written)
    each = max(
        (_parts(plan.prices, tokens) for plan in entry.deployments),
        key=lambda parts: Decimal(-1) if parts[""] is None else parts[""],
        default=dict.fromkeys(PARTS),
    )
    found: dict[str, Any] = {"model": values["model"], **counts}
    found |= {f"{part}cost_per_request": _shown(each[part]) for part in PARTS}
    for period, adverb in PERIODS.items():
        name = f"num_requests_per_{period}"
        often = found[name] = values.get(name)
        found |= {f"{adverb}_{part}cost": _shown(each[part], often) for part in PARTS}
    return found


def _parts(prices: Prices, tokens: Tokens) -> dict[str, Decimal | None]:
    """Of one call. All of its parts at the prices that its length brings."""
    whole = prices.cost(tokens)
    asked = prices.cost(replace(tokens, output=0))
    said = None if whole is None or asked is None else whole - asked
    return {"": whole, "input_": asked, "output_": said}


def _shown(amount: Decimal | None, times: int | None = 1) -> float | None:
    return None if amount is None or times is None else float(amount * times)


COUNTS = {
    "input_tokens": fields.count("Of one call."),
    "output_tokens": fields.count("Of one call."),
    "cache_read_input_tokens": fields.count("Those of the input that come out of a cache."),
    "cache_creation_input_tokens": fields.count("Those of the input that are put into one."),
    "reasoning_tokens": fields.count("Those of the output that are thoughts; they cost the same."),
}
Cost = posts(
    cost,
    permission="models.read",
    summary="What calls would cost",
    fields={
        "model": fields.text("A model's name.", 300),
        **COUNTS,
        "num_requests_per_day": fields.count(""),
        "num_requests_per_month": fields.count(""),
    },
    required="model",
)
