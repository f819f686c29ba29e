"""Every kind of token costs what it should, and what nobody knows is never zero."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.services import prices
from portal.services.prices import UNKNOWN, Prices, Tokens, list_price, of_deployment

D = Decimal
MILLION = 1_000_000


def deployed(model: str = "gemini-2.5-flash", provider: str = "gemini", **values: Any) -> Prices:
    usual: dict[str, Any] = {"input_cost": None, "output_cost": None, "info": {}}
    return of_deployment(provider=provider, provider_model=model, **(usual | values))


def test_an_unknown_price_is_never_a_silent_zero():
    tokens = Tokens(input=1000, output=10)
    assert UNKNOWN.cost(tokens) is None
    assert UNKNOWN.cost(Tokens()) is None
    assert Prices(input=D("0.001")).cost(tokens) is None
    assert Prices(input=D("0.001")).cost(Tokens(input=1000)) == D("1.000")
    assert Prices(input=D("1e-7"), output=D("4e-7")).cost(tokens) == D("0.0001040")
    assert Prices(input=D(0), output=D(0)).cost(tokens) == 0


def test_cached_and_audio_tokens_cost_their_own_price():
    flash = list_price("gemini", "gemini-2.5-flash")
    assert flash.cost(Tokens(input=MILLION)) == D("0.30")
    assert flash.cost(Tokens(input=MILLION, cached=MILLION)) == D("0.03")
    assert flash.cost(Tokens(input=MILLION, audio_input=MILLION)) == D("1.00")
    half = Tokens(input=MILLION, cached=500_000, audio_input=250_000, output=MILLION)
    assert flash.cost(half) == D("0.015") + D("0.25") + D("0.075") + D("2.50")


def test_tokens_put_into_a_cache_are_paid_beside_the_input():
    flash = list_price("gemini", "gemini-2.5-flash")
    assert flash.cost(Tokens(input=MILLION, cached=MILLION, cache_written=MILLION)) == D("0.33")


def test_pictures_cost_more_than_text():
    image = list_price("gemini", "gemini-2.5-flash-image")
    assert image.cost(Tokens(output=1290 + 100, image_output=1290)) == D("0.0387") + D("0.00025")


def test_a_long_prompt_pays_the_higher_tier_for_all_of_its_tokens():
    pro = list_price("gemini", "gemini-2.5-pro")
    assert pro.cost(Tokens(input=200_000, output=1000)) == D("0.25") + D("0.01")
    assert pro.cost(Tokens(input=200_001, output=1000)) == D("0.5000025") + D("0.015")
    assert pro.cost(Tokens(input=300_000, cached=300_000)) == D("0.075")
    # What is not known of the tier is paid like input, never left out.
    partly = Prices(input=D(1), cached=D("0.1"), above=10, beyond=Prices(input=D(2), output=D(3)))
    assert partly.cost(Tokens(input=20, cached=20)) == 40


def test_a_service_tier_changes_the_price_of_all_tokens():
    flash = list_price("gemini", "gemini-2.5-flash")
    assert flash.cost(Tokens(input=MILLION, output=MILLION), "priority") == D("2.80") * D("1.8")
    assert flash.cost(Tokens(input=MILLION), "flex") == D("0.15")
    assert flash.cost(Tokens(input=MILLION), "default") == D("0.30")
    pro = list_price("vertex_ai", "gemini-3.1-pro-preview")
    assert pro.cost(Tokens(input=300_000), "priority") == D("1.2") * D("1.8")
    assert deployed(input_cost=D("1e-6")).cost(Tokens(input=MILLION), "flex") == 1


def test_versions_are_priced_like_their_model_unless_they_have_a_price_of_their_own():
    assert list_price("gemini", "models/gemini-2.0-flash-001") == list_price("gemini", "gemini-2.0-flash")
    assert list_price("vertex_ai", "gemini-2.0-flash-001").input == D("1.5e-7")
    assert list_price("openai", "gpt-4o-2024-11-20").input == D("2.5e-6")
    assert list_price("openai", "gpt-4o-2024-05-13").input == D("5e-6")
    assert list_price("openai", "gpt-unheard-of") is UNKNOWN
    assert list_price("gemini", "gpt-4o") is UNKNOWN


def test_an_operators_price_replaces_all_that_the_table_says_of_its_side():
    own = deployed(input_cost=D("1e-6"))
    assert own.cost(Tokens(input=MILLION, cached=MILLION)) == 1
    assert own.cost(Tokens(output=MILLION)) == D("2.50")
    both = deployed("gemini-2.5-pro", input_cost=D("1e-6"), output_cost=D("2e-6"))
    assert both.cost(Tokens(input=300_000, output=300_000)) == D("0.9")


def test_an_operator_may_name_prices_of_further_kinds_and_the_model_to_look_up():
    info = {"cache_read_input_token_cost": 1e-7, "input_cost_per_audio_token": "2e-6", "other": object()}
    own = deployed(input_cost=D("1e-6"), info=info)
    assert own.cost(Tokens(input=3, cached=1, audio_input=1)) == D("3.1e-6")
    assert deployed("my-deployment", "azure", info={"base_model": "azure/gpt-4o"}).output == D("1e-5")
    assert deployed("my-deployment", "azure", info={"base_model": 7}).is_unknown


def test_the_table_is_dated_and_makes_sense():
    table = prices.table()
    assert table.as_of.year >= 2026
    assert len(table.by_model) > 30
    for (provider, model), price in table.by_model.items():
        assert provider in {"gemini", "vertex_ai", "openai", "azure"}
        assert price.input is not None, model
        assert D("1e-9") < price.input < D("1e-3")
        assert price.cached is None or price.cached < price.input


COUNT = st.integers(0, 10**7)


@given(st.builds(Tokens, **dict.fromkeys(Tokens.__dataclass_fields__, COUNT)))
def test_no_count_of_a_provider_makes_a_cost_negative_or_dearer_than_the_dearest_kind(tokens: Tokens):
    flash = list_price("gemini", "gemini-2.5-flash")
    cost = flash.cost(tokens)
    assert cost is not None
    assert 0 <= cost <= (tokens.input + tokens.cache_written) * D("1e-6") + tokens.output * D("2.5e-6")


@given(
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "prompt_tokens_details", "x"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.dictionaries(st.text(), st.integers()),
    )
)
def test_any_usage_object_of_a_provider_can_be_counted(reported: dict[str, Any]):
    tokens = Tokens.of(reported)
    assert min(tokens.input, tokens.output, tokens.cached, tokens.reasoning) >= 0
    assert max(tokens.input, tokens.output) <= prices.MOST_TOKENS


@pytest.mark.parametrize("value", [None, True, "x", [], float("nan"), -1, "1e999999999"])
def test_what_is_no_price_counts_as_unknown(value: object):
    assert prices.dollars(value) is None or value == "1e999999999"
