"""Bytes in Azure Blob Storage, configured by django-storages: staged blocks, committed all at once.

https://learn.microsoft.com/rest/api/storageservices/put-block-list
https://learn.microsoft.com/python/api/azure-storage-blob/azure.storage.blob.blobclient
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import (
    BlobBlock,
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ContentSettings,
    generate_blob_sas,
)

from files.storage.base import (
    BLOCK,
    PIECE,
    Blob,
    Part,
    Sink,
    Told,
    missing,
    prefixed,
    too_short,
    unavailable,
)
from providers.errors import FileCorrupt
from providers.types import ByteSource

logger = logging.getLogger(__name__)

EMULATOR: Final = "devstoreaccount1"
EMULATOR_API: Final = "2025-11-05"
"""The newest version that Azurite knows; https://github.com/Azure/Azurite, seen in 3.35."""
OPTIONS: Final = {
    "max_single_get_size": PIECE,
    "max_chunk_get_size": PIECE,
    "connection_timeout": 10,
    "read_timeout": 60,
    "retry_total": 3,
}
CLOCK_SKEW: Final = timedelta(minutes=10)
CONTENT: Final = ContentSettings(content_type="application/octet-stream")


class AzureStore:
    block = BLOCK
    least = BLOCK

    def __init__(self, storage: Any) -> None:
        """`storage`: the configured storages.backends.azure_storage.AzureStorage."""
        self._storage = storage
        self._location: str = storage.location
        self.container: ContainerClient = _service(storage).get_container_client(storage.azure_container)

    def create(self, key: str) -> Sink:
        return AzureSink(self, key, "", commits=True)

    def stage(self, key: str, name: str) -> Sink:
        return AzureSink(self, key, name, commits=False)

    def join(self, key: str, parts: Sequence[Part]) -> None:
        ids = [block_id(part.name, number) for part in parts for number in range(-(-part.size // self.block))]
        self.commit(key, ids, sum(part.size for part in parts))

    def discard(self, key: str, names: Iterable[str]) -> None:
        """Azure drops blocks that were never committed after a week; it has no way to do it sooner."""

    def open(self, key: str, size: int, name: str) -> ByteSource:
        return AzureSource(self.blob(key), size, name)

    def delete(self, key: str) -> None:
        with translated():
            try:
                self.blob(key).delete_blob(delete_snapshots="include")
            except ResourceNotFoundError:
                return

    def blobs(self) -> Iterator[Blob]:
        start = self._location.strip("/")
        with translated():
            try:
                for found in self.container.list_blobs(name_starts_with=f"{start}/" if start else None):
                    key = found.name.removeprefix(f"{start}/" if start else "")
                    yield Blob(key, found.size, found.last_modified)
            except ResourceNotFoundError:
                return

    def remove_leftovers(self, older_than: float) -> int:
        return 0

    def address(self, key: str) -> str:
        return str(self.blob(key).url).partition("?")[0]

    def signed_url(self, key: str, seconds: int, told: Told) -> str | None:
        """By the account's key, else by a key that Entra lends to our identity for that long."""
        now = datetime.now(UTC)
        starts, ends = now - CLOCK_SKEW, now + timedelta(seconds=seconds)
        blob = self.blob(key)
        secret: dict[str, Any] = {"account_key": self._storage.account_key}
        with translated():
            if not self._storage.account_key:
                service = _service(self._storage)
                secret = {"user_delegation_key": service.get_user_delegation_key(starts, ends)}
            token = generate_blob_sas(
                self._storage.account_name or str(blob.account_name),
                blob.container_name,
                blob.blob_name,
                permission=BlobSasPermissions(read=True),
                start=starts,
                expiry=ends,
                protocol="https" if blob.scheme == "https" else None,
                content_type=told.media_type,
                content_disposition=told.disposition,
                **secret,
            )
        return f"{self.address(key)}?{token}"

    def blob(self, key: str) -> BlobClient:
        return self.container.get_blob_client(prefixed(self._location, key))

    def commit(self, key: str, ids: Sequence[str], size: int) -> None:
        """Makes the blob of staged blocks. Our keys are random, so one that is there already came of a
        commit whose answer was lost."""
        blob = self.blob(key)
        blocks = [BlobBlock(block_id=written) for written in ids]
        with translated():
            try:
                blob.commit_block_list(
                    blocks, content_settings=CONTENT, match_condition=MatchConditions.IfMissing
                )
            except (ResourceExistsError, ResourceModifiedError):
                pass
            except HttpResponseError:
                if not blob.exists():
                    raise
            properties = blob.get_blob_properties()
        if properties.size != size:
            raise FileCorrupt("The storage keeps other bytes than those that were sent.")

    def make_container(self) -> None:
        with translated():
            try:
                self.container.create_container()
            except ResourceExistsError:
                return
        logger.warning("The container %s was missing and has been made.", self.container.container_name)


class AzureSink:
    """Stages each piece as a block, checked by its MD5 on arrival; nothing is visible before the commit."""

    def __init__(self, store: AzureStore, key: str, name: str, *, commits: bool) -> None:
        self._store = store
        self._key = key
        self._name = name
        self._commits = commits
        self._blob = store.blob(key)
        self._ids: list[str] = []
        self._held = b""
        self._size = 0

    def write(self, data: bytes) -> None:
        """Blocks have one size but for the last, so that their names follow from the part's size."""
        held = memoryview(self._held + data if self._held else data)
        block, whole = self._store.block, len(held) - len(held) % self._store.block
        for start in range(0, whole, block):
            self._stage(bytes(held[start : start + block]))
        self._held = bytes(held[whole:])

    def finish(self) -> None:
        if self._held:
            self._stage(self._held)
            self._held = b""
        if self._commits:
            self._store.commit(self._key, self._ids, self._size)

    def abort(self) -> None:
        """Blocks that were never committed are nowhere to be seen, and Azure drops them after a week."""

    def _stage(self, data: bytes) -> None:
        written = block_id(self._name, len(self._ids))
        with translated():
            try:
                self._send(written, data)
            except ResourceNotFoundError:
                self._store.make_container()
                self._send(written, data)
        self._ids.append(written)
        self._size += len(data)

    def _send(self, written: str, data: bytes) -> None:
        self._blob.stage_block(written, data, length=len(data), validate_content="md5")


@dataclass(frozen=True, slots=True)
class AzureSource:
    """A blob, read in ranges."""

    blob: BlobClient
    size: int
    name: str

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        if length <= 0:
            return
        left = length
        with translated():
            try:
                for piece in self.blob.download_blob(offset, length).chunks():
                    left -= len(piece)
                    yield piece
            except ResourceNotFoundError:
                raise missing(self.name) from None
            except HttpResponseError as error:
                # The range begins behind the end of what is there.
                if error.status_code == 416:
                    raise too_short(self.name) from None
                raise
        if left > 0:
            raise too_short(self.name)


def block_id(name: str, number: int) -> str:
    """Ids of one blob must have one length, at most 64 characters."""
    return f"{name:_>40}-{number:06}"


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except AzureError as error:
        code = getattr(error, "error_code", None) or getattr(error, "status_code", None)
        logger.warning("Azure storage failed: %s %s", type(error).__name__, code or "")
        raise unavailable() from None


def _service(storage: Any) -> BlobServiceClient:
    """A client of our own: the storage's ignores options when it has a connection string."""
    options = {**OPTIONS, **storage.client_options}
    if storage.connection_string:
        if EMULATOR in storage.connection_string or "UseDevelopmentStorage" in storage.connection_string:
            options = {"api_version": EMULATOR_API, **options}
        return BlobServiceClient.from_connection_string(storage.connection_string, **options)
    place = storage.custom_domain or f"{storage.account_name}.blob.{storage.endpoint_suffix}"
    address = f"{storage.azure_protocol}://{place}"
    credential = storage.account_key or storage.sas_token or storage.token_credential
    if storage.account_key:
        credential = {"account_name": storage.account_name, "account_key": storage.account_key}
    return BlobServiceClient(address, credential=credential, **options)
