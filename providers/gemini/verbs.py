"""The file verbs of Gemini as one object, for the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.gemini import files
from providers.gemini.upload import create
from providers.types import Connection, Flow, RemoteFile, Upload


class GeminiFiles:
    """types.FileVerbs for Gemini."""

    def create(
        self, connection: Connection, upload: Upload, resume: Mapping[str, Any] | None = None
    ) -> Flow[RemoteFile]:
        return create(connection, upload, resume)

    def retrieve(self, connection: Connection, file_id: str) -> Flow[RemoteFile]:
        return files.retrieve(connection, file_id)

    def delete(self, connection: Connection, file_id: str) -> Flow[None]:
        return files.delete(connection, file_id)

    def list(
        self, connection: Connection, after: str | None = None, limit: int = 100, purpose: str | None = None
    ) -> Flow[tuple[list[RemoteFile], str | None]]:
        return files.list_files(connection, after, limit, purpose)

    def content(self, connection: Connection, file_id: str) -> Flow[bytes]:
        return files.content(connection, file_id)
