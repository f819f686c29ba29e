"""What callers do with files: create, find, list, delete, and see or repeat their copies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from files import legacy, media, nudges, replication, retention, rules, scanning, sharing, storage
from files.ids import is_file_id
from files.kill_points import here
from files.models import Caller, ManagedFile, ProviderFileMapping
from files.storage import Stored
from providers.errors import FileNotFound, Forbidden, InvalidRequest, NotFound, PorticoError

logger = logging.getLogger(__name__)
T = TypeVar("T")

State = ProviderFileMapping.State

# https://platform.openai.com/docs/api-reference/files/create
PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
SHORTEST_LIFE: Final = 3600
LONGEST_LIFE: Final = 2_592_000
LONGEST_FILENAME: Final = 1024
MAX_PAGE: Final = 10_000
LONGEST_ID_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    files: list[T]
    has_more: bool


def create_file(
    *,
    caller: Caller,
    stored: Stored,
    filename: str,
    purpose: str,
    declared_media_type: str = "",
    storage: str | None = None,
    target_models: Sequence[str] = (),
    account_ids: Collection[int] = (),
    expires_in: int | None = None,
    keeps_bytes: bool = False,
    and_then: Callable[[ManagedFile], None] | None = None,
) -> ManagedFile:
    """Makes stored bytes a file of the caller's team and asks for a copy at each account.

    `expires_in` in seconds. Bytes that the team has already are not kept twice. They are removed again when
    this fails, unless `keeps_bytes`. `and_then` runs in the transaction that makes the row. Raises
    InvalidRequest, and TooLarge, Forbidden or RateLimited where the team's rules end.

    Damaged files of the team with the same bytes become readable again.
    """
    is_kept = keeps_bytes
    try:
        _check_storage(storage, stored)
        check_purpose(purpose)
        check_life(expires_in)
        check_filename(filename)
        if stored.size == 0:
            raise InvalidRequest("The file is empty.", param="file", code="empty_file")
        media_type = media.sniff(stored.head, filename, declared_media_type)
        scanning.check_allowed(filename, media_type)
        now = timezone.now()
        sharing.notice_lost(caller.team_id, stored)
        with transaction.atomic():
            team_rules = rules.take_room(caller.team_id, stored.size, now)
            blob, damaged = sharing.place(caller.team_id, stored)
            file = ManagedFile.objects.create(
                team_id=caller.team_id,
                key_id=caller.key_id,
                user_id=caller.user_id,
                filename=filename or "upload",
                purpose=purpose,
                media_type=media_type,
                declared_media_type=short(declared_media_type),
                size=stored.size,
                sha256=stored.sha256,
                storage=stored.storage,
                blob=blob,
                target_models=list(target_models),
                created_at=now,
                expires_at=rules.end_of(team_rules, now, expires_in),
                scan=scanning.first_state(),
            )
            scanning.ask_for(file)
            replication.ensure_copies(file, account_ids)
            if and_then is not None:
                and_then(file)
            here("file.row_made")
        here("file.committed")
        is_kept = blob == stored.key
        sharing.forget_bytes(stored.storage, damaged)
        return file
    finally:
        if not is_kept:
            _remove_bytes(stored)
            here("file.twin_removed")


def get_file(*, caller: Caller, file_id: str) -> ManagedFile:
    """Raises FileNotFound, alike for what is foreign, deleted, past its date or was never there."""
    files = with_status(ManagedFile.objects.visible_to(caller))
    file = files.filter(pk=file_id).first() if is_file_id(file_id) else None
    if file is None:
        meant = legacy.files_meant(caller, {file_id}).get(file_id)
        file = files.filter(pk=meant.pk).first() if meant else None
    if file is None:
        raise no_such_file(file_id)
    return file


def list_files(
    *,
    caller: Caller,
    purpose: str | None = None,
    after: str | None = None,
    limit: int = MAX_PAGE,
    order: str = "desc",
) -> Page[ManagedFile]:
    """One page by age, beginning behind the file `after`. Raises InvalidRequest."""
    check_page(limit, order)
    files = with_status(ManagedFile.objects.listed_for(caller))
    if purpose is not None:
        files = files.filter(purpose=purpose) if purpose in PURPOSES else files.none()
    if after is not None:
        files = files.filter(_behind(caller, after, order))
    sign = "" if order == "asc" else "-"
    found = list(files.order_by(f"{sign}created_at", f"{sign}id")[: limit + 1])
    return Page(found[:limit], len(found) > limit)


def check_page(limit: int, order: str) -> None:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"limit must be between 1 and {MAX_PAGE}.", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("order must be asc or desc.", param="order")


def delete_file(*, caller: Caller, file_id: str) -> None:
    """The file is gone for everyone at once; workers remove its copies and bytes.

    Raises FileNotFound, and Forbidden for a file that another team shares.
    """
    file = own_file(caller=caller, file_id=file_id)
    with transaction.atomic():
        if not retention.mark_deleted(file.pk):
            raise no_such_file(file_id)
        nudges.send("files.tasks.delete_copies", file.pk)


def copies_of(file: ManagedFile) -> list[ProviderFileMapping]:
    """The file's copies with their accounts, oldest first."""
    return list(file.copies.select_related("account").order_by("pk"))


def send_again(*, caller: Caller, mapping_id: int) -> ProviderFileMapping:
    """Makes a copy anew that failed or ended, or tries at once what waits for a later attempt."""
    copies = ProviderFileMapping.objects.visible_to(caller)
    copy = copies.select_related("file", "account").filter(pk=mapping_id).first()
    if copy is None:
        raise NotFound("There is no such copy.")
    with transaction.atomic():
        idle = Q(lease_until=None) | Q(lease_until__lte=timezone.now())
        again = copies.filter(idle, pk=mapping_id, state__in=[State.FAILED, State.EXPIRED, State.PENDING])
        again.update(state=State.PENDING, attempts=0, error="", next_attempt_at=timezone.now())
        nudges.send("files.tasks.copy_file", mapping_id)
    copy.refresh_from_db()
    return copy


def change_end(*, caller: Caller, file_id: str, ends_at: datetime | None) -> ManagedFile:
    """Lets a file live until another moment; None for ever.

    Raises FileNotFound, Forbidden, and InvalidRequest, also where the team's rules end its files earlier.
    """
    file = own_file(caller=caller, file_id=file_id)
    if ends_at is not None and ends_at <= timezone.now():
        raise InvalidRequest("A file must end in the future. Delete it to end it now.", param="expires_at")
    latest = rules.end_of(rules.rules_of(file.team_id), file.created_at, None)
    if latest is not None and (ends_at is None or ends_at > latest):
        raise InvalidRequest(
            f"The rules of its team end this file on {latest:%d %b %Y, %H:%M} UTC at the latest.",
            param="expires_at",
            code="kept_too_long",
        )
    ManagedFile.objects.filter(pk=file.pk, deleted_at=None).update(expires_at=ends_at)
    file.expires_at = ends_at
    return file


def send_all_again(*, caller: Caller, file_id: str) -> int:
    """Makes every copy anew that failed or ended; returns how many. Raises FileNotFound, Forbidden, and
    InvalidRequest when there is none."""
    file = own_file(caller=caller, file_id=file_id)
    ended = list(file.copies.filter(state__in=(State.FAILED, State.EXPIRED)).values_list("pk", flat=True))
    if not ended:
        raise InvalidRequest("None of its copies failed or ended.", code="nothing_to_send")
    for mapping_id in ended:
        send_again(caller=caller, mapping_id=mapping_id)
    return len(ended)


def own_file(*, caller: Caller, file_id: str) -> ManagedFile:
    """A file that is the caller's to change. Raises FileNotFound, and Forbidden for one that another team
    shares."""
    file = get_file(caller=caller, file_id=file_id)
    if not is_own(caller, file):
        raise Forbidden("This file belongs to another team, which shares it with yours.")
    return file


def is_own(caller: Caller, file: ManagedFile) -> bool:
    """Does the file belong to the caller, rather than being shared with them?"""
    return caller.is_admin or file.team_id in caller.team_ids


def to_openai(file: ManagedFile) -> dict[str, Any]:
    """OpenAI's FileObject, without a query. `status` is `error` when every copy that was asked for failed, as
    get_file and list_files know."""
    status, details = "processed", None
    if file.scan == ManagedFile.Scan.QUARANTINED:
        status, details = "error", f"The file is in quarantine: {file.scan_report}"
    elif file.damaged_at is not None:
        status, details = (
            "error",
            "The stored bytes are damaged. Upload the same file again to mend it.",
        )
    elif file.scan == ManagedFile.Scan.PENDING:
        status = "uploaded"
    elif getattr(file, "has_failed", False):
        status, details = "error", "No provider could take a copy of the file."
    return {
        "id": file.pk,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": status,
        "status_details": details,
    }


def with_status(files: QuerySet[ManagedFile]) -> QuerySet[ManagedFile]:
    """Adds `has_failed`, so that a list needs one query."""
    copies = ProviderFileMapping.objects.filter(file=OuterRef("pk"))
    return files.annotate(
        has_failed=Exists(copies.filter(state=State.FAILED)) & ~Exists(copies.exclude(state=State.FAILED))
    )


def no_such_file(file_id: str, param: str | None = None) -> FileNotFound:
    """The one answer for every file that the caller does not see."""
    if legacy.is_legacy(file_id):
        return FileNotFound(legacy.ADVICE, param=param, code="litellm_file_id")
    shown = file_id[:LONGEST_ID_SHOWN].encode(errors="replace").decode()
    return FileNotFound(f"No such File object: {shown}", param=param)


def check_purpose(purpose: str) -> None:
    if purpose not in PURPOSES:
        raise InvalidRequest(f"purpose must be one of {', '.join(PURPOSES)}.", param="purpose")


def check_life(expires_in: int | None) -> None:
    if expires_in is not None and not SHORTEST_LIFE <= expires_in <= LONGEST_LIFE:
        raise InvalidRequest(
            f"expires_after[seconds] must be between {SHORTEST_LIFE} and {LONGEST_LIFE}.",
            param="expires_after[seconds]",
        )


def check_filename(filename: str) -> None:
    """A name is kept exactly as it came or not at all; it never names a place on disk."""
    if len(filename) > LONGEST_FILENAME:
        raise InvalidRequest(f"The file name is longer than {LONGEST_FILENAME} characters.", param="file")
    if any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in filename):
        raise InvalidRequest("The file name holds control characters.", param="file")
    if any(0xD800 <= ord(character) < 0xE000 for character in filename):
        raise InvalidRequest("The file name is not valid Unicode.", param="file")


def _check_storage(target: str | None, stored: Stored) -> None:
    if target is not None and storage.alias_for(target) != stored.storage:
        raise InvalidRequest("The bytes are in another storage than the one named.", param="target_storage")


def short(declared: str) -> str:
    """What a client calls the type is shown to people only."""
    return "".join(character for character in declared if character.isprintable())[:127]


def _remove_bytes(stored: Stored) -> None:
    """What cannot be removed now is found by reconcile_files; it changes nothing for the caller."""
    try:
        storage.delete(stored.storage, stored.key)
    except PorticoError as error:
        logger.warning("Bytes under %s remain in %s: %s", stored.key, stored.storage, error.message)


def mark_of(caller: Caller, after: str) -> ManagedFile:
    """The file that a page begins behind. Raises InvalidRequest."""
    mark = ManagedFile.objects.visible_to(caller).filter(pk=after).first() if is_file_id(after) else None
    if mark is None:
        raise InvalidRequest("after is not the id of one of your files.", param="after")
    return mark


def _behind(caller: Caller, after: str, order: str) -> Q:
    mark = mark_of(caller, after)
    side = "gt" if order == "asc" else "lt"
    return Q(**{f"created_at__{side}": mark.created_at}) | Q(
        created_at=mark.created_at, **{f"pk__{side}": mark.pk}
    )
