"""Copies of files for Vertex AI: objects in a Cloud Storage bucket, as flows.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from providers.errors import UpstreamFileGone, UpstreamInvalid
from providers.types import Connection, Flow, RemoteFile, Timeouts, Upload
from providers.vertex import bucket, spec
from providers.vertex.bucket import place_of, to_remote_file
from providers.vertex.storage import ask, object_in, retrieve
from providers.vertex.upload import create

READING = Timeouts(first_byte=60.0, idle=60.0, total=3600.0)


class VertexFiles:
    """types.FileVerbs for Vertex AI. Ids are `gs://` addresses below the account's own folder."""

    def create(
        self, connection: Connection, upload: Upload, resume: Mapping[str, Any] | None = None
    ) -> Flow[RemoteFile]:
        return create(connection, upload, resume)

    def retrieve(self, connection: Connection, file_id: str) -> Flow[RemoteFile]:
        return retrieve(connection, file_id)

    def delete(self, connection: Connection, file_id: str) -> Flow[None]:
        try:
            yield from ask(connection, "DELETE", place_of(file_id).path)
        except UpstreamFileGone:
            return

    def list(
        self, connection: Connection, after: str | None = None, limit: int = 100, purpose: str | None = None
    ) -> Flow[tuple[builtins.list[RemoteFile], str | None]]:
        """Our objects alone, whatever else the bucket holds."""
        name, folder = bucket.bucket_of(connection)
        query = {
            "prefix": f"{folder}{spec.FOLDER}/",
            "maxResults": str(max(1, min(limit, spec.MAX_LIST_PAGE))),
        }
        if after:
            query["pageToken"] = after
        answer = object_in((yield from ask(connection, "GET", f"storage/v1/b/{name}/o", query)))
        items, cursor = answer.get("items") or [], answer.get("nextPageToken")
        if not isinstance(items, list):
            raise UpstreamInvalid("The provider's list of files cannot be read.")
        files = [to_remote_file(item) for item in items]
        wanted = [file for file in files if purpose in (None, file.purpose)]
        return wanted, cursor if isinstance(cursor, str) and cursor else None

    def content(self, connection: Connection, file_id: str) -> Flow[bytes]:
        path = place_of(file_id).path
        return (yield from ask(connection, "GET", path, {"alt": "media"}, READING)).body
