"""Takes in one upload: form and bytes as they arrive, then the row, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone

from files import raw, rules, services, storage
from files.database import in_thread
from files.models import FileRules
from files.storage import Ingest, Stored
from portal.api.file_form import FileForm, Wishes, display_name
from portal.models import ProviderAccount
from portal.rest.multipart import Field, FileData, FileEnd, FileStart, FormReader
from portal.rest.request import ApiRequest
from portal.services.access import Caller
from portal.services.catalog import models_for
from providers.errors import InvalidRequest, TooLarge

FILE_FIELD = "file"
FORM_OVERHEAD = 2**20
"""What a form may hold beside its file."""


@dataclass(frozen=True, slots=True)
class Received:
    """What came with the bytes."""

    filename: str
    media_type: str


async def receive(
    request: ApiRequest, provider: str | None, keep: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Stores the file of a multipart request and returns what to answer.

    `keep` takes the answer too, within the transaction that makes the file.

    Wishes that stand before the file are checked before a byte of it is stored; when later ones turn out
    to be wrong, or the client leaves, the bytes are given up.
    """
    team_rules = await in_thread(_rules_with_room, request)
    form = FileForm(request.caller, team_rules)
    form.read_address(request, provider)
    form.check()
    reader = FormReader(request.lower_headers.get("content-type", ""), files={FILE_FIELD})
    received: Received | None = None
    async with AsyncExitStack() as exits:
        ingest: Ingest | None = None
        async for piece in request.chunks():
            for event in reader.feed(piece):
                match event:
                    case Field(name, value):
                        form.read_field(name, value)
                    case FileStart(name, filename, media_type):
                        if name != FILE_FIELD or received is not None:
                            raise _wrong_file(name)
                        received = Received(display_name(filename), media_type)
                        ingest = await exits.enter_async_context(await storage.begin(form.check().storage))
                    case FileData(data):
                        assert ingest is not None, "data follows the start of a file"
                        await _write(ingest, data, team_rules)
                    case FileEnd():
                        pass
        reader.finish()
        if received is None or ingest is None:
            raise InvalidRequest("The form has no file.", param=FILE_FIELD, code="missing_parameter")
        wishes = form.finish()
        if wishes.provider is not None:
            await in_thread(account_at, wishes.provider, request.caller)
        if ingest.size == 0:
            raise InvalidRequest("The file is empty.", param=FILE_FIELD, code="empty_file")
        stored = await _at_its_place(await ingest.finish(), wishes.storage)
        return await in_thread(_make, request.caller, stored, received, wishes, keep)


def _make(
    caller: Caller,
    stored: Stored,
    received: Received,
    wishes: Wishes,
    keep: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """A file at one provider alone when that is all that was asked for, else a managed one."""
    what: dict[str, Any] = {
        "caller": caller,
        "stored": stored,
        "filename": received.filename,
        "purpose": wishes.purpose,
        "declared_media_type": received.media_type,
        "expires_in": wishes.expires_in,
    }
    if wishes.provider is not None:
        row = raw.create_raw_file(account_id=_account_kept(stored, wishes.provider, caller), **what)
        answer = raw.to_openai(row)
        keep(answer)
        return answer
    file = services.create_file(
        storage=stored.storage,
        target_models=[model.name for model in wishes.models],
        account_ids=accounts_for(wishes),
        and_then=lambda made: keep(services.to_openai(made)),
        **what,
    )
    return services.to_openai(file)


def _account_kept(stored: Stored, provider: str, caller: Caller) -> int:
    try:
        return account_at(provider, caller)
    except InvalidRequest:
        storage.delete(stored.storage, stored.key)
        raise


def _rules_with_room(request: ApiRequest) -> FileRules:
    """The team's rules. Raises when even the least that the request can bring is too much for them."""
    team_rules = rules.rules_of(request.caller.team_id)
    declared = request.lower_headers.get("content-length", "")
    size = int(declared) - FORM_OVERHEAD if declared.isdigit() else 0
    rules.check_room(team_rules, max(size, 1), timezone.now())
    return team_rules


async def _write(ingest: Ingest, data: bytes, team_rules: FileRules) -> None:
    limit = rules.largest_file(team_rules, settings.MAX_UPLOAD_BYTES)
    if ingest.size + len(data) > limit:
        raise TooLarge(f"A file may have at most {limit} bytes.", param=FILE_FIELD, code="file_too_large")
    await ingest.write(data)


async def _at_its_place(stored: Stored, alias: str) -> Stored:
    """Moves bytes whose `target_storage` came only after them."""
    if stored.storage == alias:
        return stored
    try:
        async with await storage.begin(alias) as ingest:
            async for piece in storage.stream(_Unnamed(stored)):
                await ingest.write(piece)
            return await ingest.finish()
    finally:
        await in_thread(storage.delete, stored.storage, stored.key)


class _Unnamed:
    """Stored bytes that no row names yet, as the storage reads them."""

    def __init__(self, stored: Stored) -> None:
        self.id = "this upload"
        self.storage = stored.storage
        self.blob = stored.key
        self.size = stored.size


def accounts_for(wishes: Wishes) -> list[int]:
    """Primary keys of the accounts that get a copy at once."""
    found = {
        plan.account_id: None
        for model in wishes.models
        for plan in model.deployments
        if plan.provider.files is not None and plan.problem is None
    }
    return list(found)


def account_at(provider: str, caller: Caller) -> int:
    """The first account at a provider that serves a model of the caller's, else one meant for files alone."""
    for model in models_for(caller):
        for plan in model.deployments:
            if plan.provider.name == provider and plan.provider.files is not None and plan.problem is None:
                return plan.account_id
    for_files = ProviderAccount.objects.filter(provider=provider, origin="files_settings", is_active=True)
    account = for_files.values_list("pk", flat=True).first()
    if account is None:
        raise InvalidRequest(
            f"No account at {provider} takes files for you.", param="custom_llm_provider", code="no_account"
        )
    return account


def _wrong_file(name: str) -> InvalidRequest:
    if name == FILE_FIELD:
        return InvalidRequest("The form has more than one file.", param=FILE_FIELD)
    return InvalidRequest(f"Unexpected file in the form field {name[:100]}.", param=name[:100])
