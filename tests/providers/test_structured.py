"""Answers are held against the caller's schema, whatever the schema asks for, within bounded work."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import InvalidRequest, JSONSchemaValidationError
from providers.structured import MAX_DEPTH, MAX_NODES, Enforcement

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


def body(**format_: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_object", "enforce_validation": True, **format_}}


def whole(content: str | None, **message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content, **message}}]}


def enforcement(**format_: Any) -> Enforcement:
    found = Enforcement.of(body(**format_))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"response_format": None},
        {"response_format": "json"},
        {"response_format": {"type": "json_object"}},
        body(enforce_validation=False),
        body(enforce_validation=None),
    ],
)
def test_nothing_is_enforced_unasked(request_):
    assert Enforcement.of(request_) is None


@pytest.mark.parametrize(
    "format_",
    [
        {"response_schema": SCHEMA},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
        {"type": "json_schema", "response_schema": SCHEMA},
    ],
)
def test_the_schema_may_stand_in_openais_place_or_in_litellms(format_):
    held = enforcement(**format_)
    held.check(whole('{"name": "a"}'))
    with pytest.raises(JSONSchemaValidationError) as failure:
        held.check(whole('{"name": 5}'))
    assert failure.value.raw_response == '{"name": 5}'
    assert "$.name" in failure.value.message
    assert failure.value.to_body()["error"] == {
        "message": failure.value.message,
        "type": "server_error",
        "param": "response_format",
        "code": "json_schema_validation_failed",
        "raw_response": '{"name": 5}',
    }


def test_without_a_schema_any_object_will_do():
    held = enforcement()
    assert held.problem('{"a": 1}') is None
    assert held.problem("[1]") is not None
    assert held.problem("Sure! {}") is not None
    assert held.problem("") is not None


@pytest.mark.parametrize(
    ("format_", "param"),
    [
        ({"enforce_validation": "yes"}, "response_format.enforce_validation"),
        ({"type": "text"}, "response_format.type"),
        ({"response_schema": [1]}, "response_format"),
        ({"response_schema": {"type": "cookie"}}, "response_format"),
        ({"response_schema": {"type": "object", "properties": {"a": 5}}}, "response_format"),
        ({"response_schema": {"pattern": "("}}, "response_format"),
        ({"response_schema": {"$ref": "#/$defs/none"}}, "response_format"),
        ({"response_schema": {"$ref": "http://127.0.0.1:9/schema"}}, "response_format"),
        ({"response_schema": {"items": {"$ref": "file:///etc/passwd"}}}, "response_format"),
        ({"response_schema": {"$ref": 5}}, "response_format"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_beforehand(format_, param):
    with pytest.raises(InvalidRequest) as failure:
        enforcement(**format_)
    assert failure.value.param == param


def test_googles_words_are_understood():
    schema = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "nullable": True},
            "tags": {"type": "ARRAY", "items": {"type": "STRING", "enum": ["OBJECT"]}},
        },
        "required": ["type"],
        "propertyOrdering": ["type"],
    }
    held = enforcement(response_schema=schema)
    assert held.problem('{"type": null, "tags": ["OBJECT"]}') is None
    assert held.problem('{"type": "STRING"}') is None
    assert held.problem('{"type": 5}') is not None
    assert held.problem('{"type": null, "tags": ["object"]}') is not None


def test_older_drafts_and_definitions_are_understood():
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"name": {"type": "string"}},
        "type": "array",
        "items": [{"$ref": "#/definitions/name"}, {"type": "integer"}],
    }
    held = enforcement(response_schema=schema)
    assert held.problem('["a", 1]') is None
    assert held.problem('[1, "a"]') is not None


def test_schemas_may_refer_to_themselves():
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    held = enforcement(response_schema=tree)
    assert held.problem('{"children": [{"children": []}]}') is None
    assert held.problem('{"children": [{"children": 5}]}') is not None


@pytest.mark.parametrize(("items", "are_unique"), [([1, 2], True), ([1, 1.0], False), ([True, 1], True)])
def test_unique_items_are_told_by_value(items, are_unique):
    held = enforcement(response_schema={"type": "array", "uniqueItems": True})
    assert (held.problem(json.dumps(items)) is None) is are_unique
    assert held.problem(json.dumps([{"a": 1, "b": 2}, {"b": 2, "a": 1}])) is not None


def doubling() -> dict[str, object]:
    """Thirty definitions, each of which asks for the next one twice."""
    steps = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(30)}
    return {"$ref": "#/$defs/a0", "$defs": {**steps, "a30": {"type": "string"}}}


def chain(length: int) -> dict[str, object]:
    steps = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(length)}
    return {"$ref": "#/$defs/a0", "$defs": {**steps, f"a{length}": {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"not": {"$ref": "#"}},
        {"unevaluatedProperties": False, "anyOf": [{"$ref": "#"}]},
        {"$dynamicRef": "#x", "$dynamicAnchor": "x"},
        {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
        chain(500),
    ],
)
def test_a_schema_that_only_leads_to_itself_is_refused(schema):
    with pytest.raises(InvalidRequest, match="without end"):
        enforcement(response_schema=schema)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (doubling(), '"x"'),
        ({"type": "array", "items": {"$ref": "#"}}, "[" * 500 + "]" * 500),
        ({"type": "array", "unevaluatedItems": {"$ref": "#"}}, "[" * 500 + "]" * 500),
        ({"anyOf": [{"items": {"$ref": "#"}}, {"contains": {"$ref": "#"}}]}, "[" * 500 + "]" * 500),
    ],
)
def test_endless_work_is_refused(schema, text):
    held = enforcement(response_schema=schema)
    began = time.monotonic()
    with pytest.raises(InvalidRequest, match="too many steps"):
        held.problem(text)
    assert time.monotonic() - began < 10


def test_a_short_chain_of_references_is_followed():
    held = enforcement(response_schema=chain(50))
    assert held.problem('"x"') is None
    assert held.problem("5") is not None


def test_many_items_are_compared_in_one_pass():
    held = enforcement(response_schema={"type": "array", "uniqueItems": True})
    began = time.monotonic()
    assert held.problem(json.dumps([{"n": n} for n in range(20_000)])) is None
    assert time.monotonic() - began < 10


def test_huge_schemas_are_refused():
    deep: dict[str, object] = {"type": "string"}
    for _ in range(MAX_DEPTH + 1):
        deep = {"type": "array", "items": deep}
    wide: dict[str, Any] = {"properties": {f"p{n}": {} for n in range(MAX_NODES + 1)}}
    for schema in (deep, wide, {"enum": list(range(MAX_NODES + 1))}):
        with pytest.raises(InvalidRequest, match="too large or too deeply"):
            enforcement(response_schema=schema)


def test_calls_and_refusals_are_no_answers_yet():
    held = enforcement(response_schema=SCHEMA)
    held.check(whole(None, tool_calls=[{"id": "t"}]))
    held.check(whole(None, refusal="I cannot help with that."))
    with pytest.raises(JSONSchemaValidationError):
        held.check(whole(None))


def test_every_choice_is_held_to_it():
    held = enforcement(response_schema=SCHEMA)
    answer = whole('{"name": "a"}')
    answer["choices"].append({"index": 1, "message": {"content": "{}"}})
    with pytest.raises(JSONSchemaValidationError) as failure:
        held.check(answer)
    assert failure.value.raw_response == "{}"


def test_a_stream_is_judged_when_it_is_complete():
    held = enforcement(response_schema=SCHEMA)
    for piece in ('{"na', 'me": ', '"a"}'):
        held.see({"choices": [{"index": 0, "delta": {"content": piece}}]})
    held.see({"choices": [{"index": 1, "delta": {"tool_calls": [{}]}}]})
    held.see({"choices": [], "usage": {}})
    held.finish()
    held.see({"choices": [{"index": 0, "delta": {"content": "!"}}]})
    with pytest.raises(JSONSchemaValidationError) as failure:
        held.finish()
    assert failure.value.raw_response == '{"name": "a"}!'


def test_the_error_survives_copies():
    error = JSONSchemaValidationError("no", raw_response="{}")
    for made in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert made.raw_response == "{}"
        assert made.to_body() == error.to_body()


def test_patterns_are_known():
    assert not enforcement(response_schema=SCHEMA).has_patterns
    assert not enforcement(response_schema={"properties": {"pattern": {}}}).has_patterns
    assert enforcement(response_schema={"items": {"pattern": "a"}}).has_patterns
    assert enforcement(response_schema={"anyOf": [{"patternProperties": {}}]}).has_patterns


@pytest.mark.parametrize(
    ("schema", "text", "word"),
    [
        ({"pattern": "^a+$"}, '"aa"', '{"problem":null}'),
        ({"pattern": "^a+$"}, '"b"', "does not match"),
        ({"type": "cookie"}, '"b"', '{"refused":'),
    ],
)
def test_it_may_judge_in_a_process_of_its_own(schema, text, word):
    done = subprocess.run(
        [sys.executable, "-m", "providers.structured"],
        input=json.dumps({"schema": schema, "text": text}).encode(),
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert word in done.stdout.decode()
    assert done.stderr == b""


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=4)
    | st.sampled_from(["object", "string"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "$ref",
                    "anyOf",
                    "enum",
                    "nullable",
                    "$defs",
                    "required",
                    "pattern",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(schema=_json, text=st.text(max_size=20) | _json.map(json.dumps))
def test_no_schema_gives_anything_but_a_verdict_or_a_refusal(schema, text):
    try:
        held = enforcement(response_schema=schema)
        verdict = held.problem(text)
    except InvalidRequest:
        return
    assert verdict is None or isinstance(verdict, str)
