"""Holds answers against the JSON Schema that a caller wants enforced (`enforce_validation`).

https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import orjson

from providers.errors import InvalidRequest, JSONSchemaValidationError
from providers.types import Json

PARAM: Final = "response_format"
MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 64
MAX_STEPS: Final = 100_000
"""Keywords applied in one check: schemas that refer to themselves can ask for endless work."""
MAX_NESTED: Final = 100
"""Keywords applied within each other. Python's own limit must not be met: Rust code below panics then."""
LONGEST_REASON: Final = 300

TYPES: Final = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
"""Google's spelling, which callers may use as well."""

# Keywords whose values are schemas: one, a list, a map of them.
ONE: Final = frozenset(
    {
        "items", "additionalItems", "additionalProperties", "unevaluatedItems", "unevaluatedProperties",
        "contains", "propertyNames", "not", "if", "then", "else",
    }
)  # fmt: skip
LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems", "items"})
MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
# Keywords whose schemas judge the very value that the schema around them judges.
REFERENCES: Final = ("$ref", "$dynamicRef")
SAME_VALUE: Final = ("not", "if", "then", "else")
SAME_VALUE_LISTS: Final = ("allOf", "anyOf", "oneOf")
STAYS_AT_ROOT: Final = frozenset({"$schema", "$id", "$defs", "definitions"})

Validator: TypeAlias = Any
"""A class of jsonschema's; the library makes them at run time."""


@dataclass(slots=True)
class _Work:
    """What one check has done so far."""

    steps: int = 0
    nested: int = 0


_work: ContextVar[_Work] = ContextVar("work")


class _TooMuchWorkError(Exception):
    """The schema asks for more steps than one check may take."""


class Enforcement:
    """One caller's schema. `problem` judges a text; `check` and `see` with `finish` judge whole answers."""

    def __init__(self, schema: Json) -> None:
        self.schema = _Reading().node(schema, 0)
        self._validator = _validator(self.schema)
        self._texts: dict[int, list[str]] = {}
        self._calls: set[int] = set()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Enforcement | None:
        """What a request asks for; None when nothing. Raises InvalidRequest for an unusable schema."""
        wanted = body.get("response_format")
        if not isinstance(wanted, dict) or wanted.get("enforce_validation") in (None, False):
            return None
        if wanted["enforce_validation"] is not True:
            raise InvalidRequest(
                "response_format.enforce_validation must be true or false.",
                param=f"{PARAM}.enforce_validation",
                code="invalid_value",
            )
        return cls(_schema_in(wanted))

    @property
    def has_patterns(self) -> bool:
        """Does it hold regular expressions, which no count of steps bounds?"""
        return any(name in node for node in _nodes(self.schema) for name in ("pattern", "patternProperties"))

    def problem(self, text: str) -> str | None:
        """Why the text is not what the schema describes; None when it is."""
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            return f"it is not valid JSON: {error.msg}"
        token = _work.set(_Work())
        try:
            found = next(self._validator.iter_errors(value), None)
        except _TooMuchWorkError:
            raise InvalidRequest(
                "The schema takes too many steps, or too many within each other, to check an answer.",
                param=PARAM,
            ) from None
        finally:
            _work.reset(token)
        return None if found is None else f"{found.json_path}: {found.message}"[:LONGEST_REASON]

    def texts(self, answer: Mapping[str, Any]) -> Iterator[str]:
        """What of a whole answer must fit. A choice that calls tools or refuses is no answer yet."""
        for choice in answer.get("choices") or ():
            message = choice.get("message") or {}
            is_call = message.get("tool_calls") or message.get("function_call")
            if not is_call and (message.get("content") or not message.get("refusal")):
                yield message.get("content") or ""

    def check(self, answer: Mapping[str, Any]) -> None:
        """Raises JSONSchemaValidationError for the first text of the answer that does not fit."""
        for text in self.texts(answer):
            require(text, self.problem(text))

    def see(self, chunk: Mapping[str, Any]) -> None:
        """Takes note of one chunk of a stream."""
        for choice in chunk.get("choices") or ():
            index, delta = choice.get("index", 0), choice.get("delta") or {}
            said = self._texts.setdefault(index, [])
            if isinstance(delta.get("content"), str):
                said.append(delta["content"])
            if delta.get("tool_calls") or delta.get("function_call") or delta.get("refusal"):
                self._calls.add(index)

    def seen(self) -> Iterator[str]:
        """What of the stream must fit, once it is complete."""
        for index, pieces in sorted(self._texts.items()):
            if index not in self._calls:
                yield "".join(pieces)

    def finish(self) -> None:
        """Raises JSONSchemaValidationError when the stream, now complete, does not fit."""
        for text in self.seen():
            require(text, self.problem(text))


def require(text: str, problem: str | None) -> None:
    """Raises JSONSchemaValidationError where there is a problem with the text."""
    if problem is not None:
        raise JSONSchemaValidationError(
            f"The model's answer does not match the schema: {problem}", raw_response=text
        )


def _schema_in(wanted: Mapping[str, Any]) -> Json:
    """The schema in OpenAI's place or in LiteLLM's. Without one, any JSON object will do."""
    if wanted.get("type") not in ("json_object", "json_schema"):
        raise InvalidRequest(
            "enforce_validation needs the type json_object or json_schema.", param=f"{PARAM}.type"
        )
    inner = wanted.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else wanted.get("response_schema")
    if schema is None:
        return {"type": "object"}
    if not isinstance(schema, dict):
        raise InvalidRequest("The schema to enforce must be an object.", param=PARAM)
    return schema


class _Reading:
    """Turns a schema as callers write it into JSON Schema, and bounds it."""

    def __init__(self) -> None:
        self._nodes = 0

    def node(self, schema: Any, depth: int) -> Any:
        self._count(1, depth)
        if not isinstance(schema, dict):
            return schema
        read: Json = {}
        for name, value in schema.items():
            if name == "nullable":
                continue
            if name == "type" and isinstance(value, str) and value in TYPES:
                read[name] = value.lower()
            elif name in LISTS and isinstance(value, list):
                read[name] = [self.node(item, depth + 1) for item in value]
            elif name in MAPS and isinstance(value, dict):
                read[name] = {key: self.node(item, depth + 1) for key, item in value.items()}
            elif name in ONE:
                read[name] = self.node(value, depth + 1)
            else:
                self._count(len(value) if isinstance(value, list | dict) else 0, depth)
                read[name] = value
        return _or_null(read) if schema.get("nullable") is True else read

    def _count(self, nodes: int, depth: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise InvalidRequest("The schema is too large or too deeply nested.", param=PARAM)


def _or_null(schema: Json) -> Json:
    """Google's `nullable` in JSON Schema's words."""
    root = {name: value for name, value in schema.items() if name in STAYS_AT_ROOT}
    rest = {name: value for name, value in schema.items() if name not in STAYS_AT_ROOT}
    return {**root, "anyOf": [rest, {"type": "null"}]}


def _nodes(schema: Any) -> Iterator[Json]:
    """Every schema in a schema."""
    if not isinstance(schema, dict):
        return
    yield schema
    for name, value in schema.items():
        if name in MAPS and isinstance(value, dict):
            inner: list[Any] = list(value.values())
        elif name in LISTS and isinstance(value, list):
            inner = value
        else:
            inner = [value] if name in ONE else []
        for item in inner:
            yield from _nodes(item)


def _validator(schema: Json) -> Validator:
    # Imported when first needed: few callers enforce anything, and it takes its time.
    from jsonschema import exceptions, validators
    from referencing import Registry, Resource
    from referencing import exceptions as unresolved
    from referencing.jsonschema import DRAFT202012

    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        why = f"{error.json_path}: {error.message}"[:LONGEST_REASON]
        raise InvalidRequest(f"The schema is not a valid JSON Schema: {why}", param=PARAM) from None
    except (RecursionError, re.error):
        raise InvalidRequest("The schema is not a valid JSON Schema.", param=PARAM) from None
    # A registry of its own: the library's default one would fetch addresses that a schema refers to.
    registry: Registry[Any] = Registry()
    resource = Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = registry.resolver_with_root(resource)

    def look_up(reference: str) -> Any:
        try:
            return resolver.lookup(reference).contents
        except (unresolved.Unresolvable, unresolved.NoSuchResource, ValueError, AttributeError):
            raise InvalidRequest(
                "The schema refers to something that it does not hold.", param=PARAM
            ) from None

    heights: dict[int, int] = {}
    for node in _nodes(schema):
        _height(node, look_up, heights, 0)
    return _bounded(kind)(schema, registry=registry)


def _height(node: Any, look_up: Callable[[str], Any], heights: dict[int, int], depth: int) -> int:
    """How many schemas, one leading to the next, judge the same value. Raises InvalidRequest for a schema
    that leads back to itself: judging by it would never end."""
    if not isinstance(node, dict):
        return 0
    if id(node) not in heights:
        if depth > MAX_NESTED:
            raise InvalidRequest("The schema refers to itself without end.", param=PARAM)
        below = [look_up(node[name]) for name in REFERENCES if name in node]
        below += [node[name] for name in SAME_VALUE if name in node]
        below += [item for name in SAME_VALUE_LISTS for item in node.get(name, ())]
        below += list(node.get("dependentSchemas", {}).values())
        heights[id(node)] = 1 + max((_height(item, look_up, heights, depth + 1) for item in below), default=0)
    if depth + heights[id(node)] > MAX_NESTED + 1:
        raise InvalidRequest("The schema refers to itself without end.", param=PARAM)
    return heights[id(node)]


@lru_cache(maxsize=16)
def _bounded(kind: Validator) -> Validator:
    """The same rules, counted; and `uniqueItems` in one pass instead of comparing each with each."""
    from jsonschema import validators

    rules = {**kind.VALIDATORS, "uniqueItems": _unique_items}
    extend: Any = validators.extend
    return extend(kind, {name: _counted(rule) for name, rule in rules.items()})


def _counted(rule: Any) -> Any:
    def apply(validator: Validator, value: Any, instance: Any, schema: Any) -> Iterator[Exception]:
        work = _work.get()
        work.steps += 1
        work.nested += 1
        if work.steps > MAX_STEPS or work.nested > MAX_NESTED:
            raise _TooMuchWorkError
        try:
            yield from rule(validator, value, instance, schema) or ()
        finally:
            work.nested -= 1

    return apply


def _unique_items(validator: Validator, wanted: Any, instance: Any, schema: Any) -> Iterator[Exception]:
    from jsonschema.exceptions import ValidationError

    del validator, schema
    if wanted is not True or not isinstance(instance, list):
        return
    if len({json.dumps(_same(item), sort_keys=True) for item in instance}) < len(instance):
        yield ValidationError("the items are not unique")


def _same(value: Any) -> Any:
    """1 and 1.0 are one number to JSON Schema."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_same(item) for item in value]
        case dict():
            return {name: _same(item) for name, item in value.items()}
        case _:
            return value


def main() -> None:
    """Judges apart from whoever asks, so that an endless regular expression can be ended with the process:
    `{"schema", "text"}` on standard input, `{"problem"}` or `{"refused"}` on standard output."""
    asked = orjson.loads(sys.stdin.buffer.read())
    try:
        verdict: Json = {"problem": Enforcement(asked["schema"]).problem(asked["text"])}
    except InvalidRequest as error:
        verdict = {"refused": error.message}
    sys.stdout.buffer.write(orjson.dumps(verdict))


if __name__ == "__main__":
    main()
