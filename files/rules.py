"""What a team may keep here: its storage, its quotas, how long its files live."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, F, Sum

from files import storage
from files.models import DailyUse, FileRules, ManagedFile
from providers.errors import Forbidden, InvalidRequest, RateLimited, TooLarge


def rules_of(team_id: int) -> FileRules:
    """The team's rules, all empty when it has none."""
    return FileRules.objects.filter(team_id=team_id).first() or FileRules(team_id=team_id)


def storage_for(rules: FileRules, target: str | None) -> str:
    """What the caller names, else the team's storage, else the operator's. Raises InvalidRequest."""
    alias = storage.alias_for(rules.storage if target in (None, "", "default") else target)
    if rules.allowed_storages and alias not in rules.allowed_storages:
        raise InvalidRequest(
            f"Files of this team may be kept in {', '.join(rules.allowed_storages)} only.",
            param="target_storage",
            code="storage_not_allowed",
        )
    return alias


def largest_file(rules: FileRules, limit: int) -> int:
    return limit if rules.max_file_bytes is None else min(limit, rules.max_file_bytes)


def end_of(rules: FileRules, created_at: datetime, expires_in: int | None) -> datetime | None:
    """When a file ends: as its upload asked for, but no later than the team's rule allows."""
    asked = None if expires_in is None else created_at + timedelta(seconds=expires_in)
    kept = None if rules.keep_days is None else created_at + timedelta(days=rules.keep_days)
    return min((end for end in (asked, kept) if end is not None), default=None)


def check_room(rules: FileRules, size: int, now: datetime) -> None:
    """Raises TooLarge, Forbidden or RateLimited when a file of this size is one too many for its team."""
    if rules.max_file_bytes is not None and size > rules.max_file_bytes:
        raise TooLarge(
            f"A file of this team may have at most {rules.max_file_bytes} bytes.",
            param="file",
            code="file_too_large",
        )
    if rules.max_bytes is not None or rules.max_files is not None:
        _check_total(rules, size)
    if rules.max_bytes_per_day is not None:
        _check_day(rules, size, now)


def take_room(team_id: int, size: int, now: datetime) -> FileRules:
    """Checks a new file against its team's rules and counts it, alone: call it inside a transaction."""
    rules = FileRules.objects.select_for_update().filter(team_id=team_id).first()
    if rules is not None:
        check_room(rules, size, now)
    day = now.astimezone(UTC).date()
    if not _add(team_id, day, size):
        DailyUse.objects.bulk_create([DailyUse(team_id=team_id, day=day)], ignore_conflicts=True)
        _add(team_id, day, size)
    return rules or FileRules(team_id=team_id)


def _add(team_id: int, day: Any, size: int) -> bool:
    today = DailyUse.objects.filter(team_id=team_id, day=day)
    return bool(today.update(files=F("files") + 1, size=F("size") + size))


def _check_total(rules: FileRules, size: int) -> None:
    live = ManagedFile.objects.filter(team_id=rules.team_id, deleted_at=None)
    held = live.aggregate(files=Count("*"), size=Sum("size", default=0))
    if rules.max_files is not None and held["files"] + 1 > rules.max_files:
        raise Forbidden(
            f"This team may keep {rules.max_files} files and has {held['files']}. Delete some first.",
            param="file",
            code="file_count_quota_exceeded",
        )
    if rules.max_bytes is not None and held["size"] + size > rules.max_bytes:
        raise Forbidden(
            f"This team may keep {rules.max_bytes} bytes and has {held['size']}; "
            f"a file of {size} bytes does not fit. Delete some first.",
            param="file",
            code="file_bytes_quota_exceeded",
        )


def _check_day(rules: FileRules, size: int, now: datetime) -> None:
    today = now.astimezone(UTC)
    row = DailyUse.objects.filter(team_id=rules.team_id, day=today.date()).first()
    sent = row.size if row else 0
    if rules.max_bytes_per_day is not None and sent + size > rules.max_bytes_per_day:
        midnight = today.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        raise RateLimited(
            f"This team may upload {rules.max_bytes_per_day} bytes a day and has uploaded {sent} today.",
            param="file",
            code="daily_file_quota_exceeded",
            retry_after=(midnight - today).total_seconds(),
        )
