"""What the OpenAI fake remembers: projects by key, files, uploads (https://platform.openai.com/docs/api-reference/files)."""

from __future__ import annotations

import re
import secrets
import string
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.answers import page_count
from tests.fakes.clock import Clock
from tests.fakes.control import FAKE
from tests.fakes.openai import errors
from tests.fakes.store import ByteSink

KEY = re.compile(r"sk-fake-([A-Za-z0-9_]+)-.+")
ID_LETTERS = string.ascii_letters + string.digits
MIB = 1024**2


def default_settings() -> dict[str, Any]:
    return {
        "file_bytes": 512 * MIB,
        "project_bytes": 2_500_000 * MIB,
        "upload_bytes": 8 * 1024 * MIB,
        "part_bytes": 64 * MIB,
        "pdf_bytes": 50 * MIB,
    }


@dataclass
class OpenAIFile:
    file_id: str
    project: str
    filename: str
    purpose: str
    sink: ByteSink
    created: float
    expires: float | None
    gone: str | None = None
    data: bytes | None = None

    def resource(self) -> dict[str, Any]:
        return {
            "object": "file",
            "id": self.file_id,
            "purpose": self.purpose,
            "filename": self.filename,
            "bytes": self.sink.size,
            "created_at": int(self.created),
            "expires_at": None if self.expires is None else int(self.expires),
            "status": "processed",
            "status_details": None,
        }

    @property
    def is_pdf(self) -> bool:
        return self.sink.head.startswith(b"%PDF")

    @property
    def pages(self) -> int:
        return page_count(self.data)


@dataclass
class Part:
    part_id: str
    data: bytes


@dataclass
class Upload:
    upload_id: str
    project: str
    filename: str
    purpose: str
    size: int
    media_type: str
    created: float
    file_seconds: int | None = None
    status: str = "pending"
    parts: dict[str, Part] = field(default_factory=dict)
    file: OpenAIFile | None = None

    def resource(self) -> dict[str, Any]:
        return {
            "id": self.upload_id,
            "object": "upload",
            "bytes": self.size,
            "created_at": int(self.created),
            "expires_at": int(self.created) + 3600,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": self.status,
            "file": self.file.resource() if self.file else None,
        }


class OpenAIFake:
    """One OpenAI API with any number of projects."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.settings: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        self.clock.reset()
        self.settings.clear()
        self.settings.update(default_settings())
        self._files: dict[str, OpenAIFile] = {}
        self.pending: dict[str, Upload] = {}
        self._uploads: Counter[tuple[str, str]] = Counter()

    def project_of(self, request: web.Request) -> str | None:
        found = KEY.fullmatch(_key(request))
        return found[1] if found else None

    def require_project(self, request: web.Request) -> str:
        key = _key(request)
        if not key:
            raise errors.OpenAIError(
                401,
                "You didn't provide an API key. You need to provide your API key in an Authorization "
                "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            )
        found = KEY.fullmatch(key)
        if not found:
            shown = key[:4] + "*" * 8 + key[-4:] if len(key) > 12 else "********"
            raise errors.OpenAIError(
                401,
                f"Incorrect API key provided: {shown}. You can find your API key at "
                "https://platform.openai.com/account/api-keys.",
                code="invalid_api_key",
            )
        return found[1]

    def add(
        self, project: str, filename: str, purpose: str, sink: ByteSink, seconds: int | None
    ) -> OpenAIFile:
        now = self.clock.now()
        if seconds is None and purpose == "batch":
            seconds = 30 * 86_400
        file = OpenAIFile(
            file_id="file-" + "".join(secrets.choice(ID_LETTERS) for _ in range(22)),
            project=project,
            filename=filename,
            purpose=purpose,
            sink=sink,
            created=now,
            expires=None if seconds is None else now + seconds,
            data=sink.data,
        )
        self._files[file.file_id] = file
        self._uploads[project, sink.sha256] += 1
        return file

    def find(self, project: str, file_id: str, *, status: int = 404, param: str = "id") -> OpenAIFile:
        """The project's own living file, or the error that names no reason."""
        file = self._files.get(file_id)
        if file is None or file.project != project or self._is_gone(file):
            raise errors.no_file(file_id, status=status, param=param)
        return file

    def _is_gone(self, file: OpenAIFile) -> bool:
        if file.gone is None and file.expires is not None and self.clock.now() >= file.expires:
            file.gone, file.data = "expired", None
        return file.gone is not None

    def living(self, project: str) -> list[OpenAIFile]:
        """In order of creation."""
        return [file for file in self._files.values() if file.project == project and not self._is_gone(file)]

    def check_quota(self, project: str, size: int) -> None:
        if sum(file.sink.size for file in self.living(project)) + size > int(self.settings["project_bytes"]):
            raise errors.OpenAIError(
                400, "You have exceeded the file storage limit of your project.", code="file_storage_exceeded"
            )

    def files(self) -> list[dict[str, Any]]:
        for file in self._files.values():
            self._is_gone(file)
        return [
            {
                "id": file.file_id,
                "project": file.project,
                "sha256": file.sink.sha256,
                "bytes": file.sink.size,
                "name": file.filename,
                "purpose": file.purpose,
                "gone": file.gone,
            }
            for file in self._files.values()
        ]

    def lose(self, file_id: str) -> bool:
        file = self._files.get(file_id)
        if file is None or self._is_gone(file):
            return False
        file.gone, file.data = "lost", None
        return True

    def uploads(self) -> Counter[tuple[str, str]]:
        return self._uploads

    def failure(self, status: int, retry_after: float | None) -> dict[str, Any]:
        return errors.ordered_failure(status, retry_after).envelope()

    def answer_headers(self) -> dict[str, str]:
        return errors.answer_headers()


def _key(request: web.Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def fake_of(request: web.Request) -> OpenAIFake:
    fake = request.app[FAKE]
    assert isinstance(fake, OpenAIFake)
    return fake
