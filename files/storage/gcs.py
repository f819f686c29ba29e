"""Bytes in Google Cloud Storage, configured by django-storages: resumable uploads in chunks.

https://cloud.google.com/storage/docs/resumable-uploads
https://cloud.google.com/python/docs/reference/storage/latest/google.cloud.storage.fileio.BlobWriter
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.api_core.exceptions import GoogleAPIError, NotFound, RequestRangeNotSatisfiable
from google.auth.credentials import Signing
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from requests.exceptions import RequestException

from files.storage.base import (
    BLOCK,
    PIECE,
    Blob,
    Part,
    Sink,
    StagedAsBlobs,
    Told,
    missing,
    part_key,
    prefixed,
    too_short,
    unavailable,
)
from providers.errors import FileCorrupt, Unavailable
from providers.types import ByteSource

logger = logging.getLogger(__name__)

CONTENT_TYPE: Final = "application/octet-stream"
MOST_COMPOSED: Final = 32
"""https://cloud.google.com/storage/docs/composite-objects"""


class GcsStore(StagedAsBlobs):
    block = BLOCK
    least = BLOCK

    def __init__(self, storage: Any) -> None:
        """`storage`: the configured storages.backends.gcloud.GoogleCloudStorage."""
        self._location: str = storage.location
        self.bucket = storage.bucket

    def create(self, key: str) -> Sink:
        return GcsSink(self.blob(key))

    def join(self, key: str, parts: Sequence[Part]) -> None:
        """Google puts them together itself, 32 at a time."""
        names = [part_key(key, part.name) for part in parts]
        between: list[str] = []
        try:
            with translated():
                while len(names) > MOST_COMPOSED:
                    groups = [
                        names[start : start + MOST_COMPOSED] for start in range(0, len(names), MOST_COMPOSED)
                    ]
                    names = [
                        part_key(key, f"joined-{len(between) + number}") for number in range(len(groups))
                    ]
                    between += names
                    for name, group in zip(names, groups, strict=True):
                        self._compose(name, group)
                whole = self._compose(key, names)
        finally:
            for name in between:
                with suppress(Unavailable):
                    self.delete(name)
        if whole.size != sum(part.size for part in parts):
            raise FileCorrupt("The storage keeps other bytes than those that were sent.")

    def _compose(self, key: str, names: Sequence[str]) -> Any:
        made = self.blob(key)
        made.content_type = CONTENT_TYPE
        try:
            made.compose([self.blob(name) for name in names])
        except NotFound:
            raise missing(key) from None
        made.reload()
        return made

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

    def signed_url(self, key: str, seconds: int, told: Told) -> str | None:
        """By the service account's own key, else by Google in the name of the machine's account."""
        with translated():
            signer = self._signer()
            if signer is None:
                return None
            return str(
                self.blob(key).generate_signed_url(
                    version="v4",
                    expiration=timedelta(seconds=seconds),
                    method="GET",
                    response_type=told.media_type,
                    response_disposition=told.disposition,
                    **signer,
                )
            )

    def _signer(self) -> dict[str, str] | None:
        """None for credentials that cannot sign, as those of a person."""
        credentials = self.bucket.client._credentials
        if isinstance(credentials, Signing):
            return {}
        email = getattr(credentials, "service_account_email", "")
        if not email:
            return None
        if not credentials.valid:
            # Only then does the metadata server tell the account's name too.
            credentials.refresh(Request())
        return {"service_account_email": credentials.service_account_email, "access_token": credentials.token}

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
            content_type=CONTENT_TYPE,
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
