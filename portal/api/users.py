"""People: /user/*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.http import QueryDict

from portal.api import enrolment, fields, invitations, key_fields, key_rows, teams
from portal.api.fields import Field
from portal.api.limits_fields import FIGURES, LIMITS, figures_in, limits_shown, options_in
from portal.api.management import Ask, gets, posts
from portal.models import Membership, Team, User, VirtualKey
from portal.services import budgets, mailed_links, options, people
from portal.services import keys as key_service
from portal.services import teams as team_service
from providers.errors import InvalidRequest, NotFound, PorticoError

ROLES: Mapping[str, str] = {
    "proxy_admin": User.Role.ADMIN,
    "proxy_admin_viewer": User.Role.AUDITOR,
    "internal_user": User.Role.NONE,
}
"""LiteLLM's roles and ours; what people may do in a team is the team's to say."""
SHOWN_ROLES = {User.Role.OWNER: "proxy_admin"} | {ours: theirs for theirs, ours in ROLES.items()}
MOST_KEYS = 1000

COMMON: Mapping[str, Field] = {
    "user_id": fields.text("Made if left out.", 64),
    "user_email": fields.text("", 254),
    "user_alias": fields.text("Their name.", 150),
    "user_role": fields.text(f"One of {', '.join(ROLES)}."),
    "models": fields.names("Names and patterns that their keys may use; empty for all of the team's."),
    "metadata": fields.mapping("Anything of yours."),
    **FIGURES,
    **LIMITS,
}
NEW: Mapping[str, Field] = {
    **COMMON,
    "teams": fields.as_given(
        {
            "type": "array",
            "items": {"oneOf": [{"type": "string"}, {"type": "object", "additionalProperties": True}]},
            "description": "Teams to join: ids, or `{team_id, max_budget_in_team, user_role}`.",
        }
    ),
    "auto_create_key": fields.flag("Make a key, in the first of the teams; true if left out."),
    "send_invite_email": fields.flag("Send them a link to choose a password, where mail can be sent."),
    "key_alias": fields.text("The name of that key."),
    "duration": fields.text("How long that key is valid.", 16),
}


def new(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a person without a password, and a key for them."""
    is_invited = bool(values.get("send_invite_email"))
    if is_invited:
        _require_mail(values)
    joining = [_joining(item) for item in _listed(values.get("teams"))]
    joined = [_team(str(item["team_id"])) for item in joining]
    person = people.enrol_person(
        actor=ask.actor,
        user_id=values.get("user_id") or None,
        address=values.get("user_email") or "",
        **_changes(values),
    )
    for team, item in zip(joined, joining, strict=True):
        enrolment.set_member(ask, team, person, {"role": item.get("user_role")}, item)
    if is_invited:
        mailed_links.invite(actor=ask.actor, person=person, address=invitations.link_of)
    shown = shown_all([person])[0]
    if values.get("auto_create_key") is False:
        return shown
    row, secret = key_service.create_key(
        actor=ask.actor,
        team=joined[0] if joined else team_service.default_team(),
        name=values.get("key_alias") or f"key of {person}",
        user=person,
        expires_at=fields.end_after(values.get("duration")),
    )
    return shown | {
        "key": secret,
        "token": row.digest,
        "key_name": row.hint,
        "expires": fields.stamp(row.expires_at),
    }


def update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes the fields that are given; null takes a bound away."""
    person = _named(values)
    changes = _changes(values)
    if values.get("user_id") and values.get("user_email"):
        changes["email"] = values["user_email"]
    people.update_person(actor=ask.actor, person=person, **changes)
    shown = shown_all([person])[0]
    return {"user_id": person.user_id, "data": shown, **shown}


def bulk_update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes several people; each by themselves."""
    done, failed = [], []
    for item in values["users"]:
        try:
            done.append(update(ask, fields.read(item, COMMON)))
        except PorticoError as error:
            failed.append({"user_id": item.get("user_id"), "failed_reason": error.message})
    return {
        "total_requested": len(values["users"]),
        "successful_updates": done,
        "failed_updates": failed,
    }


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Removes people; their keys stop."""
    found = [_named({"user_id": user_id}) for user_id in values["user_ids"]]
    for person in found:
        people.delete_person(actor=ask.actor, person=person)
    return {"deleted_users": values["user_ids"]}


def info(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """One person with keys and teams; without `user_id` the caller."""
    person = _asked(ask, query)
    rows = VirtualKey.objects.visible_to(ask.caller).filter(user=person)
    if ask.caller.kind == "key" and not ask.caller.may_read_all:
        rows = rows.filter(pk=ask.caller.key_id or 0)
    joined = Team.objects.filter(memberships__user=person)
    return {
        "user_id": person.user_id,
        "user_info": shown_all([person])[0],
        "keys": key_rows.shown_all(list(rows.select_related("team", "user", "budget")[:MOST_KEYS])),
        "teams": teams.shown_all(list(joined.filter(pk__in=_visible(ask)))),
    }


def info_alone(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The same person without keys, with the ids of their teams."""
    return shown_all([_asked(ask, query)])[0]


def list_users(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Everybody, page by page."""
    page, size = fields.page_of(query, "page_size", 25)
    rows = User.objects.order_by("pk")
    if role := query.get("role", ""):
        rows = rows.filter(role=_role(role))
    if email := fields.words(query, "user_email"):
        rows = rows.filter(email__icontains=email)
    if ids := fields.words(query, "user_ids", 10_000):
        rows = rows.filter(user_id__in=ids.split(","))
    if team := fields.words(query, "team"):
        rows = rows.filter(memberships__team__team_id=team)
    if search := fields.words(query, "search"):
        rows = rows.filter(Q(email__icontains=search) | Q(first_name__icontains=search))
    total = rows.count()
    return {
        "users": shown_all(list(rows[(page - 1) * size : page * size])),
        "total": total,
        "page": page,
        "page_size": size,
        "total_pages": -(-total // size),
    }


def available_roles(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """What `user_role` may be."""
    return {
        "proxy_admin": {"ui_label": "Admin", "description": "May change models, accounts and every team."},
        "proxy_admin_viewer": {"ui_label": "Auditor", "description": "Sees everything, changes nothing."},
        "internal_user": {"ui_label": "Member", "description": "What the teams they belong to allow."},
    }


def shown_all(rows: Sequence[User]) -> list[dict[str, Any]]:
    """People in LiteLLM's fields, by two queries for all."""
    known = budgets.described([budgets.user_subject(row.pk) for row in rows])
    joined: dict[int, list[str]] = {row.pk: [] for row in rows}
    for user, team in Membership.objects.filter(user__in=rows).values_list("user_id", "team__team_id"):
        joined[user].append(team)
    return [
        {
            "user_id": row.user_id,
            "user_email": enrolment.shown_address(row),
            "user_alias": row.first_name or None,
            "user_role": SHOWN_ROLES[User.Role(row.role)],
            "is_active": row.is_active,
            "models": row.allowed_models,
            "spend": float(row.spend),
            "teams": joined[row.pk],
            "metadata": row.metadata,
            **known[budgets.user_subject(row.pk)],
            **limits_shown(row.options),
            "created_at": fields.stamp(row.date_joined),
        }
        for row in rows
    ]


def _asked(ask: Ask, query: QueryDict) -> User:
    """The caller themselves, or whom they may look at."""
    wanted = query.get("user_id", "")
    own = User.objects.filter(pk=ask.caller.user_id).first() if ask.caller.user_id else None
    if own is not None and wanted in {"", own.user_id}:
        return own
    ask.require("people.read")
    return _named({"user_id": fields.required({"user_id": wanted}, "user_id")})


def _changes(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"options": options_in(values), "figures": figures_in(values)}
    if "user_alias" in values:
        found["name"] = values["user_alias"] or ""
    if values.get("user_role"):
        found["role"] = _role(values["user_role"])
    if "models" in values:
        models = values["models"] or []
        found["allowed_models"] = [] if key_fields.NO_MODELS & {*models} else models
    if "metadata" in values:
        found["metadata"] = values["metadata"]
    return found


def _require_mail(values: Mapping[str, Any]) -> None:
    if not values.get("user_email"):
        raise InvalidRequest("`send_invite_email` needs a `user_email`.", param="user_email")
    if not settings.PUBLIC_URL or not mailed_links.can_send():
        raise InvalidRequest(
            "`send_invite_email` needs a mail server, and PORTICO_PUBLIC_URL for the link in the mail.",
            param="send_invite_email",
            code="mail_not_configured",
        )


def _role(written: str) -> str:
    if written not in ROLES:
        raise InvalidRequest(f"`user_role` must be one of {', '.join(ROLES)}.", param="user_role")
    return ROLES[written]


def _named(values: Mapping[str, Any]) -> User:
    rows: QuerySet[User] = User.objects.none()
    if values.get("user_id"):
        rows = User.objects.filter(user_id=values["user_id"])
    elif values.get("user_email"):
        rows = User.objects.filter(email=values["user_email"].lower())
    person = rows.first()
    if person is None:
        raise NotFound("There is no such user.", param="user_id", code="user_not_found")
    return person


def _listed(teams_given: object) -> Sequence[Any]:
    if teams_given is None:
        return ()
    if not isinstance(teams_given, list) or len(teams_given) > options.MOST_ENTRIES:
        raise InvalidRequest(f"`teams` must be a list of at most {options.MOST_ENTRIES}.", param="teams")
    return teams_given


def _joining(item: object) -> Mapping[str, Any]:
    """A team's id, or what stands beside it."""
    if isinstance(item, str):
        return {"team_id": item}
    given = options.mapping(item, "teams")
    if unknown := sorted(given.keys() - {"team_id", "max_budget_in_team", "user_role"}):
        raise InvalidRequest(f"`teams` does not take `{unknown[0][:100]}`.", param="teams")
    if not isinstance(given.get("team_id"), str):
        raise InvalidRequest("`teams` must name each team by its `team_id`.", param="teams")
    return given


def _team(team_id: str) -> Team:
    team = Team.objects.filter(team_id=team_id).first()
    if team is None:
        raise NotFound(f"There is no team {team_id[:64]!r}.", param="teams", code="team_not_found")
    return team


def _visible(ask: Ask) -> QuerySet[Team]:
    return Team.objects.visible_to(ask.caller)


New = posts(new, permission="people.change", summary="Make a person", fields=NEW)
Update = posts(update, permission="people.change", summary="Change a person", fields=COMMON)
BulkUpdate = posts(
    bulk_update,
    permission="people.change",
    summary="Change several people",
    fields={"users": fields.objects("Each with `user_id` and what changes.")},
    required="users",
)
Delete = posts(
    delete,
    permission="people.change",
    summary="Remove people",
    fields={"user_ids": fields.names("Their ids.")},
    required="user_ids",
)
WHO = {"user_id": "The caller if left out."}
Info = gets(info, permission="usage.read", summary="One person", query=WHO)
InfoAlone = gets(info_alone, permission="usage.read", summary="One person, without keys and teams", query=WHO)
List = gets(
    list_users,
    permission="people.read",
    summary="List people",
    query={
        "page": "From 1.",
        "page_size": "1 to 100.",
        "role": "",
        "user_ids": "A comma list.",
        "user_email": "Part of the address.",
        "team": "A team's id.",
        "search": "Part of address or name.",
    },
)
AvailableRoles = gets(available_roles, permission="teams.read", summary="Roles of people")
