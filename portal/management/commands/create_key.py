"""Makes a virtual key and prints it, alone on standard output."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone

from portal.models import Team
from portal.models.team import DEFAULT_TEAM
from portal.services import keys, teams
from portal.services.audit import Actor
from providers.errors import PorticoError

ACTOR = Actor.system("create_key")


class Command(BaseCommand):
    help = (
        "Make a virtual key. The key is printed alone on standard output, what it may do on standard error."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument(
            "--team", default=DEFAULT_TEAM, help="name or id of a team; without it the default team"
        )
        parser.add_argument("--create-team", action="store_true", help="make the team if there is none")
        parser.add_argument(
            "--models", default="", help="comma-separated names and patterns; all if left out"
        )
        parser.add_argument("--days", type=_days, help="how long it is valid; for ever if left out")
        parser.add_argument("--key", help="bring this key along instead of making one")

    def handle(self, *, name: str, days: float | None, **options: Any) -> None:
        models = [model.strip() for model in options["models"].split(",") if model.strip()]
        try:
            row, secret = keys.create_key(
                actor=ACTOR,
                team=_team(options["team"], make=options["create_team"]),
                name=name,
                allowed_models=models,
                expires_at=timezone.now() + timedelta(days=days) if days else None,
                key=options["key"],
            )
        except PorticoError as error:
            raise CommandError(error.message) from None
        self.stdout.write(secret)
        allowed = ", ".join(row.allowed_models) or "all of the team's"
        self.stderr.write(f"key {row.name} of team {row.team.name}; models: {allowed}")
        end = row.expires_at.isoformat() if row.expires_at else "it is deleted"
        self.stderr.write(f"valid until {end}")


def _team(named: str, *, make: bool) -> Team:
    if named == DEFAULT_TEAM:
        return teams.default_team()
    team = Team.objects.filter(Q(team_id=named) | Q(name=named)).first()
    if team is None and make:
        return teams.create_team(actor=ACTOR, name=named)
    if team is None:
        raise CommandError(f"There is no team {named!r}; --create-team makes it.")
    return team


def _days(written: str) -> float:
    try:
        days = float(written)
    except ValueError:
        days = 0.0
    if not 0 < days <= 36500:
        raise argparse.ArgumentTypeError("must be a number of days from 0 to 36500")
    return days
