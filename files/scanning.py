"""Keeps files that must not be here, or that a scanner refuses, from every provider."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from files import nudges, storage
from files.models import ManagedFile, ProviderFileMapping
from providers.errors import FileFailed, FileNotReady, Forbidden, PorticoError, UnsupportedMedia
from providers.types import ByteSource

logger = logging.getLogger(__name__)

Scan = ManagedFile.Scan

SHIPPED: Final = {"clamav": "files.clamav.scan"}


@dataclass(frozen=True, slots=True)
class Verdict:
    is_clean: bool
    reason: str = ""


Scanner: TypeAlias = Callable[[ByteSource, str, str], Verdict]
"""(bytes, filename, media type) → verdict. Raises a PorticoError when it cannot tell now."""


def check_allowed(filename: str, media_type: str) -> None:
    """Raises UnsupportedMedia for what the operator's lists deny; types are those found in the content."""
    ending = filename.rpartition(".")[2].lower() if "." in filename else ""
    if ending and ending in {denied.lower().lstrip(".") for denied in settings.DENIED_FILE_ENDINGS}:
        raise _denied(f"Files ending in .{ending[:20]}")
    if any(fnmatchcase(media_type, denied.lower()) for denied in settings.DENIED_MEDIA_TYPES):
        raise _denied(f"Files of type {media_type}")


def first_state() -> str:
    return Scan.PENDING if settings.FILE_SCANNER else Scan.NONE


def ask_for(file: ManagedFile) -> None:
    """Wakes a worker for a new file, once its row is committed."""
    if file.scan == Scan.PENDING:
        nudges.send("files.tasks.scan_file", file.pk)


def check_clean(file: ManagedFile, param: str | None = None) -> None:
    """Raises FileFailed for a file in quarantine and FileNotReady for one that is not scanned yet."""
    if file.scan == Scan.QUARANTINED:
        raise FileFailed(
            f"File {file.pk} is in quarantine: {file.scan_report}.", param=param, code="file_quarantined"
        )
    if file.scan == Scan.PENDING:
        raise FileNotReady(f"File {file.pk} is not scanned yet.", param=param, retry_after=2)


def check_not_quarantined(file: ManagedFile) -> None:
    if file.scan == Scan.QUARANTINED:
        raise Forbidden(f"The file is in quarantine: {file.scan_report}.", code="file_quarantined")


def check_now(source: ByteSource, filename: str, media_type: str) -> None:
    """Scans bytes that are about to leave. Raises FileFailed."""
    if settings.FILE_SCANNER:
        verdict = _scanner()(source, filename, media_type)
        if not verdict.is_clean:
            raise FileFailed(
                f"The file was refused by the scanner: {verdict.reason}.", code="file_quarantined"
            )


def scan_file(file_id: str) -> bool:
    """Scans one file that waits for it; False when it waits on."""
    file = ManagedFile.objects.filter(pk=file_id, scan=Scan.PENDING, deleted_at=None).first()
    if file is None:
        return True
    try:
        verdict = _scanner()(storage.open_source(file), file.filename, file.media_type)
    except PorticoError as error:
        logger.warning("File %s could not be scanned: %s", file_id, error.message)
        return False
    state = Scan.CLEAN if verdict.is_clean else Scan.QUARANTINED
    waiting = ManagedFile.objects.filter(pk=file_id, scan=Scan.PENDING)
    waiting.update(scan=state, scan_report=verdict.reason[:300])
    if not verdict.is_clean:
        logger.warning("File %s is in quarantine: %s", file_id, verdict.reason)
        return True
    held_back = ProviderFileMapping.objects.filter(file=file_id, state=ProviderFileMapping.State.PENDING)
    held_back.update(next_attempt_at=timezone.now())
    for mapping_id in held_back.values_list("pk", flat=True):
        nudges.send("files.tasks.copy_file", mapping_id)
    return True


def scan_waiting(ends: float) -> None:
    """Scans what nudges missed, until the time is over or the scanner does not answer."""
    if not settings.FILE_SCANNER:
        # The operator has switched scanning off.
        ManagedFile.objects.filter(scan=Scan.PENDING).update(scan=Scan.NONE)
        return
    waiting = ManagedFile.objects.filter(scan=Scan.PENDING, deleted_at=None).order_by("created_at")
    for file_id in list(waiting.values_list("pk", flat=True)[:100]):
        if time.monotonic() >= ends or not scan_file(file_id):
            return


def _denied(what: str) -> UnsupportedMedia:
    return UnsupportedMedia(f"{what} are not accepted here.", param="file", code="file_type_not_allowed")


def _scanner() -> Scanner:
    path = SHIPPED.get(settings.FILE_SCANNER, settings.FILE_SCANNER)
    scanner: Scanner = import_string(path)
    return scanner
