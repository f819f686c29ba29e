"""Makes and changes virtual keys. The secret is returned once, by create_key, and kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypedDict, Unpack

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from portal import crypto
from portal.models import Revision, Team, User, VirtualKey
from portal.services import audit, validation
from portal.services.audit import Actor
from providers.errors import Conflict, InvalidRequest

SHORTEST_OWN_KEY = 16
LONGEST_KEY = 256
AUDITED = ("name", "allowed_models", "is_blocked", "expires_at", "user_id", "metadata")
CHANGEABLE = ("name", "allowed_models", "is_blocked", "expires_at", "user", "metadata")


class KeyChanges(TypedDict, total=False):
    """What update_key may change."""

    name: str
    allowed_models: Sequence[str]
    expires_at: datetime | None
    user: User | None
    metadata: Mapping[str, Any]


@lru_cache(maxsize=4)
def _pepper(secret_key: str) -> str:
    return crypto.subkey(secret_key, "keys")


def digest_of(key: str) -> str:
    """What is stored and looked up of a key: 64 hex digits."""
    return crypto.key_digest(key, _pepper(settings.SECRET_KEY))


def create_key(
    *,
    actor: Actor,
    team: Team,
    name: str,
    allowed_models: Sequence[str] = (),
    expires_at: datetime | None = None,
    user: User | None = None,
    key: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[VirtualKey, str]:
    """Makes a key for a team; returns the row and the secret, which cannot be had again.

    `key` brings a key along from elsewhere instead of making one. `allowed_models` narrows the team's.
    """
    secret = crypto.new_virtual_key() if key is None else _own_key(key)
    row = VirtualKey(
        team=team,
        user=user,
        name=validation.name(name),
        digest=digest_of(secret),
        hint=crypto.key_hint(secret),
        allowed_models=validation.model_names(allowed_models),
        expires_at=validation.expiry(expires_at),
        metadata=validation.json_object(metadata, param="metadata"),
    )
    with transaction.atomic():
        row.revision = Revision.advance()
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:
            raise Conflict("This key is in use already.", param="key", code="key_exists") from None
        audit.record(
            actor=actor,
            action="key.created",
            obj=row,
            after=audit.fields_of(row, AUDITED) | {"team": team.team_id},
        )
    return row, secret


def update_key(*, actor: Actor, key: VirtualKey, **changes: Unpack[KeyChanges]) -> VirtualKey:
    before = audit.fields_of(key, AUDITED)
    if "name" in changes:
        key.name = validation.name(changes["name"])
    if "allowed_models" in changes:
        key.allowed_models = validation.model_names(changes["allowed_models"])
    if "expires_at" in changes:
        key.expires_at = validation.expiry(changes["expires_at"])
    if "user" in changes:
        key.user = changes["user"]
    if "metadata" in changes:
        key.metadata = validation.json_object(changes["metadata"], param="metadata")
    return _finish(actor, "key.updated", key, before)


def block_key(*, actor: Actor, key: VirtualKey) -> VirtualKey:
    before = audit.fields_of(key, AUDITED)
    key.is_blocked = True
    return _finish(actor, "key.blocked", key, before)


def unblock_key(*, actor: Actor, key: VirtualKey) -> VirtualKey:
    before = audit.fields_of(key, AUDITED)
    key.is_blocked = False
    return _finish(actor, "key.unblocked", key, before)


def delete_key(*, actor: Actor, key: VirtualKey) -> None:
    """The key stops working everywhere within a second; its row stays, so that usage stays attributable."""
    if key.deleted_at is not None:
        return
    with transaction.atomic():
        key.deleted_at = timezone.now()
        key.revision = Revision.advance()
        key.save(update_fields=["deleted_at", "revision", "updated_at"])
        audit.record(actor=actor, action="key.deleted", obj=key, before=audit.fields_of(key, AUDITED))


def _own_key(key: str) -> str:
    if not isinstance(key, str) or not SHORTEST_OWN_KEY <= len(key) <= LONGEST_KEY:
        raise InvalidRequest(
            f"`key` must have {SHORTEST_OWN_KEY} to {LONGEST_KEY} characters.",
            param="key",
            code="invalid_key",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidRequest("`key` must be printable ASCII without spaces.", param="key", code="invalid_key")
    return key


def _finish(actor: Actor, action: str, key: VirtualKey, before: dict[str, Any]) -> VirtualKey:
    old, new = audit.difference(before, audit.fields_of(key, AUDITED))
    if not new:
        return key
    with transaction.atomic():
        key.revision = Revision.advance()
        key.save(update_fields=[*CHANGEABLE, "revision", "updated_at"])
        audit.record(actor=actor, action=action, obj=key, before=old, after=new)
    return key
