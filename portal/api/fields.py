"""Fields of management requests: how each is read, and how the schema shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from portal.api.schema import Schema
from portal.services import budget_figures, durations, options, validation
from providers.errors import InvalidRequest, UnsupportedParameter

Read = Callable[[object, str], Any]
LARGEST_PAGE = 10_000
UNSET_AT_ZERO = frozenset({"spend"})
"""Fields whose 0 is what a new row has anyway."""


@dataclass(frozen=True, slots=True)
class Field:
    """`read` takes the value and its name and raises InvalidRequest; nulls never reach it."""

    read: Read
    schema: Schema


Fields = Mapping[str, Field]
_NO_TEAMS_ABOVE = "teams hold keys, and nothing stands above or between them"
_NO_GUARDS = "there are no guardrails, policies or stored prompts"
_NO_CALLBACKS = "nothing is sent to other products' loggers or secret managers"
REASONS: Mapping[str, str] = {
    "organization_id": _NO_TEAMS_ABOVE,
    "organizations": _NO_TEAMS_ABOVE,
    "project_id": _NO_TEAMS_ABOVE,
    "agent_id": "there are no agents",
    "access_group_ids": "name the groups in `models`",
    "config": "write `router_settings`, or default parameters at the model",
    "default_estimated_output_tokens": "what is reserved follows from the request and the model",
    "default_team_member_models": "give the member's keys `models`",
    "allowed_models": "give the member's keys `models`",
    "disable_global_guardrails": _NO_GUARDS,
    "enforced_batch_output_expires_after": "batches are not served",
    "enable_prompt_caching": "requests mark what is to be cached",
    "end_user_budget_id": "end users have no budgets of their own; give them keys, or tags",
    "guardrails": _NO_GUARDS,
    "logging": _NO_CALLBACKS,
    "mcp_rpm_limit": "MCP servers are not served",
    "object_permission": "MCP servers, vector stores and agents are not served",
    "policies": _NO_GUARDS,
    "prompts": _NO_GUARDS,
    "secret_manager_settings": _NO_CALLBACKS,
    "send_invite_email": "a key is shown once, to whoever makes it, and sent to nobody",
    "team_member_key_duration": "give each key its `duration`",
    "team_member_permissions": "roles in a team decide what its members may do",
    "tpd_limit": "it bounds batches, which are not served; `tpm_limit` and budgets bound calls",
}
"""Why fields that LiteLLM has are refused, and what to write instead."""


def text(description: str, limit: int = 200) -> Field:
    def read(value: object, param: str) -> str:
        return validation.text(value, param=param, limit=limit)

    return Field(read, {"type": "string", "nullable": True, "description": description})


def secret(description: str) -> Field:
    """A key; checked by the service, and never repeated."""
    return Field(_plain_text, {"type": "string", "nullable": True, "description": description})


def flag(description: str) -> Field:
    return Field(_flag, {"type": "boolean", "description": description})


def names(description: str) -> Field:
    return Field(options.entries, _array(description))


def mapping(description: str) -> Field:
    return Field(
        options.mapping, {"type": "object", "additionalProperties": True, "description": description}
    )


def money(description: str) -> Field:
    return Field(budget_figures.money, {"type": "number", "nullable": True, "description": description})


def count(description: str) -> Field:
    return Field(options.count, {"type": "integer", "nullable": True, "description": description})


def objects(description: str) -> Field:
    schema = {"type": "array", "items": {"type": "object", "additionalProperties": True}}
    return Field(_objects, schema | {"description": description})


def as_given(schema: Schema) -> Field:
    """For what the service reads itself."""
    return Field(lambda value, param: value, schema)


def option(name: str, schema: Schema) -> Field:
    return Field(options.CHECKS[name], schema)


def read(body: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """What a request gives, checked. A null stays None.

    Raises UnsupportedParameter for a field that is not among `fields`, unless it says nothing: clients send
    many names that they do not use. A limit of 0 says something.
    """
    found: dict[str, Any] = {}
    for name, value in body.items():
        field = fields.get(name)
        if field is None:
            if _is_empty(value) or (name in UNSET_AT_ZERO and value == 0):
                continue
            raise unsupported(name)
        found[name] = None if value is None else field.read(value, name)
    return found


def unsupported(name: str) -> UnsupportedParameter:
    """Says why, and what to write instead, where that is known."""
    why = f": {REASONS[name]}" if name in REASONS else ""
    return UnsupportedParameter(f"`{name[:100]}` is not supported here{why}.", param=name[:100])


def _is_empty(value: object) -> bool:
    match value:
        case None | "" | False:
            return True
        case list():
            return all(map(_is_empty, value))
        case dict():
            return all(map(_is_empty, value.values()))
        case _:
            return False


def shape(fields: Fields, required: str = "") -> Schema:
    """The schema of a request with these fields."""
    properties = {name: field.schema for name, field in fields.items()}
    return {"type": "object", "properties": properties} | ({"required": required.split()} if required else {})


def required(values: Mapping[str, Any], name: str) -> Any:
    value = values.get(name)
    if value is None or value == "" or value == []:
        raise InvalidRequest(f"`{name}` is missing.", param=name, code="missing_parameter")
    return value


def end_after(duration: object, param: str = "duration") -> datetime | None:
    """When something that lasts so long from now ends; None and "-1" stand for never."""
    if duration is None or duration in ("-1", ""):
        return None
    return timezone.now() + durations.span(duration, param=param)


def page_of(query: QueryDict, size_name: str = "size", size: int = 10, most: int = 100) -> tuple[int, int]:
    """Number (from 1) and size of the page asked for."""
    return whole(query, "page", 1, LARGEST_PAGE), whole(query, size_name, size, most)


def whole(query: QueryDict, name: str, default: int, most: int) -> int:
    written = query.get(name, "")
    if not written:
        return default
    if not written.isascii() or not written.isdigit() or not 1 <= int(written[:10]) <= most:
        raise InvalidRequest(f"`{name}` must be a whole number from 1 to {most}.", param=name)
    return int(written)


def refuse_filters(query: QueryDict, *names: str) -> None:
    """Raises UnsupportedParameter: a list that ignored what it is to be narrowed by would show too much."""
    for name in names:
        if query.get(name):
            raise unsupported(name)


def is_true(query: QueryDict, name: str) -> bool:
    return query.get(name, "").lower() in {"true", "1", "yes"}


def words(query: QueryDict, name: str, limit: int = 300) -> str:
    """A query's text; what no column can hold matches nothing."""
    written = query.get(name, "")
    return written if len(written) <= limit and written.isprintable() else "\ufffd"


def moment(query: QueryDict, name: str, *, is_end: bool = False) -> datetime | None:
    """A date or moment in a query; a date without a time that ends a span includes that day."""
    written = query.get(name, "")
    if not written:
        return None
    try:
        day = parse_date(written)
        found = _midnight(day) if day else parse_datetime(written)
    except ValueError:
        day, found = None, None
    if found is None:
        raise InvalidRequest(f"`{name}` must be a date like 2026-01-31.", param=name, code="invalid_date")
    if timezone.is_naive(found):
        found = timezone.make_aware(found, timezone.get_default_timezone())
    return found + timedelta(days=1) if day and is_end else found


def stamp(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime(day.year, day.month, day.day), timezone.get_default_timezone())  # noqa: DTZ001 - made aware at once


def _array(description: str) -> Schema:
    return {"type": "array", "items": {"type": "string"}, "description": description}


def _flag(value: object, param: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"`{param}` must be true or false.", param=param)
    return value


def _plain_text(value: object, param: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"`{param}` must be a text.", param=param)
    return value


def _objects(value: object, param: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or len(value) > options.MOST_ENTRIES:
        raise InvalidRequest(
            f"`{param}` must be a list of at most {options.MOST_ENTRIES} objects.", param=param
        )
    return [options.mapping(item, param) for item in value]
