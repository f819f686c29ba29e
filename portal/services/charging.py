"""Keys that a signed-in person may let a call be charged to, without knowing their secrets."""

from __future__ import annotations

from dataclasses import replace

from django.db.models import Q
from django.utils import timezone

from portal.models import VirtualKey
from portal.services import catalog, policy
from portal.services.access import Caller
from portal.services.options import parse as parse_options
from providers.errors import Forbidden

MOST_LISTED = 100
LARGEST_ID = 2**63 - 1


def chargeable(caller: Caller) -> list[VirtualKey]:
    """Working keys of the team they act for: a member's own, for who runs the team all of them."""
    keys = VirtualKey.objects.visible_to(caller).filter(team_id=caller.team_id, is_blocked=False)
    keys = keys.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
    if not policy.can(caller, "keys.charge"):
        keys = keys.filter(user_id=caller.user_id) if caller.user_id else keys.none()
    return [key for key in keys.order_by("name")[:MOST_LISTED] if policy.can(caller, "keys.charge", key)]


def charging(caller: Caller, number: str) -> Caller:
    """The person, bounded by the key's models, limits, routes and budgets besides their own. Raises
    Forbidden."""
    key = None
    if number.isdecimal() and int(number) <= LARGEST_ID:
        key = VirtualKey.objects.visible_to(caller).filter(pk=int(number), team_id=caller.team_id).first()
    if key is None or not policy.can(caller, "keys.charge", key):
        raise Forbidden("You may not charge calls to this key.", code="key_not_chargeable")
    if key.is_blocked or (key.expires_at is not None and key.expires_at <= timezone.now()):
        raise Forbidden("This key is blocked or has expired.", code="key_not_chargeable")
    lists = (catalog.snapshot().expand(tuple(key.allowed_models)),) if key.allowed_models else ()
    return replace(
        caller,
        name=key.name,
        key_id=key.pk,
        key_options=parse_options(key.options),
        key_spend=key.spend,
        allowed=(*caller.allowed, *lists),
    )
