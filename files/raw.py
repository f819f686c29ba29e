"""Files that callers put at one provider alone, under its own id: usable by their owner's team only."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from files import damage, media, rules, scanning, services, storage, texts, transfer
from files.kill_points import here
from files.models import Caller, ManagedFile, RawFile
from files.services import Page
from files.storage import Stored
from providers import registry
from providers.errors import (
    FileCorrupt,
    FileNotFound,
    PorticoError,
    ServiceError,
    Unavailable,
    UnsupportedFile,
)
from providers.types import Connection, FileVerbs, RemoteFile, Upload

logger = logging.getLogger(__name__)

State = RawFile.State

LONGEST_UPLOAD: Final = timedelta(hours=6)
"""A row that says `uploading` for longer was left by a crash."""
LONGEST_ID: Final = 1024


class BytesOf:
    """A raw file's bytes, as the storage reads them."""

    def __init__(self, row: RawFile) -> None:
        self.id = row.provider_file_id or row.reference
        self.storage = row.storage
        self.blob = row.blob
        self.size = row.size
        self.sha256 = row.sha256
        self.filename = row.filename


def create_raw_file(
    *,
    caller: Caller,
    stored: Stored,
    filename: str,
    purpose: str,
    declared_media_type: str = "",
    account_id: int,
    expires_in: int | None = None,
) -> RawFile:
    """Sends stored bytes to one account, now. What was begun is removed again when this fails.

    `expires_in` ends our record and the file at the provider. Raises what the provider or the team's rules
    say against it.
    """
    row: RawFile | None = None
    try:
        services.check_purpose(purpose)
        services.check_life(expires_in)
        services.check_filename(filename)
        media_type = media.sniff(stored.head, filename, declared_media_type)
        scanning.check_allowed(filename, media_type)
        account = _accounts().get(pk=account_id)
        now = timezone.now()
        with transaction.atomic():
            team_rules = rules.take_room(caller.team_id, stored.size, now)
            row = RawFile.objects.create(
                team_id=caller.team_id,
                key_id=caller.key_id,
                user_id=caller.user_id,
                account_id=account_id,
                provider=account.provider,
                filename=filename or "upload",
                purpose=purpose,
                media_type=media_type,
                size=stored.size,
                sha256=stored.sha256,
                storage=stored.storage,
                blob=stored.key,
                created_at=now,
            )
        here("raw.row_made")
        scanning.check_now(storage.open_source(BytesOf(row)), row.filename, row.media_type)
        remote = _send(row)
        here("raw.sent")
        ends = [end for end in (rules.end_of(team_rules, now, expires_in), remote.expires_at) if end]
        row.provider_file_id, row.uri, row.state = remote.id, remote.uri, State.THERE
        row.media_type, row.expires_at = remote.media_type or row.media_type, min(ends, default=None)
        row.save()
        here("raw.saved")
        return row
    except BaseException:
        if row is None:
            _remove_bytes(stored.storage, stored.key)
        else:
            _give_up(row)
        raise


def find_raw_file(*, caller: Caller, file_id: str, provider: str | None = None) -> RawFile | None:
    """By the provider's id or address of it."""
    if not _may_be_an_id(file_id):
        return None
    found = _visible(caller).filter(Q(provider_file_id=file_id) | Q(uri=file_id))
    if provider is not None:
        found = found.filter(provider=provider)
    return found.order_by("-created_at").first()


def raw_files_by_value(caller: Caller, values: Collection[str]) -> dict[str, list[RawFile]]:
    """The caller's raw files by how requests refer to them; one id may stand at several accounts."""
    usable = [value for value in values if _may_be_an_id(value)]
    if not usable:
        return {}
    found: dict[str, list[RawFile]] = {}
    for row in _visible(caller).filter(Q(provider_file_id__in=usable) | Q(uri__in=usable)):
        for name in {row.provider_file_id, row.uri} & set(usable):
            found.setdefault(name, []).append(row)
    return found


def list_all_files(
    *,
    caller: Caller,
    provider: str | None = None,
    purpose: str | None = None,
    after: str | None = None,
    limit: int = services.MAX_PAGE,
    order: str = "desc",
) -> Page[ManagedFile | RawFile]:
    """One page of managed and raw files by age; with a provider, of the raw ones there alone."""
    raw = _visible(caller)
    raw = raw if provider is None else raw.filter(provider=provider)
    raw = raw if purpose is None else raw.filter(purpose=purpose)
    mark = find_raw_file(caller=caller, file_id=after, provider=provider) if after else None
    if provider is None and mark is None and not raw.exists():
        page = services.list_files(caller=caller, purpose=purpose, after=after, limit=limit, order=order)
        return Page(list(page.files), page.has_more)
    services.check_page(limit, order)
    place: ManagedFile | RawFile | None = mark
    if after is not None and place is None:
        place = services.mark_of(caller, after)
    managed = services.with_status(ManagedFile.objects.visible_to(caller))
    managed = managed.none() if provider is not None else managed
    managed = managed if purpose is None else managed.filter(purpose=purpose)
    rows = _page_of(raw, place, limit, order) + _page_of(managed, place, limit, order)
    rows.sort(key=_position, reverse=order == "desc")
    return Page(rows[:limit], len(rows) > limit)


def delete_raw_file(row: RawFile) -> bool:
    """Makes it invisible at once, and removes it at the provider, our bytes and the record.

    False when the provider cannot be asked now; then it is tried again until it succeeds.
    """
    RawFile.objects.filter(pk=row.pk).update(state=State.DELETING)
    here("raw.delete_marked")
    try:
        for file_id in _ids_of(row):
            transfer.client().run(_verbs(row.provider).delete(_connection(row), file_id))
        here("raw.delete_sent")
        texts.remove(row.storage, row.blob)
        storage.delete(row.storage, row.blob)
        here("raw.bytes_removed")
    except PorticoError as error:
        logger.warning("Raw file %s is not removed yet: %s", row.pk, error.message)
        return False
    row.delete()
    return True


def note_lost(pk: int, made: str) -> None:
    """The provider has it no more; `made` is the present id that was shown to it."""
    lost = RawFile.objects.filter(pk=pk, present_id=made, lost_at=None)
    if lost.update(lost_at=timezone.now()):
        logger.warning("The provider lost raw file %s; it is made again from our bytes.", pk)


def make_again(row: RawFile, param: str | None = None) -> RawFile:
    """Sends our bytes once more to an account that lost the file; callers keep using the id they have.

    Raises FileNotFound when our bytes are gone or damaged too, and what the provider says against it.
    """
    title = registry.provider(row.provider).title
    try:
        remote = _send(row)
    except FileCorrupt:
        raise FileNotFound(
            f"{title} no longer has the file {row.provider_file_id!r}, and its bytes here are damaged. "
            "Upload it again.",
            param=param,
            code="file_lost",
        ) from None
    here("raw.sent_again")
    same = {"present_id": row.present_id, "lost_at": row.lost_at, "state": State.THERE}
    again = RawFile.objects.filter(pk=row.pk, **same)
    changed: dict[str, Any] = {"present_id": remote.id, "present_uri": remote.uri, "lost_at": None}
    if remote.expires_at:
        changed["expires_at"] = min(filter(None, (row.expires_at, remote.expires_at)))
    if not again.update(**changed):
        # Another request was quicker, or the file was deleted meanwhile.
        transfer.client().run(_verbs(row.provider).delete(_connection(row), remote.id))
    found = RawFile.objects.select_related("account").filter(pk=row.pk, state=State.THERE).first()
    if found is None:
        raise services.no_such_file(row.provider_file_id, param)
    return found


def finish_raw_files(now: datetime, limit: int = 100) -> int:
    """Ends those past their date, and takes up what failures and crashes left; returns how many are gone."""
    late = RawFile.objects.filter(
        Q(expires_at__lte=now)
        | Q(state=State.DELETING)
        | Q(state=State.UPLOADING, created_at__lte=now - LONGEST_UPLOAD)
    )
    rows = late.select_related("account").order_by("pk")[:limit]
    return sum(_give_up(row) if row.state == State.UPLOADING else delete_raw_file(row) for row in rows)


def to_openai(row: RawFile) -> dict[str, Any]:
    return {
        "id": row.provider_file_id,
        "object": "file",
        "bytes": row.size,
        "created_at": int(row.created_at.timestamp()),
        "expires_at": int(row.expires_at.timestamp()) if row.expires_at else None,
        "filename": row.filename,
        "purpose": row.purpose,
        "status": "processed",
        "status_details": None,
    }


def _accounts() -> Any:
    """The portal's accounts, which this package knows by name only."""
    return RawFile.account.field.related_model._default_manager


def _may_be_an_id(value: str) -> bool:
    return 0 < len(value) <= LONGEST_ID and value.isprintable()


def _visible(caller: Caller) -> QuerySet[RawFile]:
    now = timezone.now()
    live = RawFile.objects.visible_to(caller).filter(Q(expires_at=None) | Q(expires_at__gt=now))
    return live.select_related("account")


def _ids_of(row: RawFile) -> set[str]:
    """Every id that the provider may have it under: one that was made again may be there more than once."""
    if not row.present_id:
        return {row.provider_file_id}
    named = transfer.named(_connection(row), row.provider, {row.reference})
    return {row.provider_file_id, row.present_id, *(remote.id for remote in named)}


def _send(row: RawFile) -> RemoteFile:
    described = Upload(
        filename=row.filename,
        media_type=row.media_type,
        size=row.size,
        purpose=row.purpose,
        reference=row.reference,
    )
    flow = _verbs(row.provider).create(_connection(row), described)
    return transfer.client().run(flow, damage.open_checked(BytesOf(row)))


def _give_up(row: RawFile) -> bool:
    """Leaves no trace of an upload that failed or that a crash interrupted. False when that is not sure."""
    try:
        for remote in transfer.named(_connection(row), row.provider, {row.reference}):
            transfer.client().run(_verbs(row.provider).delete(_connection(row), remote.id))
    except PorticoError as error:
        logger.warning("Whether the provider kept raw file %s is not known: %s", row.pk, error.message)
        return False
    texts.remove(row.storage, row.blob)
    _remove_bytes(row.storage, row.blob)
    row.delete()
    return True


def _connection(row: RawFile) -> Connection:
    try:
        connection: Connection = row.account.connection()
    except ServiceError as error:
        raise Unavailable(
            "The provider account's credentials cannot be read.", provider_message=error.message
        ) from None
    return connection


def _verbs(name: str) -> FileVerbs:
    provider = registry.provider(name)
    if provider.files is None:
        raise UnsupportedFile(f"{provider.title} takes no files in advance.")
    return provider.files


def _remove_bytes(alias: str, key: str) -> None:
    try:
        storage.delete(alias, key)
    except PorticoError as error:
        logger.warning("Bytes under %s remain in %s: %s", key, alias, error.message)


def _page_of(rows: Any, place: ManagedFile | RawFile | None, limit: int, order: str) -> list[Any]:
    """Ids of the two tables do not compare, so within one moment managed files come first."""
    sign = "" if order == "asc" else "-"
    if place is not None:
        rows = rows.filter(_behind(rows.model, place, order))
    return list(rows.order_by(f"{sign}created_at", f"{sign}pk")[: limit + 1])


def _behind(model: Any, place: ManagedFile | RawFile, order: str) -> Q:
    later = Q(**{f"created_at__{'gt' if order == 'asc' else 'lt'}": place.created_at})
    side = "gt" if order == "asc" else "lt"
    if isinstance(place, model):
        return later | Q(created_at=place.created_at, **{f"pk__{side}": place.pk})
    comes_after = (model is RawFile) == (order == "asc")
    return later | Q(created_at=place.created_at) if comes_after else later


def _position(row: ManagedFile | RawFile) -> tuple[datetime, int, Any]:
    return row.created_at, int(isinstance(row, RawFile)), row.pk
