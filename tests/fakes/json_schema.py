"""Tells a JSON Schema from something that only looks like one."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError


def schema_problem(schema: Any) -> str | None:
    """What is wrong with the schema, or None."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return error.message[:200]
    return None
