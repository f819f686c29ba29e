"""Who calls, and with which rights: keys, the master key, people in the browser."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Literal

from django.db import Error as DatabaseError

from files.database import in_thread
from portal.models import Membership, Team, User
from portal.services import catalog, patterns, teams
from portal.services.keys import LONGEST_KEY, digest_of, imported_digest_of, sha256_of
from portal.services.options import NO_OPTIONS, Options
from portal.services.snapshots import NOBODY_SPECIAL, KeyEntry, PersonEntry, Snapshot, TeamEntry
from providers.errors import Forbidden, Unauthenticated, Unavailable

KEY_HEADERS = ("x-litellm-api-key", "authorization", "api-key", "x-api-key", "x-goog-api-key")
"""The first of these that is present holds the key; litellm.md 5.2 has the order."""
SHORTEST_PLAUSIBLE = 8
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Key, team and rights for one request; satisfies files.models.Caller.

    `team_id` is the primary key of the team it acts for, `team_ids` of all whose objects it sees. A model
    must be on every list in `allowed`. `role` is a person's instance-wide role, `team_roles` those in teams;
    keys that manage have them too. The options are those of the key, its person, and their membership.
    """

    kind: Literal["key", "master", "session"]
    name: str
    team_id: int
    team_name: str
    team_ids: frozenset[int]
    key_id: int | None = None
    user_id: int | None = None
    is_admin: bool = False
    allowed: tuple[tuple[str, ...], ...] = ()
    role: str = ""
    team_roles: Mapping[int, str] = field(default_factory=dict)
    key_options: Options = NO_OPTIONS
    user_options: Options = NO_OPTIONS
    member_options: Options = NO_OPTIONS
    team_options: Options = NO_OPTIONS
    key_spend: Decimal = Decimal(0)
    """Dollars, when the key was read."""

    @property
    def may_read_all(self) -> bool:
        """Sees every team's records: admins and auditors."""
        return self.is_admin or self.role == User.Role.AUDITOR

    @property
    def tags(self) -> tuple[str, ...]:
        """What its calls are counted under beside what they say themselves."""
        return tuple(dict.fromkeys((*self.key_options.tags, *self.team_options.tags)))

    def alias(self, name: str) -> str | None:
        """The model that a name stands for on this key or in this team."""
        return self.key_options.aliases.get(name) or self.team_options.aliases.get(name)

    def may_use(self, model: str) -> bool:
        return all(patterns.is_covered(names, model) for names in self.allowed)


def caller_for_token(token: str | None, now: float | None = None) -> Caller:
    """The caller a key stands for, from memory. Raises Unauthenticated: unknown and deleted read alike."""
    if not token:
        raise Unauthenticated(
            "No API key was sent. Send it as `Authorization: Bearer <key>`.", code="missing_api_key"
        )
    if len(token) > LONGEST_KEY:
        raise _unknown()
    known = catalog.snapshot()
    digest = digest_of(token)
    if known.master_digest is not None and hmac.compare_digest(digest, known.master_digest):
        return _master(known.default_team)
    entry = known.key_of(digest) or known.key_of(imported_digest_of(sha256_of(token)))
    return _checked(known, entry, now)


def caller_for_digest(digest: str, now: float | None = None) -> Caller:
    """The same for a key of which only what is stored of it is known. Raises Unauthenticated."""
    known = catalog.snapshot()
    if known.master_digest is not None and hmac.compare_digest(digest, known.master_digest):
        return _master(known.default_team)
    return _checked(known, known.key_of(digest), now)


def _checked(known: Snapshot, entry: KeyEntry | None, now: float | None) -> Caller:
    team = known.teams.get(entry.team_id) if entry else None
    if entry is None or team is None:
        raise _unknown()
    if entry.is_blocked:
        raise Unauthenticated("This API key is blocked.", code="key_blocked")
    if entry.expires_at is not None and entry.expires_at <= (time.time() if now is None else now):
        raise Unauthenticated("This API key has expired.", code="key_expired")
    if team.is_blocked:
        raise Unauthenticated("The team of this API key is blocked.", code="team_blocked")
    person = known.people.get(entry.user_id, NOBODY_SPECIAL) if entry.user_id else NOBODY_SPECIAL
    if not person.is_active:
        raise Unauthenticated("The person of this API key is switched off.", code="key_owner_inactive")
    return _of_key(known, entry, team, person)


async def authenticate(headers: Mapping[str, str]) -> Caller:
    """The caller that a request's headers (lower-case names) stand for.

    A key that is not known here yet may have been made a moment ago elsewhere, so the database is asked once.
    Raises Unauthenticated, or Unavailable when it cannot be asked: our failure is never the key's.
    """
    token = token_of(headers)
    return await looked_for_twice(partial(caller_for_token, token), may_be_new=_is_plausible(token))


async def looked_for_twice(find: Callable[[], Caller], *, may_be_new: bool = True) -> Caller:
    """What `find` finds in memory, at the latest once that is as new as the database."""
    try:
        if not catalog.is_loaded():
            await in_thread(catalog.refresh)
        try:
            return find()
        except Unauthenticated as refusal:
            if refusal.code != Unauthenticated.code or not may_be_new:
                raise
        await catalog.refresh_soon()
    except DatabaseError:
        raise Unavailable(
            "The database cannot be reached.", code="db_unavailable", retry_after=RETRY_SECONDS
        ) from None
    return find()


def token_of(headers: Mapping[str, str]) -> str | None:
    """The key in a request's headers, None when there is none."""
    for name in KEY_HEADERS:
        value = headers.get(name, "").strip()
        if not value:
            continue
        scheme, _, rest = value.partition(" ")
        if scheme.lower() == "bearer":
            return rest.strip() or None
        if name == "authorization":
            raise Unauthenticated("The Authorization header must read `Bearer <key>`.")
        return value
    return None


def caller_for_user(user: User, team_id: int | None = None, *, known_team: Team | None = None) -> Caller:
    """A signed-in person acting for one of their teams (primary key), by default the first.

    `known_team` spares a query where that team has just been read.

    Owners and admins may act for any team; auditors see all of them. Raises Forbidden.
    """
    if not user.is_active:
        raise Forbidden("This account is switched off.", code="account_inactive")
    memberships = list(Membership.objects.filter(user=user).select_related("team").order_by("team__name"))
    read = [known_team] if known_team is not None else []
    team = _acting_team(user, [membership.team for membership in memberships], team_id, read)
    sees_all = user.role == User.Role.AUDITOR
    known = catalog.snapshot()
    person = known.people.get(user.pk, NOBODY_SPECIAL)
    acting = known.teams.get(team.pk)
    return Caller(
        kind="session",
        name=user.email,
        team_id=team.pk,
        team_name=team.name,
        team_ids=frozenset(
            Team.objects.values_list("pk", flat=True)
            if sees_all
            else [membership.team_id for membership in memberships]
        ),
        user_id=user.pk,
        is_admin=user.is_admin,
        allowed=_lists(known, tuple(team.allowed_models), person.allowed),
        role=User.Role.OWNER if user.is_superuser else user.role,
        team_roles={membership.team_id: membership.role for membership in memberships},
        user_options=person.options,
        member_options=known.members.get((team.pk, user.pk), NO_OPTIONS),
        team_options=acting.options if acting else NO_OPTIONS,
    )


def _acting_team(user: User, own: list[Team], team_id: int | None, read: list[Team]) -> Team:
    sees_all = user.is_admin or user.role == User.Role.AUDITOR
    if team_id is not None:
        candidates = (read or Team.objects.filter(pk=team_id)) if sees_all else own
        team = next((team for team in candidates if team.pk == team_id), None)
        if team is None:
            raise Forbidden("You do not belong to this team.", code="not_in_team")
    else:
        team = next((team for team in own if not team.is_blocked), own[0] if own else None)
        if team is None and sees_all:
            team = teams.default_team()
        if team is None:
            raise Forbidden("You do not belong to any team yet. Ask an admin to add you.", code="no_team")
    if team.is_blocked and not sees_all:
        raise Forbidden("This team is blocked.", code="team_blocked")
    return team


def _master(team: TeamEntry) -> Caller:
    return Caller(
        kind="master",
        name="master key",
        team_id=team.id,
        team_name=team.name,
        team_ids=frozenset((team.id,)),
        is_admin=True,
        team_options=team.options,
    )


def _of_key(known: Snapshot, entry: KeyEntry, team: TeamEntry, person: PersonEntry) -> Caller:
    manage = entry.options.manage
    return Caller(
        kind="key",
        name=entry.name,
        team_id=team.id,
        team_name=team.name,
        team_ids=frozenset((team.id,)),
        key_id=entry.id,
        user_id=entry.user_id,
        is_admin=manage == "all",
        role=User.Role.ADMIN if manage == "all" else "",
        team_roles={team.id: Membership.Role.ADMIN} if manage == "team" else {},
        allowed=_lists(known, team.allowed, entry.allowed, person.allowed),
        key_options=entry.options,
        key_spend=entry.spend,
        user_options=person.options,
        member_options=known.members.get((team.id, entry.user_id), NO_OPTIONS)
        if entry.user_id
        else NO_OPTIONS,
        team_options=team.options,
    )


def _lists(known: Snapshot, *lists: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(known.expand(names) for names in lists if names)


def _unknown() -> Unauthenticated:
    return Unauthenticated("Incorrect API key provided.")


def _is_plausible(token: str | None) -> bool:
    return token is not None and SHORTEST_PLAUSIBLE <= len(token) <= LONGEST_KEY
