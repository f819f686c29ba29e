"""Bytes in Google Cloud Storage, configured by django-storages: resumable uploads in chunks.

https://cloud.google.com/storage/docs/resumable-uploads
https://cloud.google.com/python/docs/reference/storage/latest/google.cloud.storage.fileio.BlobWriter
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound, RequestRangeNotSatisfiable
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import RequestException

from files.storage.base import (
    BLOCK,
    PIECE,
    Blob,
    Sink,
    StagedAsBlobs,
    missing,
    prefixed,
    too_short,
    unavailable,
)
from providers.errors import FileCorrupt
from providers.types import ByteSource

logger = logging.getLogger(__name__)


class GcsStore(StagedAsBlobs):
    block = BLOCK

    def __init__(self, storage: Any) -> None:
        """`storage`: the configured storages.backends.gcloud.GoogleCloudStorage."""
        self._location: str = storage.location
        self.bucket = storage.bucket

    def create(self, key: str) -> Sink:
        return GcsSink(self.blob(key))

    def open(self, key: str, size: int, name: str) -> ByteSource:
        return GcsSource(self.blob(key), size, name)

    def delete(self, key: str) -> None:
        with translated(), suppress(NotFound):
            self.blob(key).delete()

    def blobs(self) -> Iterator[Blob]:
        start = f"{self._location.strip('/')}/" if self._location.strip("/") else ""
        with translated():
            for found in self.bucket.client.list_blobs(self.bucket, prefix=start or None):
                yield Blob(
                    found.name.removeprefix(start), found.size or 0, found.updated or datetime.now(UTC)
                )

    def remove_leftovers(self, older_than: float) -> int:
        """Google drops unfinished uploads by itself after a week."""
        return 0

    def address(self, key: str) -> str:
        return f"gs://{self.bucket.name}/{prefixed(self._location, key)}"

    def signed_url(self, key: str, seconds: int) -> str | None:
        with translated():
            return str(
                self.blob(key).generate_signed_url(
                    version="v4", expiration=timedelta(seconds=seconds), method="GET"
                )
            )

    def blob(self, key: str) -> Any:
        return self.bucket.blob(prefixed(self._location, key))


class GcsSink:
    """One resumable upload; Google compares the checksum when it ends."""

    def __init__(self, blob: Any) -> None:
        self._blob = blob
        self._size = 0
        self._writer = blob.open(
            "wb",
            chunk_size=BLOCK,
            ignore_flush=True,
            content_type="application/octet-stream",
            if_generation_match=0,
        )

    def write(self, data: bytes) -> None:
        self._size += len(data)
        with translated():
            self._writer.write(data)

    def finish(self) -> None:
        with translated():
            self._writer.close()
            self._blob.reload()
        if self._blob.size != self._size:
            raise FileCorrupt("The storage keeps other bytes than those that were sent.")

    def abort(self) -> None:
        with suppress(GoogleAPIError, GoogleAuthError, RequestException, ValueError, OSError):
            self._writer.terminate()


@dataclass(frozen=True, slots=True)
class GcsSource:
    blob: Any
    size: int
    name: str

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        end = offset + length
        with translated():
            while offset < end:
                last = min(offset + PIECE, end) - 1
                try:
                    piece = self.blob.download_as_bytes(start=offset, end=last, raw_download=True)
                except NotFound:
                    raise missing(self.name) from None
                except RequestRangeNotSatisfiable:
                    raise too_short(self.name) from None
                if len(piece) != last - offset + 1:
                    raise too_short(self.name)
                offset += len(piece)
                yield piece


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        logger.warning("Google Cloud Storage failed: %s", type(error).__name__)
        raise unavailable() from None
