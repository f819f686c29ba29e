"""Moves bytes to provider accounts and removes them there, by the providers' flows."""

from __future__ import annotations

import atexit
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings

from files import damage
from files.kill_points import here
from files.leases import Lease
from files.models import ManagedFile, ProviderFileMapping
from providers import registry
from providers.errors import ServiceError, Unavailable, UnsupportedFile, UpstreamInvalid
from providers.http import SyncClient
from providers.media import OCTETS
from providers.types import ByteSource, Checkpoint, Connection, FileVerbs, Provider, RemoteFile, Upload


@cache
def client() -> SyncClient:
    """One client for all threads of this process."""
    made = SyncClient()
    atexit.register(made.close)
    return made


@dataclass(frozen=True, slots=True)
class _Watched:
    """A source that stops when the lease is lost, so that no two workers send the whole file."""

    source: ByteSource
    lease: Lease

    @property
    def size(self) -> int:
        return self.source.size

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        for piece in self.source.read(offset, length):
            self.lease.check()
            yield piece


def upload(copy: ProviderFileMapping, lease: Lease) -> RemoteFile:
    """Sends the file to the account, going on where an interrupted upload stopped.

    Raises LeaseLost, and UpstreamInvalid when the provider reports other bytes than ours.
    """
    file = copy.file
    described = Upload(
        filename=file.filename,
        media_type=media_type_of(copy),
        size=file.size,
        purpose=copy.purpose,
        reference=file.pk,
    )
    connection = connection_of(copy)
    flow = verbs(copy).create(connection, described, _opened(copy))
    source = _Watched(damage.open_checked(file), lease)
    remote = client().run(flow, source, _keep(copy, lease))
    if not _is_same(remote, file):
        remove(copy, remote.id)
        raise UpstreamInvalid("The provider received other bytes than those that were sent.")
    return remote


def look(copy: ProviderFileMapping) -> RemoteFile:
    """How the provider sees the copy now. Raises UpstreamFileGone."""
    flow = verbs(copy).retrieve(connection_of(copy), copy.provider_file_id)
    return client().run(flow)


def remove(copy: ProviderFileMapping, provider_file_id: str) -> None:
    """Deletes at the provider; what is already gone counts as deleted."""
    client().run(verbs(copy).delete(connection_of(copy), provider_file_id))


def connection_of(copy: ProviderFileMapping) -> Connection:
    """Raises Unavailable when the account's credentials cannot be read: the operator's matter."""
    try:
        return copy.account.connection()
    except ServiceError as error:
        raise Unavailable(
            "The provider account's credentials cannot be read.", provider_message=error.message
        ) from None


def fingerprint(connection: Connection) -> str:
    """Tells credentials apart without telling anything of them."""
    whole = [
        connection.provider,
        connection.api_key,
        connection.api_base,
        connection.organization,
        dict(connection.options),
        dict(connection.secrets),
    ]
    written = json.dumps(whole, sort_keys=True, default=str).encode()
    return hashlib.blake2b(written, key=b"copies", digest_size=16).hexdigest()


def media_type_of(copy: ProviderFileMapping) -> str:
    """The file's type, or what a request called it where its content does not tell."""
    return copy.media_type or OCTETS if copy.file.media_type == OCTETS else copy.file.media_type


def provider_of(copy: ProviderFileMapping) -> Provider:
    return registry.provider(copy.account.provider)


def verbs(copy: ProviderFileMapping) -> FileVerbs:
    provider = provider_of(copy)
    if provider.files is None:
        raise UnsupportedFile(f"{provider.title} takes no files in advance.")
    return provider.files


def _is_same(remote: RemoteFile, file: ManagedFile) -> bool:
    return remote.sha256 in (None, file.sha256) and remote.size in (0, file.size)


def _keep(copy: ProviderFileMapping, lease: Lease) -> Callable[[Checkpoint], None]:
    def keep(checkpoint: Checkpoint) -> None:
        written = json.dumps(dict(checkpoint.state))
        lease.record(sealed_checkpoint=settings.ENCRYPTION_KEYS.seal(written, copy.checkpoint_place))
        here("copy.checkpoint_kept")

    return keep


def _opened(copy: ProviderFileMapping) -> Mapping[str, Any] | None:
    if not copy.sealed_checkpoint:
        return None
    state: dict[str, Any] = json.loads(
        settings.ENCRYPTION_KEYS.open(copy.sealed_checkpoint, copy.checkpoint_place)
    )
    return state


def named(connection: Connection, provider: str, references: Collection[str]) -> Iterator[RemoteFile]:
    """Files at the account that carry one of our references, page by page."""
    found = registry.provider(provider).files
    after = None
    while found is not None:
        page, after = client().run(found.list(connection, after))
        yield from (remote for remote in page if remote.reference in references)
        if after is None:
            return
