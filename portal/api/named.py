"""What a request names by an id: one the caller may see, or 404."""

from __future__ import annotations

from portal.api.management import Ask
from portal.models import Budget, Team, User
from providers.errors import NotFound


def team(ask: Ask, team_id: str) -> Team:
    found = Team.objects.visible_to(ask.caller).filter(team_id=team_id).first()
    if found is None:
        raise NotFound("There is no such team.", param="team_id", code="team_not_found")
    return found


def user(ask: Ask, user_id: str) -> User:
    """One of the caller's teams, unless the caller sees everybody."""
    users = User.objects.filter(user_id=user_id)
    if not ask.caller.may_read_all:
        users = users.filter(memberships__team__in=ask.caller.team_ids).distinct()
    found = users.first()
    if found is None:
        raise NotFound("There is no such user.", param="user_id", code="user_not_found")
    return found


def budget(budget_id: str) -> Budget:
    found = Budget.objects.filter(budget_id=budget_id).first()
    if found is None:
        raise NotFound("There is no such budget.", param="budget_id", code="budget_not_found")
    return found
