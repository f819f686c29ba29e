"""Groups of models that keys and teams list by one name: /access_group/* (litellm.md 5.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Q
from django.http import QueryDict

from portal.api import fields
from portal.api.fields import Field
from portal.api.management import Ask, gets, posts
from portal.models import Deployment
from portal.services import access_groups
from portal.services.access_groups import Group
from providers.errors import Conflict, InvalidRequest, NotFound

MEMBERS: Mapping[str, Field] = {
    "model_names": fields.names("Models, with all of their deployments."),
    "model_ids": fields.names("Deployments by their ids."),
}


def new(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a group of models that are there."""
    name = values["access_group"]
    if access_groups.find(name) is not None:
        raise Conflict("There is a group of this name already.", param="access_group", code="group_exists")
    return _set(ask, name, values)


def update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Puts these models in the place of the group's."""
    return _set(ask, _found(ask).name, values)


def list_groups(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """All groups, with their models."""
    return {"access_groups": [_shown(group) for group in access_groups.known()]}


def info(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """One group."""
    return _shown(_found(ask))


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Takes the name off every model. Keys that list it may use nothing by it any more."""
    group = _found(ask)
    changed = access_groups.set_members(actor=ask.actor, name=group.name, members=())
    return {
        "access_group": group.name,
        "models_updated": changed,
        "message": f"Access group {group.name} deleted",
    }


def _set(ask: Ask, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    members = _members(values.get("model_names") or [], values.get("model_ids") or [])
    changed = access_groups.set_members(actor=ask.actor, name=name, members=members)
    return {
        "access_group": name,
        "model_names": values.get("model_names"),
        "model_ids": values.get("model_ids"),
        "models_updated": changed,
    }


def _members(names: list[str], ids: list[str]) -> list[Deployment]:
    """Ids say more than names. Raises InvalidRequest for what there is not."""
    if not names and not ids:
        raise InvalidRequest(
            "`model_names` or `model_ids` is missing.", param="model_names", code="missing_parameter"
        )
    wanted = Q(deployment_id__in=ids) if ids else Q(model__name__in=names)
    rows = list(Deployment.objects.filter(wanted).select_related("model"))
    there = {row.deployment_id if ids else row.model.name for row in rows}
    if missing := [each for each in ids or names if each not in there]:
        param = "model_ids" if ids else "model_names"
        raise InvalidRequest(f"There is no {missing[0][:200]!r}.", param=param, code="model_not_found")
    return rows


def _found(ask: Ask) -> Group:
    group = access_groups.find(ask.words["name"])
    if group is None:
        raise NotFound("There is no such group.", param="access_group", code="group_not_found")
    return group


def _shown(group: Group) -> dict[str, Any]:
    return {
        "access_group": group.name,
        "model_names": group.models,
        "deployment_count": group.deployments,
    }


New = posts(
    new,
    permission="models.change",
    summary="Make a group of models",
    fields={"access_group": fields.text("Its name, as keys and teams list it in `models`."), **MEMBERS},
    required="access_group",
)
List = gets(list_groups, permission="accounts.read", summary="Groups of models")
Info = gets(info, permission="accounts.read", summary="One group of models")
Update = posts(
    update, permission="models.change", summary="Change a group of models", fields=MEMBERS, verb="put"
)
Delete = posts(
    delete, permission="models.change", summary="Remove a group of models", fields={}, verb="delete"
)
