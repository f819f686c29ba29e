"""Everything that is worth telling now, as the database shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.db.models import Count, F, Max, Q, Sum

from files.models import FileRules, ManagedFile, ProviderFileMapping
from portal.models import Team, UsageRecord, VirtualKey
from portal.services.alerts import budgets
from portal.services.alerts.budgets import addresses_of
from portal.services.alerts.condition import Condition
from portal.services.settings import Known

LATELY = timedelta(minutes=5)
"""What counts of the ledger when it is said that a model fails."""
FEWEST_FAILURES = 5
WORST_SHARE = 0.5
"""A model fails when so many calls and so large a share of them did."""
COPIES_LATELY = timedelta(hours=1)
NEARLY_FULL = 0.9
SOON = timedelta(days=7)
SHORT_LIVED = timedelta(days=14)
"""Keys that never lived longer than this expire all the time, and on purpose."""


def find(now: datetime, known: Known) -> list[Condition]:
    """All of the kinds that are switched on. Raises django.db.Error."""
    wanted = set(known["general_settings.alert_types"])
    found = [condition for kind, finder in FINDERS.items() if kind in wanted for condition in finder(now)]
    if {"outage_alerts", "llm_too_slow"} & wanted:
        slow = float(known["general_settings.alerting_threshold"])
        found += [each for each in _calls(now, slow) if each.kind in wanted]
    return found


def _calls(now: datetime, slow_seconds: float) -> Iterable[Condition]:
    """Models whose calls fail at a provider, or take long, by one look at the last minutes."""
    rows = (
        UsageRecord.objects.filter(started_at__gte=now - LATELY)
        .exclude(model="")
        .order_by()
        .values("model")
        .annotate(
            calls=Count("pk"),
            failed=Count("pk", filter=Q(status__gte=500)),
            slow=Count("pk", filter=Q(duration_ms__gte=int(slow_seconds * 1000))),
            slowest=Max("duration_ms"),
        )
        .filter(Q(failed__gte=FEWEST_FAILURES) | Q(slow__gte=1))
    )
    for row in rows:
        model = row["model"]
        requests = urlencode({"model": model})
        if row["failed"] >= FEWEST_FAILURES and row["failed"] >= row["calls"] * WORST_SHARE:
            yield Condition(
                fingerprint=f"outage:{model}",
                kind="outage_alerts",
                event="outage",
                title=f"{model} fails",
                text=f"{row['failed']} of the last {row['calls']} calls failed at the provider.",
                path=f"/requests/?{requests}&status=server",
                facts={"model": model, "failed_requests": row["failed"], "api_requests": row["calls"]},
            )
        if row["slow"]:
            yield Condition(
                fingerprint=f"slow:{model}",
                kind="llm_too_slow",
                event="llm_too_slow",
                title=f"{model} answers slowly",
                text=f"{row['slow']} of the last {row['calls']} calls took longer than {slow_seconds:g} s,"
                f" the longest {row['slowest'] / 1000:.0f} s.",
                path=f"/requests/?{requests}",
                facts={"model": model, "slow_requests": row["slow"], "api_requests": row["calls"]},
            )


def _copies(now: datetime) -> Iterable[Condition]:
    """Accounts at which copies of files failed for good."""
    failed = ProviderFileMapping.objects.filter(
        state=ProviderFileMapping.State.FAILED, next_attempt_at__gte=now - COPIES_LATELY
    )
    rows = failed.order_by().values("account", "account__name").annotate(count=Count("pk"), last=Max("pk"))
    for row in rows:
        error = failed.filter(pk=row["last"]).values_list("error", flat=True).first() or ""
        many = "1 copy" if row["count"] == 1 else f"{row['count']} copies"
        yield Condition(
            fingerprint=f"copies:{row['account']}",
            kind="file_copy_alerts",
            event="file_copies_failed",
            title=f"Copies of files fail at {row['account__name']}",
            text=f"{many} failed lately.{f' The last one: {error[:300]}' if error else ''}",
            path="/jobs/?state=failed",
            facts={"account": row["account__name"], "copies": row["count"]},
        )


def _storage(now: datetime) -> Iterable[Condition]:
    """Teams that have used nearly all the room for files that they have."""
    rules = {row.team_id: row for row in FileRules.objects.filter(max_bytes__gt=0)}
    if not rules:
        return
    held = (
        ManagedFile.objects.filter(team_id__in=rules, deleted_at=None)
        .order_by()
        .values("team_id")
        .annotate(bytes=Sum("size"))
    )
    full = {
        row["team_id"]: row["bytes"]
        for row in held
        if row["bytes"] >= (rules[row["team_id"]].max_bytes or 0) * NEARLY_FULL
    }
    for team in Team.objects.filter(pk__in=full):
        most = rules[team.pk].max_bytes or 0
        yield Condition(
            fingerprint=f"storage:{team.pk}:{most}",
            kind="storage_alerts",
            event="storage_nearly_full",
            group="team",
            title=f"The storage of the team {team.name} is nearly full",
            text=f"{full[team.pk] / 2**30:.2f} of {most / 2**30:.2f} GB are used."
            " Uploads that do not fit are refused.",
            path="/files/",
            facts={"team_id": team.team_id, "team_alias": team.name, "bytes": full[team.pk]},
        )


def _expiring(now: datetime) -> Iterable[Condition]:
    """Keys in use that end within days."""
    rows = VirtualKey.objects.filter(
        deleted_at=None,
        is_blocked=False,
        expires_at__gt=now,
        expires_at__lte=now + SOON,
        created_at__lte=F("expires_at") - SHORT_LIVED,
    )
    for key in rows.select_related("team", "user"):
        assert key.expires_at is not None
        yield Condition(
            fingerprint=f"expiry:{key.pk}:{key.expires_at.isoformat()}",
            kind="key_expiry_alerts",
            event="key_expires_soon",
            group="key",
            title=f"The key {key.name} expires soon",
            text=f"It ends on {key.expires_at:%-d %b %Y, %H:%M} UTC.",
            path=f"/keys/{key.pk}/",
            facts=_key_facts(key),
            is_once=True,
            people=addresses_of(key.user),
        )


def _to_rotate(now: datetime) -> Iterable[Condition]:
    """Keys whose interval is over. Somebody has to fetch the new value, as it is shown once to a person."""
    rows = VirtualKey.objects.filter(deleted_at=None, is_blocked=False, rotate_at__lte=now)
    for key in rows.select_related("team", "user"):
        assert key.rotate_at is not None
        yield Condition(
            fingerprint=f"rotation:{key.pk}:{key.rotate_at.isoformat()}",
            kind="key_rotation_alerts",
            event="key_rotation_due",
            group="key",
            title=f"The key {key.name} is due for a new value",
            text="Open the key and choose Roll: the new value is shown once, the present one goes on working"
            " for as long as you say.",
            path=f"/keys/{key.pk}/",
            facts=_key_facts(key),
            is_once=True,
            people=addresses_of(key.user),
        )


def _key_facts(key: VirtualKey) -> dict[str, object]:
    return {
        "token": key.digest,
        "key_alias": key.name,
        "team_id": key.team.team_id,
        "team_alias": key.team.name,
        "user_id": key.user.user_id if key.user else None,
        "user_email": next(iter(addresses_of(key.user)), None),
    }


Finder = Callable[[datetime], Iterable[Condition]]
FINDERS: Mapping[str, Finder] = {
    budgets.KIND: budgets.find,
    "file_copy_alerts": _copies,
    "storage_alerts": _storage,
    "key_expiry_alerts": _expiring,
    "key_rotation_alerts": _to_rotate,
}
