"""The file verbs, in both spellings: create_file, retrieve_file and file_retrieve, and so on.

https://docs.litellm.ai/docs/files_endpoints
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, Final

from providers.client.accounts import Selection, Target, target_of_file
from providers.client.known_files import Owned, known_files
from providers.client.requests import Manner
from providers.client.results import FileContent, FileDeleted, FileList, FileObject
from providers.client.runner import runner
from providers.client.sources import FileInput, Source, source_of
from providers.errors import FileNotFound, InvalidRequest, UnsupportedParameter, UpstreamFileGone
from providers.types import FileVerbs, Flow, RemoteFile, RemoteState, Upload

DEFAULT_LIMIT: Final = 10_000
PAGE: Final = 100
STATUS: Final[dict[RemoteState, str]] = {"active": "processed", "processing": "uploaded", "failed": "error"}


def create_file(file: FileInput, purpose: str = "user_data", **arguments: Any) -> FileObject:
    """Uploads a file: bytes, a path, a file opened in binary mode, or (name, content[, media type]).

    The provider by custom_llm_provider, as a keyword, in extra_body or as the header custom-llm-provider in
    extra_headers; OpenAI when nothing says otherwise. `arguments` besides: api_key, api_base, api_version and
    the other fields of the account, timeout, num_retries.
    """
    return runner.wait(_create(file, purpose, arguments))


async def acreate_file(file: FileInput, purpose: str = "user_data", **arguments: Any) -> FileObject:
    """As create_file."""
    return await runner.run(_create(file, purpose, arguments))


def list_files(purpose: str | None = None, **arguments: Any) -> FileList:
    """The provider's files, newest first where it says so; `limit` of them, from `after` on."""
    return runner.wait(_list(purpose, arguments))


async def alist_files(purpose: str | None = None, **arguments: Any) -> FileList:
    """As list_files."""
    return await runner.run(_list(purpose, arguments))


def retrieve_file(file_id: str, **arguments: Any) -> FileObject:
    """What the provider says of a file. Raises FileNotFound."""
    return runner.wait(_retrieve(file_id, arguments))


async def aretrieve_file(file_id: str, **arguments: Any) -> FileObject:
    """As retrieve_file."""
    return await runner.run(_retrieve(file_id, arguments))


def delete_file(file_id: str, **arguments: Any) -> FileDeleted:
    """Deletes a file; one that is gone already counts as deleted."""
    return runner.wait(_delete(file_id, arguments))


async def adelete_file(file_id: str, **arguments: Any) -> FileDeleted:
    """As delete_file."""
    return await runner.run(_delete(file_id, arguments))


def file_content(file_id: str, **arguments: Any) -> FileContent:
    """A file's bytes, from providers that give them back. Raises UnsupportedFile from the others."""
    return runner.wait(_content(file_id, arguments))


async def afile_content(file_id: str, **arguments: Any) -> FileContent:
    """As file_content."""
    return await runner.run(_content(file_id, arguments))


file_list, afile_list = list_files, alist_files
file_retrieve, afile_retrieve = retrieve_file, aretrieve_file
file_delete, afile_delete = delete_file, adelete_file


class _Verbs:
    """One provider's verbs, for one call."""

    def __init__(self, file_id: str | None, arguments: dict[str, Any]) -> None:
        arguments = dict(arguments)
        selection = Selection.take(arguments)
        self.target: Target = target_of_file(file_id, arguments.pop("model", None), selection)
        self.manner = Manner.take(arguments)
        extra = arguments.pop("extra_body", None) or {}
        self.left = {name: value for name, value in {**extra, **arguments}.items() if value is not None}

    def files(self) -> FileVerbs:
        found = self.target.provider.files
        if found is None:
            raise InvalidRequest(
                f"{self.target.provider.title} has no file API.", param="custom_llm_provider"
            )
        return found

    def refuse_the_rest(self) -> None:
        for name in self.left:
            raise UnsupportedParameter(f"{name} is not supported for files.", param=name)

    async def run(self, flow: Flow[Any], source: Source | None = None) -> Any:
        return await runner.http.run(self.manner.flow(flow), source.bytes if source else None)

    def noted(self, remote: RemoteFile) -> RemoteFile:
        """Remembers whose the file is."""
        known_files.remember(Owned(self.target.provider.name, self.target.connection, remote))
        return remote


async def _create(file: FileInput, purpose: str, arguments: dict[str, Any]) -> FileObject:
    verbs = _Verbs(None, arguments)
    verbs.refuse_the_rest()
    if not isinstance(purpose, str) or not purpose:
        raise InvalidRequest("purpose must be a string.", param="purpose")
    source = await asyncio.to_thread(source_of, file)
    try:
        upload = Upload(source.filename, source.media_type, source.bytes.size, purpose)
        remote = await verbs.run(verbs.files().create(verbs.target.connection, upload), source)
    finally:
        source.close()
    # Some providers tell neither name nor type of what they were just sent.
    known = replace(
        remote,
        filename=remote.filename or source.filename,
        media_type=remote.media_type or source.media_type,
        purpose=remote.purpose or purpose,
    )
    return to_object(verbs.noted(known))


async def _retrieve(file_id: str, arguments: dict[str, Any]) -> FileObject:
    verbs = _Verbs(file_id, arguments)
    verbs.refuse_the_rest()
    try:
        remote = await verbs.run(verbs.files().retrieve(verbs.target.connection, _own_id(file_id)))
    except UpstreamFileGone:
        raise _unknown(file_id) from None
    known = known_files.find(file_id)
    if known is not None and not remote.filename:
        remote = replace(remote, filename=known.remote.filename)
    return to_object(verbs.noted(remote))


async def _delete(file_id: str, arguments: dict[str, Any]) -> FileDeleted:
    verbs = _Verbs(file_id, arguments)
    verbs.refuse_the_rest()
    await verbs.run(verbs.files().delete(verbs.target.connection, _own_id(file_id)))
    known_files.forget(file_id)
    return FileDeleted(id=file_id, object="file", deleted=True)


async def _content(file_id: str, arguments: dict[str, Any]) -> FileContent:
    verbs = _Verbs(file_id, arguments)
    verbs.refuse_the_rest()
    try:
        return FileContent(await verbs.run(verbs.files().content(verbs.target.connection, _own_id(file_id))))
    except UpstreamFileGone:
        raise _unknown(file_id) from None


async def _list(purpose: str | None, arguments: dict[str, Any]) -> FileList:
    verbs = _Verbs(None, arguments)
    limit, after = verbs.left.pop("limit", DEFAULT_LIMIT), verbs.left.pop("after", None)
    verbs.refuse_the_rest()
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= DEFAULT_LIMIT:
        raise InvalidRequest(f"limit must be a whole number from 1 to {DEFAULT_LIMIT}.", param="limit")
    found: list[FileObject] = []
    while True:
        wanted = min(PAGE, limit - len(found))
        flow = verbs.files().list(verbs.target.connection, after, wanted, purpose)
        remotes, after = await verbs.run(flow)
        found += [to_object(verbs.noted(remote)) for remote in remotes]
        if after is None or len(found) >= limit:
            return FileList(found[:limit], after=after)


def to_object(remote: RemoteFile) -> FileObject:
    """A provider's file as OpenAI's object."""
    created, expires = remote.created_at, remote.expires_at
    return FileObject(
        id=remote.uri or remote.id,
        object="file",
        bytes=remote.size,
        created_at=int(created.timestamp() if created else time.time()),
        expires_at=int(expires.timestamp()) if expires else None,
        filename=remote.filename,
        purpose=remote.purpose or "user_data",
        status=STATUS[remote.state],
        status_details=remote.error,
    )


def _own_id(file_id: str) -> str:
    """The provider's own id of a file that callers may name by its address."""
    known = known_files.find(file_id)
    return known.remote.id if known is not None else file_id


def _unknown(file_id: str) -> FileNotFound:
    return FileNotFound(f"No such File object: {file_id}", param="file_id")
