"""Who may do what: one table of actions and roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.models import Membership, Team, User, VirtualKey
from portal.services.access import Caller
from portal.services.options import parse as parse_options

OWNER = "owner"
ADMIN = "admin"
AUDITOR = "auditor"
TEAM_ADMIN = "team admin"
MEMBER = "member"
VIEWER = "viewer"
CREATOR = "creator"
"""A member, of what they made or hold themselves."""
KEY = "key"
MASTER = "master key"

_RUNNERS = frozenset({OWNER, ADMIN, MASTER})
_WATCHERS = _RUNNERS | {AUDITOR}
_TEAM = frozenset({TEAM_ADMIN, MEMBER})
_EVERY_PERSON = _WATCHERS | _TEAM | {VIEWER}

ACTIONS: Mapping[str, frozenset[str]] = {
    "models.use": _RUNNERS | _TEAM | {KEY},
    "models.read": _EVERY_PERSON | {KEY},
    "models.change": _RUNNERS,
    "accounts.read": _WATCHERS,
    "accounts.change": _RUNNERS,
    "keys.read": _EVERY_PERSON,
    "keys.create": _RUNNERS | _TEAM,
    "keys.manage": _RUNNERS | {TEAM_ADMIN, CREATOR},
    "keys.limits": _RUNNERS | {TEAM_ADMIN},
    "keys.charge": frozenset({OWNER, ADMIN, TEAM_ADMIN, CREATOR}),
    "files.create": _RUNNERS | _TEAM | {KEY},
    "files.read": _EVERY_PERSON | {KEY},
    "files.content": _RUNNERS | _TEAM | {VIEWER, KEY},
    "files.delete": _RUNNERS | _TEAM | {KEY},
    "playground.use": frozenset({OWNER, ADMIN}) | _TEAM,
    "usage.read": _EVERY_PERSON | {KEY},
    "requests.read_bodies": frozenset({OWNER, ADMIN, TEAM_ADMIN, CREATOR}),
    "budgets.read": _WATCHERS,
    "budgets.change": _RUNNERS,
    "teams.read": _EVERY_PERSON,
    "teams.create": _RUNNERS,
    "teams.change": _RUNNERS,
    "teams.members": _RUNNERS | {TEAM_ADMIN},
    "people.read": _WATCHERS,
    "people.change": _RUNNERS,
    "settings.read": _WATCHERS,
    "settings.change": _RUNNERS,
    "audit.read": _WATCHERS,
    "records.change": frozenset({OWNER}),
}
"""`records.change` is the raw records under /admin/. A role inside a team counts for its objects only."""

_TEAM_ROLES: Mapping[str, str] = {
    Membership.Role.ADMIN: TEAM_ADMIN,
    Membership.Role.MEMBER: MEMBER,
    Membership.Role.VIEWER: VIEWER,
}


def can(actor: User | Caller, action: str, obj: Any = None) -> bool:
    """May they? `obj` is what it is about: a team, or anything that belongs to one.

    Without an object a person's role in any of their teams counts, a caller's in the team it acts for.
    An action that is not in the table is a mistake of ours and raises KeyError.
    """
    if isinstance(actor, Caller) and action in actor.key_options.refused:
        return False
    allowed = ACTIONS[action]
    if isinstance(obj, VirtualKey) and _manages_all(obj):
        # Whoever could give such a key a new value would hold every right.
        allowed &= _WATCHERS if action == "keys.read" else _RUNNERS
    return not allowed.isdisjoint(_roles(actor, obj))


def _manages_all(key: VirtualKey) -> bool:
    return parse_options(key.options).manage == "all"


def _roles(actor: User | Caller, obj: Any) -> set[str]:
    team = _team_of(obj)
    match actor:
        case User():
            return _roles_of_user(actor, obj, team)
        case Caller(kind="master"):
            return {MASTER}
        case Caller(kind="key") if actor.role:
            return {KEY, actor.role}
        case Caller(kind="key"):
            if team is not None and team not in actor.team_ids:
                return set()
            return {KEY, *(_TEAM_ROLES[role] for role in actor.team_roles.values())}
        case Caller():
            acting = actor.team_id if team is None else team
            found = {_TEAM_ROLES[actor.team_roles[acting]]} if acting in actor.team_roles else set()
            return _with_creator(found, actor.user_id, obj) | ({actor.role} - {""})


def _roles_of_user(user: User, obj: Any, team: int | None) -> set[str]:
    if not user.is_active:
        return set()
    memberships = Membership.objects.filter(user=user)
    if team is not None:
        memberships = memberships.filter(team_id=team)
    found = {_TEAM_ROLES[role] for role in memberships.values_list("role", flat=True)}
    return _with_creator(found, user.pk, obj) | ({OWNER if user.is_superuser else user.role} - {""})


def _with_creator(roles: set[str], user_id: int | None, obj: Any) -> set[str]:
    is_own = user_id is not None and getattr(obj, "user_id", None) == user_id
    return roles | {CREATOR} if is_own and MEMBER in roles else roles


def _team_of(obj: Any) -> int | None:
    """The primary key of the team that something belongs to."""
    return obj.pk if isinstance(obj, Team) else getattr(obj, "team_id", None)
