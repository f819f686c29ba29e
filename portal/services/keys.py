"""Makes and changes virtual keys. A secret is returned once, by who makes it, and kept nowhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypedDict, Unpack

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from portal import crypto
from portal.models import Budget, RetiredKey, Revision, Team, User, VirtualKey
from portal.services import audit, budgets, durations, guarantees, validation
from portal.services import options as key_options
from portal.services.audit import Actor
from providers.errors import Conflict, InvalidRequest

SHORTEST_OWN_KEY = 16
LONGEST_KEY = 256
LONGEST_OVERLAP = timedelta(days=30)
SHA256 = re.compile(r"[0-9a-f]{64}")
CHANGEABLE = (
    "name",
    "allowed_models",
    "is_blocked",
    "expires_at",
    "metadata",
    "options",
    "rotation_interval",
)
AUDITED = (*CHANGEABLE, "team_id", "user_id", "budget_id")


class KeyFacts(TypedDict, total=False):
    """What a key may be given beside its name and team.

    `allowed_models` narrows the team's. `options` are those of portal.services.options, `figures` those of
    budget_figures.FIELDS; `budget` lends its own. After each `rotation_interval` a new value is due; somebody
    has to fetch it (portal.services.alerts), as a value is shown once to a person and kept nowhere.
    """

    allowed_models: Sequence[str]
    expires_at: datetime | None
    user: User | None
    metadata: Mapping[str, Any] | None
    options: Mapping[str, Any]
    budget: Budget | None
    figures: Mapping[str, Any]
    rotation_interval: str


class NewKeyFacts(KeyFacts, total=False):
    """`rotate_at`: when the first new value is due, if not one interval from now."""

    is_blocked: bool
    rotate_at: datetime | None
    spend: Decimal


class KeyChanges(KeyFacts, total=False):
    """What update_key may change; of options and figures only those that are named."""

    name: str
    team: Team


@lru_cache(maxsize=8)
def _pepper(secret_key: str, purpose: str = "keys") -> str:
    return crypto.subkey(secret_key, purpose)


def digest_of(key: str) -> str:
    """What is stored and looked up of a key: 64 hex digits."""
    return crypto.key_digest(key, _pepper(settings.SECRET_KEY))


def imported_digest_of(sha256: str) -> str:
    """What is stored of a key of which only LiteLLM's hash is known; that hash itself opens nothing."""
    return crypto.key_digest(sha256, _pepper(settings.SECRET_KEY, "imported keys"))


def sha256_of(key: str) -> str:
    """LiteLLM's hash of a key (litellm.md 5.5)."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def create_key(
    *, actor: Actor, team: Team, name: str, key: str | None = None, **facts: Unpack[NewKeyFacts]
) -> tuple[VirtualKey, str]:
    """Makes a key for a team; returns the row and the secret, which cannot be had again.

    `key` brings a key along from elsewhere instead of making one.
    """
    secret = crypto.new_virtual_key() if key is None else _own_key(key)
    row = VirtualKey(team=team, name=name, digest=digest_of(secret), hint=crypto.key_hint(secret))
    row.expires_at = validation.expiry(facts.get("expires_at"))
    _save_new(actor, row, facts)
    return row, secret


def import_key(
    *, actor: Actor, team: Team, name: str, sha256: str, hint: str = "", **facts: Unpack[NewKeyFacts]
) -> VirtualKey:
    """Takes over a key of which only LiteLLM's hash is known; whoever holds it goes on using it."""
    if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
        raise InvalidRequest("`token` must be a SHA-256 hash, 64 hex digits.", param="token")
    shown = validation.text(hint, param="key_name", limit=16) or f"…{sha256[-4:]}"
    row = VirtualKey(team=team, name=name, digest=imported_digest_of(sha256), hint=shown)
    row.expires_at = facts.get("expires_at")  # may be past: such a key is taken over as it is
    _save_new(actor, row, facts)
    return row


def update_key(*, actor: Actor, key: VirtualKey, **changes: Unpack[KeyChanges]) -> VirtualKey:
    before = audit.fields_of(key, AUDITED)
    if "team" in changes:
        key.team = changes["team"]
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
    figures = _take_budget(key, changes)
    _take_rotation(key, changes)
    return _finish(actor, "key.updated", key, before, figures)


def block_key(*, actor: Actor, key: VirtualKey) -> VirtualKey:
    before = audit.fields_of(key, AUDITED)
    key.is_blocked = True
    return _finish(actor, "key.blocked", key, before, {})


def unblock_key(*, actor: Actor, key: VirtualKey) -> VirtualKey:
    before = audit.fields_of(key, AUDITED)
    key.is_blocked = False
    return _finish(actor, "key.unblocked", key, before, {})


def delete_key(*, actor: Actor, key: VirtualKey) -> None:
    """The key stops working everywhere within a second; its row stays, so that usage stays attributable."""
    if key.deleted_at is not None:
        return
    with transaction.atomic():
        key.deleted_at = timezone.now()
        key.revision = Revision.advance()
        key.save(update_fields=["deleted_at", "revision", "updated_at"])
        RetiredKey.objects.filter(key=key).update(valid_until=key.deleted_at)
        budgets.drop([budgets.key_subject(key.pk)])
        audit.record(actor=actor, action="key.deleted", obj=key, before=audit.fields_of(key, AUDITED))


def rotate_key(
    *, actor: Actor, key: VirtualKey, new_key: str | None = None, overlap: timedelta = timedelta(0)
) -> str:
    """Gives a key a new value and returns it; the old one goes on working for `overlap`."""
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidRequest(
            f"`grace_period` must be at most {LONGEST_OVERLAP.days} days.", param="grace_period"
        )
    secret = crypto.new_virtual_key() if new_key is None else _own_key(new_key)
    digest = digest_of(secret)
    end = timezone.now() + overlap
    with transaction.atomic():
        old = VirtualKey.objects.select_for_update().get(pk=key.pk).digest
        _require_unused(digest)
        RetiredKey.objects.create(key=key, digest=old, valid_until=end)
        key.digest, key.hint, key.revision = digest, crypto.key_hint(secret), Revision.advance()
        key.rotated_at, key.rotation_count = timezone.now(), key.rotation_count + 1
        key.rotate_at = _next_rotation(key.rotation_interval)
        key.save(
            update_fields=[
                "digest",
                "hint",
                "revision",
                "rotated_at",
                "rotation_count",
                "rotate_at",
                "updated_at",
            ]
        )
        after = {"old_value_works_until": end if overlap else None}
        audit.record(actor=actor, action="key.rotated", obj=key, after=after)
    return secret


def reset_spend(*, actor: Actor, key: VirtualKey, spend: Decimal) -> VirtualKey:
    """Sets what counts as spent, of the key and of its budget; the ledger stays as it is."""
    before = {"spend": key.spend}
    with transaction.atomic():
        VirtualKey.objects.filter(pk=key.pk).update(spend=spend)
        key.spend = spend
        budgets.reset(budgets.key_subject(key.pk), spend)
        audit.record(actor=actor, action="key.spend_reset", obj=key, before=before, after={"spend": spend})
    return key


def find(rows: QuerySet[VirtualKey], written: str) -> VirtualKey | None:
    """The one among `rows` that a key, its stored hash or LiteLLM's hash of it stands for."""
    digests = [digest_of(written), imported_digest_of(sha256_of(written))]
    if SHA256.fullmatch(written):
        digests += [written, imported_digest_of(written)]
    return rows.filter(digest__in=digests).select_related("team", "user", "budget").first()


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


def _save_new(actor: Actor, row: VirtualKey, facts: NewKeyFacts) -> None:
    row.name = validation.name(row.name)
    row.user = facts.get("user")
    row.allowed_models = validation.model_names(facts.get("allowed_models"))
    row.metadata = validation.json_object(facts.get("metadata"), param="metadata")
    row.is_blocked = facts.get("is_blocked", False)
    row.spend = facts.get("spend", Decimal(0))
    row.created_by = actor.label
    figures = _take_budget(row, facts)
    _take_rotation(row, facts)
    if row.rotation_interval and (due := facts.get("rotate_at")):
        row.rotate_at = due
    with transaction.atomic():
        guarantees.require_room(row)
        row.revision = Revision.advance()
        _require_unused(row.digest)
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:
            raise _taken() from None
        budgets.change(budgets.key_subject(row.pk), figures, spent=row.spend)
        after = audit.fields_of(row, AUDITED) | {"team": row.team.team_id} | figures
        audit.record(actor=actor, action="key.created", obj=row, after=after)


def _take_budget(key: VirtualKey, facts: KeyFacts) -> dict[str, Any]:
    """Sets options and named budget on the row; returns the figures that its windows are to get."""
    figures: dict[str, Any] = {}
    if "budget" in facts:
        key.budget = facts["budget"]
        if key.budget is not None:
            key.options = key_options.changed(key.options, budgets.limits_of(key.budget))
            figures = budgets.figures_of(key.budget)
    if "options" in facts:
        key.options = key_options.changed(key.options, facts["options"])
    return figures | dict(facts.get("figures", {}))


def _take_rotation(key: VirtualKey, facts: KeyFacts) -> None:
    """An interval that stays lets the date stay as well."""
    if "rotation_interval" not in facts:
        return
    interval = durations.checked(facts["rotation_interval"], param="rotation_interval")
    if interval != key.rotation_interval:
        key.rotation_interval, key.rotate_at = interval, _next_rotation(interval)


def _next_rotation(interval: str) -> datetime | None:
    return timezone.now() + durations.span(interval, param="rotation_interval") if interval else None


def _require_unused(digest: str) -> None:
    if RetiredKey.objects.filter(digest=digest).exists() or VirtualKey.objects.filter(digest=digest).exists():
        raise _taken()


def _taken() -> Conflict:
    return Conflict("This key is in use already.", param="key", code="key_exists")


def _finish(
    actor: Actor, action: str, key: VirtualKey, before: dict[str, Any], figures: Mapping[str, Any]
) -> VirtualKey:
    old, new = audit.difference(before, audit.fields_of(key, AUDITED))
    if not new and not figures:
        return key
    with transaction.atomic():
        guarantees.require_room(key)
        budgets.change(budgets.key_subject(key.pk), figures, spent=key.spend)
        key.revision = Revision.advance()
        key.save(update_fields=[*CHANGEABLE, "rotate_at", "team", "user", "budget", "revision", "updated_at"])
        audit.record(actor=actor, action=action, obj=key, before=old, after=new | dict(figures))
    return key
