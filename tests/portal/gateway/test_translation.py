"""What a request becomes, and which parameters survive it, without anything being sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.gateway import translation
from portal.gateway.translation import SAMPLES
from providers import registry
from providers.errors import InvalidRequest, UnsupportedFile
from providers.params import OPENAI, validate_params
from providers.types import Connection
from tests.portal.gateway.routing.plans import PLAN

BODY = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}
KEY = "a-secret-0123456789abcdef"
GEMINI = replace(
    PLAN,
    provider=registry.PROVIDERS["gemini"],
    connection=Connection("gemini", api_key=KEY, api_base="http://user.example:8000/v1beta?key=hidden"),
    provider_model="gemini-2.5-flash",
)


def test_every_parameter_of_openais_has_a_good_sample():
    assert SAMPLES.keys() == OPENAI.keys()
    for name, sample in SAMPLES.items():
        assert name in sample
        validate_params({**BODY, **sample})


@pytest.mark.parametrize("provider", sorted(registry.PROVIDERS))
def test_every_provider_takes_what_every_chat_has(provider: str):
    connection = Connection(
        provider,
        api_key=KEY,
        api_base="http://127.0.0.1:9",
        options={"vertex_project": "p", "vertex_location": "l"},
    )
    plan = replace(GEMINI, provider=registry.PROVIDERS[provider], connection=connection)
    assert {"temperature", "top_p", "stream", "tools", "response_format"} <= {*translation.supported(plan)}


def test_what_the_translation_refuses_is_not_listed():
    found = translation.supported(GEMINI)
    assert "logit_bias" not in found
    assert "audio" not in found
    speaks = replace(GEMINI, provider_model="gemini-2.5-flash-preview-tts")
    assert "audio" in translation.supported(speaks)


def test_defaults_of_the_deployment_are_part_of_what_is_shown_and_no_secret_is():
    shown = translation.chat_request(replace(GEMINI, params={"temperature": 0.25}), BODY)
    assert shown.body["generationConfig"]["temperature"] == 0.25
    assert shown.headers["x-goog-api-key"] == translation.HIDDEN
    assert shown.method == "POST"
    assert "hidden" not in str(shown)
    assert KEY not in str(shown)


def test_files_are_not_looked_up():
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    with pytest.raises(UnsupportedFile):
        translation.chat_request(GEMINI, {**BODY, "messages": [{"role": "user", "content": [part]}]})


def test_vectors_need_a_provider_that_has_some():
    plan = replace(PLAN, provider=replace(PLAN.provider, embed=None))
    with pytest.raises(InvalidRequest) as refused:
        translation.embedding_request(plan, {"model": "gpt", "input": "a"})
    assert refused.value.code == "unsupported_endpoint"
