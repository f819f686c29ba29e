"""Google's File resource ⇄ RemoteFile, and the errors of its storage.

https://ai.google.dev/api/files#File
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any, Final

from providers.errors import (
    FileNotFound,
    PorticoError,
    UpstreamFileGone,
    UpstreamInvalid,
    UpstreamQuotaFull,
)
from providers.gemini import spec
from providers.gemini.chat_errors import from_error, read_envelope, scrubbed
from providers.types import HttpResponse, Json, RemoteFile, RemoteState, Upload

STATES: Final[dict[str, RemoteState]] = {
    "ACTIVE": "active",
    "PROCESSING": "processing",
    "STATE_UNSPECIFIED": "processing",
    "FAILED": "failed",
}

_NAME = re.compile(r"(?:.*/)?(?:files/)?([a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?)", re.S)
_REFERENCE = re.compile(r"(file-[A-Za-z0-9_-]{22,}) (.+)", re.S)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_FULL = re.compile(r"storage.{0,80}(?:quota|limit|exceed|full)|(?:quota|limit).{0,80}storage", re.I | re.S)


def display_name(upload: Upload) -> str:
    """What Google shows for the file: our id first, so that a lost copy can be recognised."""
    name = f"{upload.reference} {upload.filename}" if upload.reference else upload.filename
    return name[: spec.MAX_DISPLAY_NAME]


def reference_of(shown: str) -> tuple[str, str]:
    """(our file id or "", the filename) of a display name."""
    found = _REFERENCE.fullmatch(shown)
    return (found[1], found[2]) if found else ("", shown)


def path_of(file_id: str) -> str:
    """`files/abc`, `abc` or Google's whole address → `files/abc`. Raises FileNotFound for anything else."""
    found = _NAME.fullmatch(file_id)
    if not found:
        raise FileNotFound("The provider has no such file.")
    return f"files/{found[1]}"


def to_remote_file(described: Any) -> RemoteFile:
    """A File resource. Raises UpstreamInvalid when it lacks what a copy needs."""
    if not isinstance(described, dict):
        raise UpstreamInvalid("The provider described no file.")
    name, uri = described.get("name"), described.get("uri")
    if not isinstance(name, str) or not name or not isinstance(uri, str) or not uri:
        raise UpstreamInvalid("The provider described a file without name or address.")
    shown, media_type = described.get("displayName"), described.get("mimeType")
    state = described.get("state")
    reference, filename = reference_of(shown) if isinstance(shown, str) else ("", "")
    return RemoteFile(
        id=name,
        uri=uri,
        media_type=media_type if isinstance(media_type, str) else "",
        size=_size(described.get("sizeBytes")),
        state=STATES.get(state, "processing") if isinstance(state, str) else "active",
        filename=filename,
        purpose="user_data",
        created_at=to_time(described.get("createTime")),
        expires_at=to_time(described.get("expirationTime")),
        sha256=to_sha256(described.get("sha256Hash")),
        error=_error(described.get("error")),
        reference=reference,
    )


def to_time(value: Any) -> datetime | None:
    """An RFC 3339 moment with anything from no to nine fractional digits."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return None
    zone = "+00:00" if found[3] == "Z" else found[3]
    try:
        moment = datetime.fromisoformat(f"{found[1]}.{(found[2] or '0')[:6]:0<6}{zone}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def to_sha256(value: Any) -> str | None:
    """Lower-case hex. Google sends base64 of the hex text; base64 of the digest itself is understood too."""
    if not isinstance(value, str):
        return None
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) == 32:
        return raw.hex()
    text = raw.decode("ascii", "replace").lower()
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else None


def storage_error(response: HttpResponse) -> PorticoError:
    """An error of the file API: a full storage and a missing file have their own meaning there."""
    message = read_envelope(response.body).message
    if response.status in (400, 403, 429) and _FULL.search(message):
        return UpstreamQuotaFull(
            "The provider account's file storage is full.",
            provider_message=scrubbed(message),
            upstream_status=response.status,
        )
    return from_error(response)


def is_gone(response: HttpResponse) -> bool:
    """A missing, expired or foreign file: 404, or 403 with Google's words for it."""
    if response.status == 404:
        return True
    return response.status == 403 and isinstance(from_error(response), UpstreamFileGone)


def _size(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _error(value: Any) -> str | None:
    message = value.get("message") if isinstance(value, dict) else None
    return scrubbed(message) if isinstance(message, str) and message else None


def parsed_object(value: Any) -> Json:
    """The answer as an object."""
    if not isinstance(value, dict):
        raise UpstreamInvalid("The provider's answer is not an object.")
    return value
