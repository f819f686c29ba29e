"""What the layout of every page shows: navigation, teams, the person. Safe for anonymous visitors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from portal.dashboard import visitor
from portal.models import User
from portal.services import catalog
from portal.services import settings as instance_settings

LONGEST_NUMBER = 18


@dataclass(frozen=True, slots=True)
class NavItem:
    title: str
    url: str
    icon: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class NavGroup:
    title: str
    items: list[NavItem]


# title, name of the URL, icon, the right that shows it
NAVIGATION: tuple[tuple[str, tuple[tuple[str, str, str, str | None], ...]], ...] = (
    ("", (("Overview", "overview", "layout-dashboard", None),)),
    (
        "Build",
        (
            ("Files", "files", "files", "files.read"),
            ("Playground", "playground", "message-square-text", "playground.use"),
            ("Keys", "keys", "key-round", "keys.read"),
            ("Models", "models", "boxes", "models.read"),
        ),
    ),
    (
        "Observe",
        (
            ("Requests", "requests", "scroll-text", "usage.read"),
            ("Usage", "usage", "chart-column", "usage.read"),
            ("Jobs", "jobs", "list-checks", "settings.read"),
            ("Audit", "audit", "history", "audit.read"),
        ),
    ),
    (
        "Manage",
        (
            ("Teams", "teams", "users", "teams.read"),
            ("People", "people", "user-round", "people.read"),
            ("Providers", "providers", "plug", "accounts.read"),
            ("Settings", "settings", "settings", "settings.read"),
            ("Raw records", "admin:index", "database", "records.change"),
        ),
    ),
)


def page(request: HttpRequest) -> dict[str, Any]:
    """The context processor. Error pages are rendered with it too, so it asks for nothing it need not."""
    user = getattr(request, "user", None)
    if not isinstance(user, User) or not user.is_authenticated:
        return {"page": {"instance": instance_name(), "signed_in": False}}
    return {
        "page": {
            "instance": instance_name(),
            "signed_in": True,
            "person": str(user),
            "initials": _initials(str(user)),
            "role": user.get_role_display(),
            "team": visitor.team_of(request),
            **_teams(request),
            "nav": navigation(request),
            "may_look": visitor.may(request, "models.read"),
            "may_play": visitor.may(request, "playground.use"),
        }
    }


def instance_name() -> str:
    """What this instance is called, without asking the database for it."""
    general = catalog.snapshot().settings.general if catalog.is_loaded() else {}
    return instance_settings.instance_name(general)


def _teams(request: HttpRequest) -> dict[str, Any]:
    """The first teams, for the switcher and for filters, and the one that the address asks for."""
    known = visitor.first_teams(request)
    teams = known[: visitor.TEAMS_SHOWN]
    asked = request.GET.get("team", "")
    if len(known) > len(teams) and asked.isdecimal() and len(asked) < LONGEST_NUMBER:
        others = {team.pk for team in teams}
        teams += [team for team in visitor.reachable_teams(request).filter(pk=asked) if team.pk not in others]
    return {"teams": teams, "has_more_teams": len(known) > visitor.TEAMS_SHOWN}


def navigation(request: HttpRequest) -> list[NavGroup]:
    """The pages that this person may open."""
    groups = []
    for title, entries in NAVIGATION:
        items = [
            _item(request, label, name, icon)
            for label, name, icon, action in entries
            if action is None or visitor.may(request, action)
        ]
        if items:
            groups.append(NavGroup(title, items))
    return groups


def _item(request: HttpRequest, label: str, name: str, icon: str) -> NavItem:
    url = reverse(name)
    is_current = request.path == url if url == "/" else request.path.startswith(url)
    return NavItem(label, url, icon, is_current)


def _initials(name: str) -> str:
    words = [word for word in name.replace("@", " ").replace(".", " ").split() if word]
    return "".join(word[0] for word in words[:2]).upper()
