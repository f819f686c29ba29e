"""Makes views of the management API from functions: LiteLLM's names and shapes (litellm.md 5.5 to 5.11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse, QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema

from files.database import in_thread
from portal.api import fields as request_fields
from portal.api.fields import Fields
from portal.api.schema import Schema, answers
from portal.rest.answers import json_answer
from portal.rest.request import ApiRequest
from portal.rest.views import AsyncAPIView, require
from portal.services import catalog
from portal.services.access import Caller
from portal.services.audit import Actor

TAGS = {
    "activity": "Spend",
    "alert": "Health",
    "budget": "Budgets",
    "access_group": "Models",
    "cache": "Cache",
    "connection_test": "Models",
    "credential": "Providers",
    "estimate": "Spend",
    "invitation": "People",
    "key": "Keys",
    "key_report": "Keys",
    "model": "Models",
    "spend": "Spend",
    "tag": "Tags",
    "team": "Teams",
    "team_member": "Teams",
    "team_permission": "Teams",
    "translation": "Models",
    "user": "People",
}
"""Headings of the published schema, by the module that holds the functions."""
ANYTHING: Schema = {"type": "object", "additionalProperties": True}
LIST: Schema = {"type": "array", "items": ANYTHING}


@dataclass(frozen=True, slots=True)
class Ask:
    """Who asks, for what the path names."""

    caller: Caller
    actor: Actor
    words: Mapping[str, str] = field(default_factory=dict)

    def require(self, action: str, obj: Any = None) -> None:
        """Raises Forbidden unless the caller may do it, to the object given."""
        require(self.caller, action, obj)


Post = Callable[[Ask, dict[str, Any]], Any]
Get = Callable[[Ask, QueryDict], Any]


class ManagementView(AsyncAPIView):
    """Runs a function that uses the database, for a key, the master key or a signed-in person."""

    allows_session = True
    session_prefix = "/"


def posts(
    function: Post,
    *,
    permission: str,
    summary: str,
    fields: Fields,
    required: str = "",
    answer: Schema = ANYTHING,
    verb: str = "post",
    operation: str = "",
) -> type[ManagementView]:
    """A view that gives the function the checked fields of its JSON body.

    `operation` names it in the API's description where one function serves two addresses.
    """

    @extend_schema(
        operation_id=operation or _operation(function),
        summary=summary,
        tags=[_tag(function)],
        request={"application/json": request_fields.shape(fields, required)},
        responses=answers(answer),
    )
    async def handle(self: ManagementView, request: ApiRequest, **words: str) -> HttpResponse:
        values = request_fields.read(request.json_or_empty(), fields)
        for name in required.split():
            request_fields.required(values, name)
        return json_answer(await in_thread(_done, function, _ask(request, words), values))

    return _view(function, permission, **{verb: handle})


def gets(
    function: Get,
    *,
    permission: str,
    summary: str,
    query: Mapping[str, str] | None = None,
    answer: Schema = ANYTHING,
) -> type[ManagementView]:
    """A view that gives the function the query. `query`: the words it knows, with what they mean."""
    known: Sequence[OpenApiParameter] = [
        OpenApiParameter(name, OpenApiTypes.STR, description=meaning)
        for name, meaning in (query or {}).items()
    ]

    @extend_schema(
        operation_id=_operation(function),
        summary=summary,
        tags=[_tag(function)],
        parameters=known,
        responses=answers(answer),
    )
    async def handle(self: ManagementView, request: ApiRequest, **words: str) -> HttpResponse:
        return json_answer(await in_thread(function, _ask(request, words), request.GET))

    return _view(function, permission, get=handle)


def several(*views: type[ManagementView]) -> type[ManagementView]:
    """One view of several that answer different verbs at one address."""
    handlers: dict[str, Any] = {}
    permissions: dict[str, str] = {}
    for view in views:
        for verb in set(vars(view)) & set(view.http_method_names):
            handlers[verb] = vars(view)[verb]
            permissions[verb] = view.permission
    facts = {"permission": views[0].permission, "permissions_by_method": permissions}
    return type("".join(view.__name__ for view in views), views[:1], {**facts, **handlers})


def _done(function: Post, ask: Ask, values: dict[str, Any]) -> Any:
    """What the function answers, when this process knows of the change; the others will within a second."""
    answer = function(ask, values)
    catalog.refresh()
    return answer


def _ask(request: ApiRequest, words: Mapping[str, str]) -> Ask:
    return Ask(request.caller, Actor.of(request.caller, request.request_id), words)


def _view(function: Callable[..., Any], permission: str, **handlers: Any) -> type[ManagementView]:
    name = "".join(word.capitalize() for word in _operation(function).split("_"))
    facts = {"permission": permission, "__doc__": function.__doc__, "__module__": function.__module__}
    return type(name, (ManagementView,), facts | handlers)


def _operation(function: Callable[..., Any]) -> str:
    """`key_generate` for generate() in keys.py, `spend_logs` for logs() in spend_logs.py."""
    return f"{_noun(function)}_{function.__name__}"


def _tag(function: Callable[..., Any]) -> str:
    return TAGS[_noun(function)]


def _noun(function: Callable[..., Any]) -> str:
    noun = function.__module__.rpartition(".")[2].removesuffix("_admin").removesuffix("s")
    return "spend" if noun.startswith("spend_") else noun
