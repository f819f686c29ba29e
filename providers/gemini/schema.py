"""JSON Schema as callers write it → the two forms that Gemini reads.

https://ai.google.dev/gemini-api/docs/structured-output
https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from providers.errors import InvalidRequest
from providers.types import Json

MAX_DEPTH: Final = 48
MAX_NODES: Final = 20_000
"""Inlining references multiplies; Google refuses far smaller schemas with "too many states"."""

Schema: TypeAlias = Mapping[str, Any]

# Keywords of the OpenAPI subset; whatever else a schema says is left out.
KEPT: Final = frozenset(
    {
        "type", "format", "title", "description", "nullable", "enum", "items", "minItems", "maxItems",
        "properties", "required", "propertyOrdering", "minProperties", "maxProperties", "minLength",
        "maxLength", "pattern", "minimum", "maximum", "anyOf", "default", "example",
    }
)  # fmt: skip
TYPES: Final = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
STRING_FORMATS: Final = frozenset({"enum", "date-time"})
NUMBER_FORMATS: Final = frozenset({"float", "double", "int32", "int64"})

# Keywords of the JSON Schema form whose value holds further schemas.
_MAPS_OF_SCHEMAS = frozenset({"properties", "$defs"})
_LISTS_OF_SCHEMAS = frozenset({"anyOf", "oneOf", "prefixItems"})
_SCHEMAS = frozenset({"items", "additionalProperties"})


class _Budget:
    """Counts the nodes of one conversion, so that a small request cannot become a huge one."""

    def __init__(self, param: str) -> None:
        self.param = param
        self.left = MAX_NODES

    def spend(self, depth: int) -> None:
        self.left -= 1
        if self.left < 0 or depth > MAX_DEPTH:
            raise InvalidRequest("The schema is too large or too deeply nested.", param=self.param)


# ---- JSON Schema form (2.5 and newer) -----------------------------------------------------------


def to_json_schema(schema: Any, param: str) -> Json:
    """A schema for responseJsonSchema or parametersJsonSchema: nearly what the caller wrote.

    `$ref` may have no siblings but `$`-words there, `const` and `allOf` are unknown.
    """
    if not isinstance(schema, dict):
        raise InvalidRequest("A schema must be an object.", param=param)
    converted = _json_node(schema, _Budget(param), 0)
    return converted if isinstance(converted, dict) else {}


def _json_node(node: Any, budget: _Budget, depth: int) -> Any:
    budget.spend(depth)
    if not isinstance(node, dict):
        return node
    node = _merged_all_of(node, budget)
    result: Json = {}
    for key, value in node.items():
        name = "$defs" if key == "definitions" else key
        if name in _MAPS_OF_SCHEMAS and isinstance(value, dict):
            result[name] = {field: _json_node(sub, budget, depth + 1) for field, sub in value.items()}
        elif name in _LISTS_OF_SCHEMAS and isinstance(value, list):
            result[name] = [_json_node(sub, budget, depth + 1) for sub in value]
        elif name in _SCHEMAS:
            result[name] = _json_node(value, budget, depth + 1)
        elif name == "$ref" and isinstance(value, str):
            result[name] = value.replace("#/definitions/", "#/$defs/")
        elif name == "const":
            result.setdefault("enum", [value])
        elif name not in ("$schema", "strict"):
            result[name] = value
    if "$ref" in result and any(not key.startswith("$") for key in result):
        result["anyOf"] = [{"$ref": result.pop("$ref")}]
    return result


def _merged_all_of(node: Json, budget: _Budget) -> Json:
    """`allOf` folded into the node: one reference stays a reference, several objects become one."""
    parts = node.get("allOf")
    if not isinstance(parts, list):
        return node
    merged = {key: value for key, value in node.items() if key != "allOf"}
    for part in parts:
        budget.spend(0)
        if isinstance(part, dict):
            merged = _merge(merged, part)
    return merged


def _merge(left: Json, right: Json) -> Json:
    result = dict(left)
    for key, value in right.items():
        mine = result.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            result[key] = {**mine, **value}
        elif key == "required" and isinstance(mine, list) and isinstance(value, list):
            result[key] = [*mine, *(name for name in value if name not in mine)]
        else:
            result[key] = value
    return result


# ---- OpenAPI form (2.0 and older) ---------------------------------------------------------------


def to_openapi_schema(schema: Any, param: str) -> Json:
    """A schema for responseSchema or parameters: references inlined, everything unknown left out."""
    if not isinstance(schema, dict):
        raise InvalidRequest("A schema must be an object.", param=param)
    return _OpenApi(schema, _Budget(param)).node(schema, 0, ())


class _OpenApi:
    """One conversion: the root, for its definitions, and the nodes that may still be spent."""

    def __init__(self, root: Json, budget: _Budget) -> None:
        self.root = root
        self.budget = budget

    def node(self, node: Any, depth: int, seen: tuple[str, ...]) -> Json:
        self.budget.spend(depth)
        if not isinstance(node, dict):
            return {}
        reference = node.get("$ref")
        if isinstance(reference, str):
            siblings = {key: value for key, value in node.items() if key != "$ref"}
            if reference in seen:
                return {"type": "OBJECT", **_words(siblings)}
            return self.node({**self.resolve(reference), **siblings}, depth + 1, (*seen, reference))
        node = _merged_all_of(node, self.budget)
        if "allOf" not in node and "$ref" in node:
            return self.node(node, depth + 1, seen)
        return self.shape(_plain_types(node), depth, seen)

    def resolve(self, reference: str) -> Json:
        target: Any = self.root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = (
                target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
            )
        return target if isinstance(target, dict) else {}

    def shape(self, node: Json, depth: int, seen: tuple[str, ...]) -> Json:
        choices = node.get("anyOf", node.get("oneOf"))
        if isinstance(choices, list) and choices:
            return self.choice(node, choices, depth, seen)
        result = {
            key: value for key, value in node.items() if key in KEPT and key not in ("anyOf", "nullable")
        }
        if node.get("nullable") is True:
            result["nullable"] = True
        _bounds(node, result)
        _enumeration(node, result)
        # Every node needs a type: the root of anything is an object, a value of any kind is written as text.
        result.setdefault("type", "STRING" if depth else "OBJECT")
        match result.get("type"):
            case "ARRAY":
                items = self.node(node.get("items"), depth + 1, seen)
                result["items"] = items or {"type": "STRING"}
            case "OBJECT":
                self.members(node, result, depth, seen)
        _only_fitting(result)
        return result

    def choice(self, node: Json, choices: list[Any], depth: int, seen: tuple[str, ...]) -> Json:
        real = [
            choice for choice in choices if not (isinstance(choice, dict) and _is_null(choice.get("type")))
        ]
        words = _words(node)
        if len(real) < len(choices):
            words["nullable"] = True
        if len(real) == 1:
            return {**self.node(real[0], depth + 1, seen), **words}
        return {"anyOf": [self.node(choice, depth + 1, seen) for choice in real], **words}

    def members(self, node: Json, result: Json, depth: int, seen: tuple[str, ...]) -> None:
        members = node.get("properties")
        if not isinstance(members, dict) or not members:
            result.pop("properties", None)
            result.pop("required", None)
            return
        result["properties"] = {name: self.node(sub, depth + 1, seen) for name, sub in members.items()}
        required = node.get("required")
        result["required"] = [name for name in members if isinstance(required, list) and name in required]
        if not result["required"]:
            del result["required"]
        if len(members) > 1:
            result.setdefault("propertyOrdering", list(members))


def _is_null(named: Any) -> bool:
    return isinstance(named, str) and named.upper() == "NULL"


def _words(node: Json) -> Json:
    """What stays next to `anyOf`: the description and whether null is allowed."""
    words: Json = {}
    if isinstance(node.get("description"), str):
        words["description"] = node["description"]
    if node.get("nullable") is True:
        words["nullable"] = True
    return words


def _plain_types(node: Json) -> Json:
    """`type` as one known word: lists become anyOf, null becomes nullable, missing types are inferred."""
    named = node.get("type")
    if isinstance(named, list):
        real = [item for item in named if not _is_null(item)]
        rest = {key: value for key, value in node.items() if key != "type"}
        if len(real) < len(named):
            rest["nullable"] = True
        if len(real) == 1:
            return _plain_types({**rest, "type": real[0]})
        return {**rest, "anyOf": [{"type": item} for item in real]} if real else rest
    if isinstance(named, str) and named.upper() in TYPES:
        name = named.upper()
        if name == "NULL":
            return {**{key: value for key, value in node.items() if key != "type"}, "nullable": True}
        return {**node, "type": name}
    node = {key: value for key, value in node.items() if key != "type"}
    if "properties" in node:
        return {**node, "type": "OBJECT"}
    if "items" in node:
        return {**node, "type": "ARRAY"}
    return node


def _enumeration(node: Json, result: Json) -> None:
    """`enum` and `const` as a list of non-empty strings, which is all that the old form allows."""
    values = [node["const"]] if "const" in node else node.get("enum")
    result.pop("enum", None)
    if not isinstance(values, list):
        return
    words = [value if isinstance(value, str) else str(value) for value in values if value not in (None, "")]
    if words and not any(isinstance(value, bool) for value in values):
        result["enum"] = words
        result["type"] = "STRING"
        result.pop("format", None)


def _bounds(node: Json, result: Json) -> None:
    for exclusive, inclusive, step in (
        ("exclusiveMinimum", "minimum", 1),
        ("exclusiveMaximum", "maximum", -1),
    ):
        bound = node.get(exclusive)
        if isinstance(bound, int | float) and not isinstance(bound, bool) and inclusive not in result:
            result[inclusive] = bound + step if node.get("type") == "INTEGER" else bound


def _only_fitting(result: Json) -> None:
    """Leaves out formats that models refuse and members that do not belong to the type."""
    named = result.get("type")
    allowed = STRING_FORMATS if named == "STRING" else NUMBER_FORMATS
    written = result.pop("format", None)
    if isinstance(written, str) and written in allowed:
        result["format"] = written
    if named != "OBJECT":
        for key in ("properties", "required", "propertyOrdering"):
            result.pop(key, None)
    if named != "ARRAY":
        result.pop("items", None)
