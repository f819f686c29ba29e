"""What the Gemini fake remembers: projects by key, files, upload sessions, caches (https://ai.google.dev/api/files)."""

from __future__ import annotations

import base64
import re
import secrets
import string
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.answers import page_count
from tests.fakes.clock import Clock, timestamp
from tests.fakes.control import FAKE
from tests.fakes.gemini import errors
from tests.fakes.store import ByteSink

KEY = re.compile(r"AIza-([A-Za-z0-9_]+)-.+")
ID_LETTERS = string.ascii_lowercase + string.digits
GIB = 1024**3


def default_settings() -> dict[str, Any]:
    return {
        "file_bytes": 2 * GIB,
        "project_bytes": 20 * GIB,
        "file_seconds": 48 * 3600,
        "granularity": 256 * 1024,
        "request_bytes": 100 * 1024 * 1024,
        "inline_pdf_bytes": 50 * 1024 * 1024,
        # By first word of the media type: how many reads of a new file still find it PROCESSING.
        "processing_polls": {"video": 1, "audio": 1},
        # Or how long on the fake's clock; whichever comes first. None counts polls only.
        "processing_seconds": None,
        # Media types that end as FAILED.
        "failing_types": [],
        # Thought signatures must be ones this fake gave out (or Google's documented dummies).
        "check_signatures": True,
        # Google's pages ask for the call's id in the response from 3.5 on; Google's own SDK 3.3.0
        # sends none. A wrong id is refused always, a missing one only with this.
        "require_call_ids": False,
    }


@dataclass
class GeminiFile:
    file_id: str
    project: str
    media_type: str
    display_name: str
    size: int
    sha256: str
    data: bytes | None
    created: float
    expires: float
    polls_left: int
    active_at: float | None
    fails: bool
    gone: str | None = None
    polled: int = 0

    def state(self, now: float) -> str:
        if self.polls_left > 0 and (self.active_at is None or now < self.active_at):
            return "PROCESSING"
        return "FAILED" if self.fails else "ACTIVE"

    @property
    def pages(self) -> int:
        return page_count(self.data)

    def resource(self, now: float, base_url: str) -> dict[str, Any]:
        state = self.state(now)
        resource: dict[str, Any] = {
            "name": f"files/{self.file_id}",
            "mimeType": self.media_type,
            "sizeBytes": str(self.size),
            "createTime": timestamp(self.created),
            "updateTime": timestamp(self.created),
            "expirationTime": timestamp(self.expires),
            # Base64 of the hexadecimal digits, not of the digest.
            "sha256Hash": base64.b64encode(self.sha256.encode()).decode(),
            "uri": f"{base_url}/v1beta/files/{self.file_id}",
            "state": state,
            "source": "UPLOADED",
        }
        if self.display_name:
            resource["displayName"] = self.display_name
        if state == "ACTIVE" and self.media_type.startswith("video/"):
            resource["videoMetadata"] = {"videoDuration": "1s"}
        if state == "FAILED":
            resource["error"] = {"code": 3, "message": "The file failed to be processed."}
        return resource


@dataclass
class UploadSession:
    upload_id: str
    project: str
    file_id: str | None
    display_name: str
    media_type: str
    declared: int | None
    sink: ByteSink = field(default_factory=ByteSink)
    status: str = "active"
    writer: object | None = None
    """The request that writes now; a later one takes over from one whose connection died."""
    finished: dict[str, Any] | None = None


class GeminiFake:
    """One Gemini API with any number of projects."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.settings: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        self.clock.reset()
        self.settings.clear()
        self.settings.update(default_settings())
        self._files: dict[str, GeminiFile] = {}
        self.sessions: dict[str, UploadSession] = {}
        self.caches: dict[str, Any] = {}
        self._uploads: Counter[tuple[str, str]] = Counter()

    # Projects

    def project_of(self, request: web.Request) -> str | None:
        found = KEY.fullmatch(_key(request))
        if found:
            return found[1]
        session = self.sessions.get(request.query.get("upload_id", ""))
        return session.project if session else None

    def require_project(self, request: web.Request) -> str:
        key = _key(request)
        if not key:
            raise errors.no_key()
        found = KEY.fullmatch(key)
        if not found:
            raise errors.bad_key()
        return found[1]

    # Files

    def add(self, session: UploadSession) -> GeminiFile:
        now = self.clock.now()
        kind = session.media_type.partition("/")[0]
        seconds = self.settings["processing_seconds"]
        polls = int(self.settings["processing_polls"].get(kind, 0))
        fails = session.media_type in self.settings["failing_types"]
        file = GeminiFile(
            file_id=session.file_id or self.new_id(),
            project=session.project,
            media_type=session.media_type,
            display_name=session.display_name,
            size=session.sink.size,
            sha256=session.sink.sha256,
            data=session.sink.take(),
            created=now,
            expires=now + float(self.settings["file_seconds"]),
            polls_left=max(polls, 1) if fails or (seconds is not None and polls) else polls,
            active_at=None if seconds is None else now + float(seconds),
            fails=fails,
        )
        self._files[file.file_id] = file
        self._uploads[file.project, file.sha256] += 1
        return file

    def new_id(self) -> str:
        return "".join(secrets.choice(ID_LETTERS) for _ in range(12))

    def find(self, project: str, file_id: str) -> GeminiFile:
        """The project's own living file; anything else is one and the same 403."""
        file = self._files.get(file_id)
        if file is None or file.project != project or self.is_gone(file):
            raise errors.no_file(file_id)
        return file

    def is_gone(self, file: GeminiFile) -> bool:
        if file.gone is None and self.clock.now() >= file.expires:
            file.gone, file.data = "expired", None
        return file.gone is not None

    def taken(self, file_id: str) -> bool:
        file = self._files.get(file_id)
        return file is not None and not self.is_gone(file)

    def living(self, project: str) -> list[GeminiFile]:
        """Newest first."""
        files = [file for file in self._files.values() if file.project == project and not self.is_gone(file)]
        return sorted(files, key=lambda file: (file.created, file.file_id), reverse=True)

    def stored_bytes(self, project: str) -> int:
        return sum(file.size for file in self.living(project))

    def files(self) -> list[dict[str, Any]]:
        now = self.clock.now()
        for file in self._files.values():
            self.is_gone(file)
        return [
            {
                "id": file.file_id,
                "project": file.project,
                "sha256": file.sha256,
                "bytes": file.size,
                "media_type": file.media_type,
                "name": file.display_name,
                "state": file.state(now),
                "polled": file.polled,
                "gone": file.gone,
            }
            for file in self._files.values()
        ]

    def lose(self, file_id: str) -> bool:
        file = self._files.get(file_id.rpartition("files/")[2])
        if file is None or self.is_gone(file):
            return False
        file.gone, file.data = "lost", None
        return True

    def uploads(self) -> Counter[tuple[str, str]]:
        return self._uploads

    # Answers

    def failure(self, status: int, retry_after: float | None) -> dict[str, Any]:
        return errors.ordered_failure(status, retry_after).envelope()

    def answer_headers(self) -> dict[str, str]:
        return dict(errors.HEADERS)


def _key(request: web.Request) -> str:
    return request.headers.get("x-goog-api-key") or request.query.get("key", "")


def fake_of(request: web.Request) -> GeminiFake:
    fake = request.app[FAKE]
    assert isinstance(fake, GeminiFake)
    return fake


def base_url(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"
