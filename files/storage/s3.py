"""Bytes in S3 or what speaks like it, configured by django-storages: parts, completed all at once.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Semaphore
from typing import Any, Final

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from files.storage.base import (
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
from providers.errors import FileCorrupt
from providers.types import ByteSource

logger = logging.getLogger(__name__)

SMALLEST_PART: Final = 5 << 20
"""S3 takes no smaller part but as the last, and at most 10,000 of them."""
COPIES_AT_ONCE: Final = 8
"""Parts that S3 copies side by side when a file is put together."""
SENT_AT_ONCE: Final = 2
"""Of those too small for that, read and sent again: at most 10 MB each."""
CONTENT_TYPE: Final = "application/octet-stream"
GONE: Final = frozenset({"NoSuchKey", "404", "NotFound"})


@dataclass(frozen=True, slots=True)
class Span:
    """Some bytes of a staged part."""

    part: Part
    start: int
    size: int


class S3Store(StagedAsBlobs):
    block = SMALLEST_PART
    least = SMALLEST_PART

    def __init__(self, storage: Any) -> None:
        """`storage`: the configured storages.backends.s3.S3Storage."""
        self._storage = storage
        self._location: str = storage.location
        self.bucket: str = storage.bucket_name

    @property
    def client(self) -> Any:
        return self._storage.connection.meta.client

    def create(self, key: str) -> Sink:
        return S3Sink(self, prefixed(self._location, key))

    def join(self, key: str, parts: Sequence[Part]) -> None:
        """S3 copies the parts itself. Those smaller than it takes pass through us, with some of the next."""
        where = {"Bucket": self.bucket, "Key": prefixed(self._location, key)}
        with translated():
            upload_id = self.client.create_multipart_upload(**where, ContentType=CONTENT_TYPE)["UploadId"]
            try:
                copied = self._copied(where, upload_id, key, parts)
                self.client.complete_multipart_upload(
                    **where, UploadId=upload_id, MultipartUpload={"Parts": copied}
                )
            except BaseException:
                with suppress(BotoCoreError, ClientError, Boto3Error):
                    self._abort(where["Key"], upload_id)
                raise
            there = self.client.head_object(**where)["ContentLength"]
        if there != sum(part.size for part in parts):
            raise FileCorrupt("The storage keeps other bytes than those that were sent.")

    def _copied(
        self, where: dict[str, str], upload_id: str, key: str, parts: Sequence[Part]
    ) -> list[dict[str, Any]]:
        passing = Semaphore(SENT_AT_ONCE)

        def copied(span: Span, made: dict[str, Any]) -> str:
            part = span.part
            made["CopySource"] = {
                "Bucket": self.bucket,
                "Key": prefixed(self._location, part_key(key, part.name)),
            }
            if span.size < part.size:
                made["CopySourceRange"] = f"bytes={span.start}-{span.start + span.size - 1}"
            try:
                return str(self.client.upload_part_copy(**made)["CopyPartResult"]["ETag"])
            except ClientError as error:
                if error.response.get("Error", {}).get("Code", "") in GONE:
                    raise missing(part.name) from None
                raise

        def sent(group: Sequence[Span], made: dict[str, Any]) -> str:
            with passing:
                data = b"".join(piece for span in group for piece in self._span(key, span))
                return str(self.client.upload_part(**made, Body=data, ContentMD5=_md5(data))["ETag"])

        def join(number: int, group: Sequence[Span]) -> dict[str, Any]:
            made = {**where, "UploadId": upload_id, "PartNumber": number}
            is_copied = len(group) == 1 and group[0].size >= SMALLEST_PART
            return {"PartNumber": number, "ETag": copied(group[0], made) if is_copied else sent(group, made)}

        groups = grouped(parts)
        with ThreadPoolExecutor(COPIES_AT_ONCE, thread_name_prefix="joining") as pool:
            return list(pool.map(join, range(1, len(groups) + 1), groups))

    def _span(self, key: str, span: Span) -> Iterator[bytes]:
        part = span.part
        return self.open(part_key(key, part.name), part.size, part.name).read(span.start, span.size)

    def open(self, key: str, size: int, name: str) -> ByteSource:
        return S3Source(self, prefixed(self._location, key), size, name)

    def delete(self, key: str) -> None:
        with translated():
            self.client.delete_object(Bucket=self.bucket, Key=prefixed(self._location, key))

    def blobs(self) -> Iterator[Blob]:
        start = f"{self._location.strip('/')}/" if self._location.strip("/") else ""
        with translated():
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start)
            for page in pages:
                for row in page.get("Contents", ()):
                    yield Blob(row["Key"].removeprefix(start), row["Size"], row["LastModified"])

    def remove_leftovers(self, older_than: float) -> int:
        limit, removed = datetime.now(UTC) - timedelta(seconds=older_than), 0
        with translated():
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket)
            for page in pages:
                for row in page.get("Uploads", ()):
                    if row["Initiated"] < limit and row["Key"].startswith(self._location.strip("/")):
                        self._abort(row["Key"], row["UploadId"])
                        removed += 1
        return removed

    def address(self, key: str) -> str:
        return f"s3://{self.bucket}/{prefixed(self._location, key)}"

    def signed_url(self, key: str, seconds: int, told: Told) -> str | None:
        what = {
            "Bucket": self.bucket,
            "Key": prefixed(self._location, key),
            "ResponseContentType": told.media_type,
            "ResponseContentDisposition": told.disposition,
        }
        with translated():
            return str(self.client.generate_presigned_url("get_object", Params=what, ExpiresIn=seconds))

    def _abort(self, name: str, upload_id: str) -> None:
        self.client.abort_multipart_upload(Bucket=self.bucket, Key=name, UploadId=upload_id)


class S3Sink:
    """Sends parts, each checked by its MD5; what fits into one goes as a plain object."""

    def __init__(self, store: S3Store, name: str) -> None:
        self._store = store
        self._where = {"Bucket": store.bucket, "Key": name}
        self._held = b""
        self._upload_id = ""
        self._parts: list[dict[str, Any]] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        self._held = self._held + data if self._held else data
        if len(self._held) >= SMALLEST_PART:
            self._send()

    def finish(self) -> None:
        with translated():
            if not self._upload_id:
                self._store.client.put_object(**self._where, Body=self._held, ContentMD5=_md5(self._held))
                return
            if self._held:
                self._send()
            self._store.client.complete_multipart_upload(
                **self._where, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
            )
            there = self._store.client.head_object(**self._where)["ContentLength"]
        if there != self._size:
            raise FileCorrupt("The storage keeps other bytes than those that were sent.")

    def abort(self) -> None:
        self._held = b""
        if self._upload_id:
            with suppress(BotoCoreError, ClientError, Boto3Error):
                self._store.client.abort_multipart_upload(**self._where, UploadId=self._upload_id)

    def _send(self) -> None:
        data, self._held = self._held, b""
        with translated():
            if not self._upload_id:
                self._upload_id = self._store.client.create_multipart_upload(
                    **self._where, ContentType=CONTENT_TYPE
                )["UploadId"]
            number = len(self._parts) + 1
            answer = self._store.client.upload_part(
                **self._where,
                UploadId=self._upload_id,
                PartNumber=number,
                Body=data,
                ContentMD5=_md5(data),
            )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self._size += len(data)


@dataclass(frozen=True, slots=True)
class S3Source:
    store: S3Store
    key: str
    size: int
    name: str

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        if length <= 0:
            return
        left = length
        span = f"bytes={offset}-{offset + length - 1}"
        with translated():
            try:
                answer = self.store.client.get_object(Bucket=self.store.bucket, Key=self.key, Range=span)
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code in GONE:
                    raise missing(self.name) from None
                if code == "InvalidRange":
                    raise too_short(self.name) from None
                raise
            with closing(answer["Body"]) as body:
                for piece in body.iter_chunks(PIECE):
                    left -= len(piece)
                    yield piece
        if left > 0:
            raise too_short(self.name)


def grouped(parts: Sequence[Part]) -> list[list[Span]]:
    """The parts as S3 takes them: one that is too small goes with the beginning of the next."""
    groups: list[list[Span]] = []
    for part in parts:
        lacking = SMALLEST_PART - sum(span.size for span in groups[-1]) if groups else 0
        start = 0
        if lacking > 0:
            start = lacking if part.size >= lacking + SMALLEST_PART else part.size
            groups[-1].append(Span(part, 0, start))
        if start < part.size:
            groups.append([Span(part, start, part.size - start)])
    return groups


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        response = getattr(error, "response", None) or {}
        logger.warning("S3 failed: %s %s", type(error).__name__, response.get("Error", {}).get("Code", ""))
        raise unavailable() from None


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
