"""Where the bytes of managed files live: taken in once, hashed on the way, read in pieces."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import FileSystemStorage, InvalidStorageError, storages
from django.utils.http import content_disposition_header

from files.media import HEAD_BYTES
from files.storage.base import Blob, Part, Placed, Store, Stored, Told, in_blocks
from files.storage.ingest import Digest, Ingest, threads
from files.storage.local import LocalStore
from providers.errors import InvalidRequest
from providers.media import OCTETS
from providers.types import ByteSource

__all__ = [
    "Blob",
    "Ingest",
    "Part",
    "Placed",
    "Stored",
    "address",
    "alias_for",
    "aliases",
    "begin",
    "blobs",
    "delete",
    "discard_parts",
    "join_ahead",
    "join_parts",
    "measure",
    "new_key",
    "open_source",
    "put",
    "read",
    "remove_leftovers",
    "signed_url",
    "stage",
    "stream",
]

NOT_FOR_FILES: Final = frozenset({"default", "staticfiles"})
EXTRAS: Final = {"s3": "s3", "gcs": "gcs"}
"""Storage alias → the optional extra of the package that it needs."""
LONGEST_SIGNED: Final = 900
"""Seconds."""
BACKENDS: Final = {
    "storages.backends.azure_storage.AzureStorage": "azure",
    "storages.backends.s3.S3Storage": "s3",
    "storages.backends.gcloud.GoogleCloudStorage": "gcs",
}


# One thread, so that parts are put together in their order and no upload takes the disk from the others.
_joining: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="joining")


def aliases() -> list[str]:
    """The configured storages that files may be put in."""
    return sorted(set(settings.STORAGES) - NOT_FOR_FILES)


def alias_for(target: str | None) -> str:
    """The storage that a caller's `target_storage` names; none or `default` is the operator's choice.

    Raises InvalidRequest for one that is not configured.
    """
    alias = settings.DEFAULT_FILE_STORAGE_ALIAS if target in (None, "", "default") else target
    configured = aliases()
    if alias not in configured:
        raise InvalidRequest(
            f"This storage target is not configured here. Configured: {', '.join(configured)}.",
            param="target_storage",
        )
    return str(alias)


async def begin(target: str | None = None) -> Ingest:
    """Opens a place for a new file's bytes. Raises InvalidRequest, InsufficientStorage, Unavailable."""
    alias, key = alias_for(target), new_key()

    def opened() -> Ingest:
        store = _store(alias)
        return Ingest(alias, key, store.create(key), store, hashlib.sha256())

    return await asyncio.get_running_loop().run_in_executor(threads, opened)


def put(alias: str, data: bytes) -> Stored:
    """Keeps a few bytes under a new key, from a thread. Raises InsufficientStorage, Unavailable."""
    store, key = _store(alias), new_key()
    sink = store.create(key)
    try:
        for piece in in_blocks([data], store.block):
            sink.write(piece)
        sink.finish()
    except BaseException:
        sink.abort()
        raise
    return Stored(alias, key, len(data), hashlib.sha256(data).hexdigest(), data[:HEAD_BYTES])


async def stage(alias: str, key: str, name: str, digest: Digest | None = None) -> Ingest:
    """Opens a place for one part of a file that `join_parts` makes later under `key`.

    Parts are not hashed by themselves: `digest` goes on over the bytes where they continue what it has, else
    `measure` finds the hash of the whole.
    """

    def opened() -> Ingest:
        store = _store(alias)
        return Ingest(alias, key, store.stage(key, name), store, digest)

    return await asyncio.get_running_loop().run_in_executor(threads, opened)


def join_ahead(alias: str, key: str, offset: int, part: Part) -> None:
    """Begins to put parts together while others still come, where that leaves less to do in the end."""
    store = _store(alias)
    if isinstance(store, LocalStore):
        _joining.submit(store.join_ahead, key, offset, part)


def join_parts(alias: str, key: str, parts: Sequence[Part]) -> None:
    """Makes one blob of staged parts, in this order. Doing it again changes nothing."""
    _joining.submit(int).result()  # what was begun for them is done then
    _store(alias).join(key, parts)


def measure(alias: str, key: str, size: int, md5: str | None = None) -> Stored:
    """Reads a blob once to learn its hash and head. Raises FileCorrupt, and InvalidRequest for another MD5
    (hex or base64)."""
    sha256, other = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    head = b""
    for piece in _store(alias).open(key, size, "this upload").read(0, size):
        sha256.update(piece)
        if md5 is not None:
            other.update(piece)
        if len(head) < HEAD_BYTES:
            head += piece[: HEAD_BYTES - len(head)]
    if md5 is not None and md5 not in (other.hexdigest(), base64.b64encode(other.digest()).decode()):
        raise InvalidRequest("The bytes received have another MD5.", param="md5", code="md5_mismatch")
    return Stored(alias, key, size, sha256.hexdigest(), head)


def discard_parts(alias: str, key: str, names: Iterable[str]) -> None:
    """Removes parts that are not needed (any more)."""
    _store(alias).discard(key, names)


def open_source(file: Placed) -> ByteSource:
    """The bytes of a managed file, wherever they live."""
    return _store(file.storage).open(file.blob, file.size, file.id)


def read(file: Placed, offset: int = 0, length: int | None = None) -> Generator[bytes, None, None]:
    """Pieces of a file, from `offset`, to its end unless a length is given."""
    rest = max(0, file.size - offset)
    yield from open_source(file).read(offset, rest if length is None else min(length, rest))


async def stream(file: Placed, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
    """`read` for coroutines; no more than one piece is read ahead of the client."""
    loop = asyncio.get_running_loop()
    pieces = read(file, offset, length)
    try:
        while piece := await loop.run_in_executor(threads, partial(next, pieces, b"")):
            yield piece
    finally:
        # A read that a cancelled client left running ends by itself.
        with suppress(ValueError):
            pieces.close()


def delete(alias: str, key: str) -> None:
    """Removes the bytes; those already gone count as removed. Raises Unavailable."""
    _store(alias).delete(key)


def blobs(alias: str) -> Iterator[Blob]:
    """Everything that a storage holds."""
    return _store(alias).blobs()


def address(file: Placed) -> str:
    """Where the bytes are, for the operator: a path or an address without any secret."""
    return _store(file.storage).address(file.blob)


def signed_url(file: Placed, seconds: int, *, media_type: str = OCTETS, filename: str = "file") -> str | None:
    """A bearer address of the bytes that ends soon; None where the storage has no such thing.

    It is a secret until then: it belongs in no log, no ledger and no answer. What it leads to is told as an
    attachment, so that no browser runs it. Raises Unavailable.
    """
    told = Told(media_type, content_disposition_header(True, filename) or "attachment")
    return _store(file.storage).signed_url(file.blob, min(seconds, LONGEST_SIGNED), told)


def remove_leftovers(older_than: float) -> int:
    """Deletes unfinished files that nobody has written to for so many seconds; returns how many."""
    return sum(_store(alias).remove_leftovers(older_than) for alias in aliases())


def new_key() -> str:
    """A random name that says nothing, in two levels of folders."""
    name = secrets.token_hex(20)
    return f"{name[:2]}/{name[2:4]}/{name[4:]}"


def _store(alias: str) -> Store:
    try:
        storage = storages[alias]
    except (InvalidStorageError, ImproperlyConfigured, ImportError) as error:
        raise InvalidRequest(_why_not(alias), param="target_storage", code="storage_unavailable") from error
    return _made(storage)


@cache
def _made(storage: object) -> Store:
    """One store for each configured storage; django's own registry makes a new one when settings change."""
    if isinstance(storage, FileSystemStorage):
        return LocalStore(Path(storage.location))
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(storage).__mro__}
    for backend, kind in BACKENDS.items():
        if backend in names:
            return _remote(kind, storage)
    raise InvalidRequest(
        "Files cannot be kept in a storage of this kind.", param="target_storage", code="storage_unavailable"
    )


def _remote(kind: str, storage: object) -> Store:
    """Imported only here: their libraries are optional, and slow to load."""
    match kind:
        case "azure":
            from files.storage.azure import AzureStore

            return AzureStore(storage)
        case "s3":
            from files.storage.s3 import S3Store

            return S3Store(storage)
        case _:
            from files.storage.gcs import GcsStore

            return GcsStore(storage)


def _why_not(alias: str) -> str:
    extra = EXTRAS.get(alias)
    if extra is None:
        return f"The storage {alias!r} cannot be used as it is configured."
    return f"The storage {alias!r} needs a library that is not installed: pip install 'portico[{extra}]'."
