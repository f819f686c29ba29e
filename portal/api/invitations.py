"""Links that let people in who were made by scripts: /invitation/new."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from portal.api import fields, named
from portal.api.management import Ask, posts
from portal.services import mailed_links, people
from providers.errors import InvalidRequest


def link_of(token: str) -> str:
    """Where a person chooses a password, as far as the instance knows its own address."""
    return f"{settings.PUBLIC_URL.rstrip('/')}{reverse('reset-password', args=[token])}"


def new(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a link by which a person chooses a password. It is shown this once and works once."""
    person = named.user(ask, values["user_id"])
    if person.email.endswith(f"@{people.NO_ADDRESS}"):
        raise InvalidRequest(
            "The person has no e-mail address to sign in with.", param="user_id", code="no_address"
        )
    token = mailed_links.make_password_link(actor=ask.actor, person=person)
    now = timezone.now()
    stamps = {name: fields.stamp(now) for name in ("created_at", "updated_at")}
    return {
        "id": token,
        "user_id": person.user_id,
        "is_accepted": False,
        "accepted_at": None,
        "expires_at": fields.stamp(now + mailed_links.HANDED_LIFE),
        "created_by": ask.actor.label,
        "updated_by": ask.actor.label,
        **stamps,
        "invitation_link": link_of(token),
    }


New = posts(
    new,
    permission="people.change",
    summary="Make a link for a person to choose a password",
    fields={"user_id": fields.text("The person's id.", 64)},
    required="user_id",
)
