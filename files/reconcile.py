"""Compares rows, storages and provider accounts, and repairs what a crash or a person left apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Final

from django.db.models import Q

from files import storage, texts, transfer
from files.models import Deletion, FileText, ManagedFile, ProviderFileMapping, RawFile, Upload, UploadPart
from files.storage import Blob
from providers import registry
from providers.errors import PorticoError
from providers.types import RemoteFile

State = ProviderFileMapping.State

GRACE: Final = timedelta(hours=1)
"""What is younger may belong to work under way in another process."""
BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit. Without `repair` only a person can decide."""

    place: str
    what: str
    repair: Callable[[], object] | None = None


def findings(now: datetime, grace: timedelta = GRACE) -> Iterator[Finding]:
    """Everything that does not fit, as it is found; nothing is changed."""
    for alias in storage.aliases():
        try:
            yield from _in_storage(alias, now - grace)
        except PorticoError as error:
            yield Finding(f"storage {alias}", f"cannot be compared: {error.message}")
    for account in _accounts():
        try:
            yield from _at_account(account, now, now - grace)
        except PorticoError as error:
            yield Finding(f"account {account.name}", f"cannot be compared: {error.message}")


def _in_storage(alias: str, before: datetime) -> Iterator[Finding]:
    """Bytes that no row names, and rows whose bytes are not there."""
    place = f"storage {alias}"
    seen: dict[str, int] = {}
    for blobs in _batches(storage.blobs(alias)):
        known = _known(alias, [blob.key for blob in blobs])
        for blob in blobs:
            seen[blob.key] = blob.size
            if blob.key not in known and blob.modified_at < before:
                yield Finding(
                    place, f"bytes that nothing refers to: {blob.key}", partial(_delete_blob, alias, blob.key)
                )
    yield from _texts_of_nothing(alias, before)
    live = ManagedFile.objects.filter(storage=alias, deleted_at=None, created_at__lt=before)
    for file_id, key, size in live.values_list("pk", "blob", "size").iterator(BATCH):
        if key not in seen:
            yield Finding(place, f"file {file_id} has lost its bytes")
        elif seen[key] != size:
            yield Finding(place, f"file {file_id} has {seen[key]} bytes instead of {size}")


def _texts_of_nothing(alias: str, before: datetime) -> Iterator[Finding]:
    """Texts of office files that are gone."""
    named = ManagedFile.objects.filter(storage=alias).values("blob")
    alone = RawFile.objects.filter(storage=alias).values("blob")
    rows = FileText.objects.filter(storage=alias, created_at__lt=before)
    for blob in rows.exclude(blob__in=named).exclude(blob__in=alone).values_list("blob", flat=True):
        repair = partial(texts.remove, alias, blob)
        yield Finding(f"storage {alias}", f"text of bytes that nothing refers to: {blob}", repair)


def _known(alias: str, keys: list[str]) -> set[str]:
    """Keys that some row accounts for; parts are named after their upload's key."""
    known = set(ManagedFile.objects.filter(storage=alias, blob__in=keys).values_list("blob", flat=True))
    known |= set(RawFile.objects.filter(storage=alias, blob__in=keys).values_list("blob", flat=True))
    known |= set(
        FileText.objects.filter(storage=alias, text_blob__in=keys).values_list("text_blob", flat=True)
    )
    wholes = {key: key.partition(".part_")[0] for key in keys}
    pending = Upload.objects.filter(
        storage=alias, blob__in=set(wholes.values()), status=Upload.Status.PENDING
    )
    uploads = dict(pending.values_list("blob", "pk"))
    parts = set(UploadPart.objects.filter(upload__in=uploads.values()).values_list("upload__blob", "pk"))
    for key, whole in wholes.items():
        name = key[len(whole) + 1 :]
        if whole in uploads and (not name or (whole, name) in parts):
            known.add(key)
    return known


def _delete_blob(alias: str, key: str) -> None:
    """Looks once more: a row may have come meanwhile."""
    if not _known(alias, [key]):
        storage.delete(alias, key)


def _at_account(account: Any, now: datetime, before: datetime) -> Iterator[Finding]:
    """Copies that no row names, and rows whose copy the provider does not have."""
    provider = registry.provider(account.provider)
    if provider.files is None:
        return
    place = f"account {account.name}"
    there: set[str] = set()
    after = None
    while True:
        page, after = transfer.client().run(provider.files.list(account.connection(), after))
        there |= {remote.id for remote in page}
        for remote in page:
            if remote.reference and (remote.created_at is None or remote.created_at < before):
                yield from _remote(place, account, remote, now)
        if after is None:
            break
    copies = ProviderFileMapping.objects.filter(account_id=account.pk, state=State.ACTIVE)
    copies = copies.filter(Q(expires_at=None) | Q(expires_at__gt=now), ready_at__lt=before)
    for copy in copies.iterator(BATCH):
        if copy.provider_file_id not in there:
            lost = ProviderFileMapping.objects.filter(pk=copy.pk, uploads=copy.uploads, state=State.ACTIVE)
            yield Finding(
                place, f"the copy of {copy.file_id} is not there", partial(lost.update, state=State.EXPIRED)
            )


def _remote(place: str, account: Any, remote: RemoteFile, now: datetime) -> Iterator[Finding]:
    """A file at the provider that carries a reference of ours, or of another installation."""
    if RawFile.objects.filter(account_id=account.pk, reference=remote.reference).exists():
        return
    copies = ProviderFileMapping.objects.filter(file=remote.reference, account_id=account.pk)
    at_work = Q(lease_until__gt=now) | Q(state__in=[State.UPLOADING, State.PENDING, State.DELETING])
    if copies.filter(Q(provider_file_id=remote.id) | at_work).exists():
        return
    was_ours = ManagedFile.objects.filter(pk=remote.reference).exists()
    was_ours = was_ours or Deletion.objects.filter(pk=remote.reference).exists()
    if was_ours:
        yield Finding(
            place, f"a copy that nothing refers to: {remote.id}", partial(_delete_copy, account, remote.id)
        )
    else:
        yield Finding(place, f"{remote.id} carries a reference that is not known here; it is left alone")


def _delete_copy(account: Any, provider_file_id: str) -> None:
    if ProviderFileMapping.objects.filter(account_id=account.pk, provider_file_id=provider_file_id).exists():
        return
    provider = registry.provider(account.provider)
    assert provider.files is not None, "its files were just listed"
    transfer.client().run(provider.files.delete(account.connection(), provider_file_id))


def _accounts() -> Iterable[Any]:
    """The portal's accounts, which this package knows by name only."""
    accounts = ProviderFileMapping.account.field.related_model._default_manager
    return list(accounts.filter(is_active=True, provider__in=list(registry.PROVIDERS)).order_by("pk"))


def _batches(blobs: Iterator[Blob]) -> Iterator[list[Blob]]:
    while batch := list(islice(blobs, BATCH)):
        yield batch
