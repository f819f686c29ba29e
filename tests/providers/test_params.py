from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import InvalidRequest, UnsupportedParameter
from providers.params import PARAMS, drop, validate_params
from providers.types import ChatCall

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "function", "name", "json_schema", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 3),
        ("temperature", -0.1),
        ("temperature", "1"),
        ("temperature", True),
        ("temperature", float("nan")),
        ("top_p", 1.01),
        ("n", 0),
        ("n", 1.0),
        ("max_tokens", 0),
        ("max_completion_tokens", "5"),
        ("stream", "true"),
        ("stop", 5),
        ("stop", ["a", 1]),
        ("stop", ["a"] * 17),
        ("tools", {}),
        ("tools", ["x"]),
        ("response_format", "json"),
        ("reasoning_effort", 3),
        ("stream_options", True),
        ("logit_bias", []),
        ("metadata", "x"),
        ("top_logprobs", 21),
        ("presence_penalty", -2.5),
        ("thinking", True),
        ("safety_settings", {}),
        ("topK", "x"),
        ("drop_params", 1),
        ("extra_body", []),
    ],
)
def test_a_wrong_type_or_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate_params({name: value})
    assert refused.value.param == name
    assert refused.value.to_body()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": 1}]}, "tools[0].type"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
        ),
        ({"functions": [{"name": ""}]}, "functions[0].name"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": ["x"]}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ],
)
def test_what_lies_deeper_is_refused_by_its_path(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate_params(body)
    assert refused.value.param == param


def test_null_counts_as_absent_and_unknown_names_pass() -> None:
    validate_params(dict.fromkeys(PARAMS) | {"something_new": object()})


def test_usual_values_pass() -> None:
    validate_params(
        {
            "temperature": 0,
            "top_p": 1,
            "n": 2,
            "stop": ["a", "b"],
            "stream": True,
            "stream_options": {"include_usage": True},
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {}}},
                {"googleSearch": {}},
            ],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_object", "response_schema": {}},
            "seed": -1,
            "thinking": {"type": "enabled", "budget_tokens": 5},
            "topK": 1,
        }
    )


@given(st.dictionaries(st.sampled_from(sorted(PARAMS)), values, max_size=4))
def test_any_json_passes_or_is_refused(body: dict[str, Any]) -> None:
    param: str | None = "passed"
    try:
        validate_params(body)
    except InvalidRequest as refused:
        param = refused.param
    assert param


def test_dropping_needs_leave_and_leaves_a_warning() -> None:
    strict = ChatCall("m", "public", {})
    with pytest.raises(UnsupportedParameter) as refused:
        drop(strict, "logit_bias", "Gemini has no such thing")
    assert refused.value.param == "logit_bias"
    lenient = ChatCall("m", "public", {}, drop_params=True)
    drop(lenient, "logit_bias", "Gemini has no such thing")
    assert lenient.warnings == ["logit_bias was dropped: Gemini has no such thing"]
