"""Budgets that have reached their soft limit, most of what they allow, or all of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, Value

from portal.models import BudgetWindow, Team, User, VirtualKey
from portal.services.alerts.condition import Condition
from portal.services.people import NO_ADDRESS

NEARLY = Decimal("0.85")
"""Share of a budget from which it needs attention."""
KIND = "budget_alerts"
GROUPS: Mapping[str, str] = {"key": "key", "team": "team", "member": "team_member", "user": "user"}
"""A subject's first word → LiteLLM's event_group; whatever else has a budget counts as the proxy."""


@dataclass(frozen=True, slots=True)
class Names:
    """What subjects are called; by primary key."""

    keys: Mapping[int, VirtualKey]
    teams: Mapping[int, Team]
    people: Mapping[int, User]


def find(now: datetime) -> list[Condition]:
    """By four queries at most."""
    rows = list(
        BudgetWindow.objects.filter(Q(resets_at=None) | Q(resets_at__gt=now)).filter(
            Q(max_budget__gt=0, spent__gte=F("max_budget") * Value(NEARLY))
            | Q(soft_budget__isnull=False, spent__gte=F("soft_budget"), spent__gt=0)
        )
    )
    names = _names(rows)
    return [condition for row in rows for condition in _of(row, names, now)]


def _of(row: BudgetWindow, names: Names, now: datetime) -> Iterable[Condition]:
    title, path, facts, people = _subject(row, names)
    most = row.most_at(now)
    mark = f"budget:{row.pk}:{row.resets_at.isoformat() if row.resets_at else ''}"
    facts = {
        "spend": float(row.spent),
        "max_budget": None if most is None else float(most),
        "soft_budget": None if row.soft_budget is None else float(row.soft_budget),
        **facts,
    }
    group = GROUPS.get(row.subject.partition(":")[0], "proxy")

    def condition(level: str, limit: Decimal, event: str, words: str, *replaced: str) -> Condition:
        return Condition(
            fingerprint=f"{mark}:{level}:{limit.normalize():f}",
            kind=KIND,
            event=event,
            group=group,
            title=f"The budget of {title} {words}",
            text=_text(row, limit),
            path=path,
            facts=facts,
            replaces=replaced,
            is_once=True,
            people=people,
        )

    if row.soft_budget is not None and row.spent >= row.soft_budget:
        yield condition("soft", row.soft_budget, "soft_budget_crossed", "has reached its soft limit")
    if most is None or most <= 0:
        return
    nearly = f"{mark}:nearly:{most.normalize():f}"
    if row.spent >= most:
        yield condition("over", most, "budget_crossed", "is used up", nearly)
    elif row.spent >= most * NEARLY:
        yield condition("nearly", most, "threshold_crossed", "is nearly used up")


def _text(row: BudgetWindow, limit: Decimal) -> str:
    spent = f"${row.spent:,.2f} of ${limit:,.2f} are spent."
    return f"{spent} It starts anew on {row.resets_at:%-d %b %Y, %H:%M} UTC." if row.resets_at else spent


def _subject(row: BudgetWindow, names: Names) -> tuple[str, str, dict[str, Any], tuple[str, ...]]:
    """What the subject is called, the page about it, a webhook's facts, and whom it concerns."""
    word, *parts = row.subject.split(":")
    suffix = f" for {row.model}" if row.model else ""
    match word, parts:
        case "key", [number] if (key := names.keys.get(int(number))) is not None:
            facts = {
                "token": key.digest,
                "key_alias": key.name,
                "team_id": key.team.team_id,
                "team_alias": key.team.name,
            }
            holder = names.people.get(key.user_id or 0)
            return (
                f"the key {key.name}{suffix}",
                f"/keys/{key.pk}/",
                facts | _person(holder),
                addresses_of(holder),
            )
        case "team", [number] if (team := names.teams.get(int(number))) is not None:
            return f"the team {team.name}{suffix}", f"/teams/{team.team_id}/", _team(team), ()
        case "user", [number] if (person := names.people.get(int(number))) is not None:
            return f"{person}{suffix}", f"/people/{person.pk}/", _person(person), addresses_of(person)
        case "member", [team_number, number] if (person := names.people.get(int(number))) is not None:
            team = names.teams.get(int(team_number))
            where = f" in {team.name}" if team else ""
            facts = _person(person) | (_team(team) if team else {})
            return f"{person}{where}{suffix}", f"/people/{person.pk}/", facts, addresses_of(person)
        case _:
            return f"the {word} {':'.join(parts)}{suffix}", "/usage/", {}, ()


def addresses_of(person: User | None) -> tuple[str, ...]:
    """Where somebody can be written to; nothing for those who have no address or are switched off."""
    if person is None or not person.is_active or person.email.endswith(f"@{NO_ADDRESS}"):
        return ()
    return (person.email,)


def _person(person: User | None) -> dict[str, Any]:
    if person is None:
        return {}
    return {"user_id": person.user_id, "user_email": next(iter(addresses_of(person)), None)}


def _team(team: Team) -> dict[str, Any]:
    return {"team_id": team.team_id, "team_alias": team.name}


def _names(rows: Sequence[BudgetWindow]) -> Names:
    numbers: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        word, *parts = row.subject.split(":")
        if word in ("key", "team", "user") and parts:
            numbers[word].add(int(parts[0]))
        elif word == "member" and len(parts) == 2:
            numbers["team"].add(int(parts[0]))
            numbers["user"].add(int(parts[1]))
    keys = (
        {key.pk: key for key in VirtualKey.objects.filter(pk__in=numbers["key"]).select_related("team")}
        if numbers["key"]
        else {}
    )
    people = numbers["user"] | {key.user_id for key in keys.values() if key.user_id is not None}
    return Names(
        keys,
        Team.objects.in_bulk(numbers["team"]) if numbers["team"] else {},
        User.objects.in_bulk(people) if people else {},
    )
