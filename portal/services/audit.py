"""Writes down who changed what, with secrets masked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import models

from portal import env
from portal.models import AuditEvent, Deployment, Team, User

if TYPE_CHECKING:
    from portal.services.access import Caller

MASK = "•••"
BATCH = 500
SECRET_WORDS = ("secret", "api_key", "password", "credential", "private_key", "sealed", "digest")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change, as the audit trail names them."""

    label: str
    user_id: int | None = None
    request_id: str = ""
    is_operator: bool = False
    """Commands and the master key act for whoever runs the machine, who stands above owners."""

    @classmethod
    def system(cls, name: str) -> Actor:
        """The product itself or a command: `system("import_config")`."""
        return cls(label=f"system: {name}", is_operator=True)

    @classmethod
    def of(cls, caller: Caller, request_id: str = "") -> Actor:
        """The caller of an API request: a key by its name, never by its value."""
        match caller.kind:
            case "master":
                label = "master key"
            case "key":
                label = f"key {caller.name}"
            case "session":
                label = caller.name
        return cls(label[:200], caller.user_id, request_id, is_operator=caller.kind == "master")

    @classmethod
    def of_user(cls, user: User, request_id: str = "") -> Actor:
        return cls(label=user.email[:200], user_id=user.pk, request_id=request_id)


def record(
    *,
    actor: Actor,
    action: str,
    obj: models.Model,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Adds one event. Call it inside the transaction of the change; `action` reads like `key.created`."""
    event = _event(actor, action, obj, masked(before or {}), masked(after or {}))
    event.save()
    return event


def _event(
    actor: Actor, action: str, obj: models.Model, before: dict[str, Any], after: dict[str, Any]
) -> AuditEvent:
    return AuditEvent(
        user_id=actor.user_id,
        actor=actor.label,
        action=action,
        object_type=str(obj._meta.model_name),
        object_id=_public_id(obj),
        object_name=str(obj)[:300],
        before=before,
        after=after,
        request_id=actor.request_id,
    )


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one of many objects."""

    obj: models.Model
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def record_all(*, actor: Actor, action: str, changes: Sequence[Change]) -> None:
    """One event for each, by few queries. Call it inside the transaction of the changes.

    Those that share their `before` and `after` are masked once.
    """
    told: dict[int, dict[str, Any]] = {}
    events = []
    for each in changes:
        for values in (each.before, each.after):
            if id(values) not in told:
                told[id(values)] = masked(values)
        events.append(_event(actor, action, each.obj, told[id(each.before)], told[id(each.after)]))
    AuditEvent.objects.bulk_create(events, batch_size=BATCH)


def fields_of(obj: models.Model, names: Iterable[str]) -> dict[str, Any]:
    """The named fields as they stand, for `before` and `after`."""
    return {name: getattr(obj, name) for name in names}


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Only what changed, of both."""
    changed = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in changed}, {name: after[name] for name in changed}


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy for the trail: secrets replaced (references to the environment stay), the rest as JSON."""
    return {str(name): _plain(str(name), value) for name, value in values.items()}


def _plain(name: str, value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _plain(_inner(name, str(key)), inner) for key, inner in value.items()}
        case str() if value and _is_secret(name) and not env.is_reference(value):
            return MASK
        case str():
            return value
        case list() | tuple() | set() | frozenset():
            return [_plain(name, inner) for inner in value]
        case datetime():
            return value.isoformat()
        case Decimal():
            return str(value)
        case _:
            return str(value)


def _inner(outer: str, name: str) -> str:
    """What stands inside something secret is secret, whatever it is called."""
    return f"{outer}.{name}" if _is_secret(outer) else name


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET_WORDS)


def _public_id(obj: models.Model) -> str:
    match obj:
        case Team():
            return obj.team_id
        case Deployment():
            return obj.deployment_id
        case _:
            return str(obj.pk)
