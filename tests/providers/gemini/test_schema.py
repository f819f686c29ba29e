"""Schemas in their two forms: what the rules of Google's subset make of JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest

from providers.errors import InvalidRequest
from providers.gemini.schema import TYPES, to_json_schema, to_openapi_schema
from providers.types import Json

PERSON = {
    "$defs": {
        "Name": {"type": "string", "minLength": 1},
        "Node": {"$ref": "#/$defs/Tree"},
        "Tree": {
            "type": "object",
            "properties": {"left": {"$ref": "#/$defs/Tree"}, "n": {"type": "integer"}},
        },
    },
    "type": "object",
    "properties": {
        "name": {"$ref": "#/$defs/Name", "description": "the name"},
        "tree": {"$ref": "#/$defs/Tree"},
    },
    "required": ["name", "ghost"],
    "additionalProperties": False,
}


def lowered(schema: Any) -> Any:
    """The same schema with types as JSON Schema spells them; Google's are upper-case."""
    if isinstance(schema, list):
        return [lowered(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    assert "type" not in schema or schema["type"] in TYPES or isinstance(schema["type"], dict)
    return {
        key: value.lower() if key == "type" and isinstance(value, str) else lowered(value)
        for key, value in schema.items()
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "string", "format": "email"}, {"type": "string"}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}], "description": "d", "title": "t"},
            {"anyOf": [{"type": "string"}, {"type": "integer"}], "description": "d"},
        ),
        ({"const": "x"}, {"type": "string", "enum": ["x"]}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "string", "enum": ["1", "2"]}),
        ({"type": "string", "enum": ["", "a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "string", "enum": [""]}, {"type": "string"}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        ({"type": "array", "items": True}, {"type": "array", "items": {"type": "string"}}),
        ({"items": {"type": "number"}}, {"type": "array", "items": {"type": "number"}}),
        ({"type": "object", "properties": {}}, {"type": "object"}),
        (
            {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10, "multipleOf": 2},
            {"type": "integer", "minimum": 1, "maximum": 9},
        ),
        (
            {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"required": ["a"]}]},
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        ),
        (
            {"properties": {"b": {"type": "null"}, "a": {"not": {}, "type": "boolean"}}},
            {
                "type": "object",
                "properties": {"b": {"type": "string", "nullable": True}, "a": {"type": "boolean"}},
                "propertyOrdering": ["b", "a"],
            },
        ),
    ],
)
def test_openapi_form_keeps_what_google_knows(given, expected):
    assert lowered(to_openapi_schema(given, "p")) == expected


def test_openapi_form_inlines_references_and_breaks_circles():
    found = lowered(to_openapi_schema(PERSON, "p"))
    assert found["properties"]["name"] == {"type": "string", "minLength": 1, "description": "the name"}
    assert found["properties"]["tree"]["properties"]["left"] == {"type": "object"}
    assert found["required"] == ["name"]
    assert "$defs" not in found
    assert "additionalProperties" not in found


def test_json_schema_form_is_nearly_what_the_caller_wrote():
    found = to_json_schema(PERSON, "p")
    assert found["properties"]["name"] == {"description": "the name", "anyOf": [{"$ref": "#/$defs/Name"}]}
    assert found["properties"]["tree"] == {"$ref": "#/$defs/Tree"}
    assert found["additionalProperties"] is False
    assert set(found["$defs"]) == {"Name", "Node", "Tree"}


def test_json_schema_form_renames_definitions_and_folds_single_all_of():
    found = to_json_schema(
        {
            "$schema": "https://json-schema.org/draft-07/schema",
            "definitions": {"A": {"const": 3}},
            "properties": {"a": {"allOf": [{"$ref": "#/definitions/A"}]}},
        },
        "p",
    )
    assert found == {"$defs": {"A": {"enum": [3]}}, "properties": {"a": {"$ref": "#/$defs/A"}}}


@pytest.mark.parametrize("convert", [to_json_schema, to_openapi_schema])
def test_schemas_that_are_none_or_too_large_are_refused_with_their_place(convert):
    deep: Json = {"type": "string"}
    for _ in range(100):
        deep = {"type": "array", "items": deep}
    wide = {"properties": {f"p{i}": {"type": "string"} for i in range(30_000)}}
    broken: Any
    for broken in (deep, wide, [], "x"):
        with pytest.raises(InvalidRequest) as raised:
            convert(broken, "tools[0].function.parameters")
        assert raised.value.param == "tools[0].function.parameters"


def test_references_that_multiply_are_stopped():
    layers: dict[str, object] = {"L0": {"type": "string"}}
    for i in range(1, 30):
        ref = {"$ref": f"#/$defs/L{i - 1}"}
        layers[f"L{i}"] = {"type": "object", "properties": {"a": ref, "b": ref}}
    with pytest.raises(InvalidRequest):
        to_openapi_schema({"$defs": layers, "$ref": "#/$defs/L29"}, "p")
