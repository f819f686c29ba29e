"""Office files within the messages themselves, as base64: replaced by the text made of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from files import texts
from providers import media, messages
from providers.types import Json, Provider


@dataclass(frozen=True, slots=True)
class Attached:
    """The messages as the provider is to get them, entries for the ledger, and what to warn of."""

    messages: Any
    used: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Found:
    """One office file: `value` as it stands in the part."""

    index: tuple[int, int]
    path: str
    value: str
    media_type: str
    filename: str


async def as_text(said: Any, provider: Provider, deadline: float) -> Attached:
    """The same messages where they hold no office file that the provider cannot read.

    Raises FileFailed, FileNotReady, InvalidRequest or TooLarge. `deadline` is monotonic.
    """
    found = list(_office_files(said, provider))
    if not found:
        return Attached(said)
    attached = Attached([_copied(message) for message in said])
    for file in found:
        _, data = messages.parse_data_url(
            file.value, file.path, media_type=file.media_type, max_bytes=media.MAX_OFFICE_BYTES
        )
        name = file.filename or f"file.{media.OFFICE[file.media_type]}"
        made = await texts.text_of_bytes(data, name, deadline - time.monotonic(), file.path)
        i, j = file.index
        attached.messages[i]["content"][j] = text_part(name, made)
        attached.used.append(
            {"file_id": "", "filename": name, "media_type": file.media_type, "bytes": len(data)}
            | texts.ledger_entry(file.media_type, made)
        )
        attached.warnings.append(texts.warning(name, made))
    return attached


def text_part(name: str, made: texts.Made) -> Json:
    """A part that says what the text is of."""
    return {"type": "text", "text": f"{name}:\n\n{made.data.decode()}"}


def _office_files(said: Any, provider: Provider) -> Iterator[_Found]:
    for i, message in enumerate(said):
        content = message.get("content") if isinstance(message, dict) else None
        for j, part in enumerate(content if isinstance(content, list) else ()):
            kind = part.get("type") if isinstance(part, dict) else None
            if kind in ("file", "input_file"):
                yield from _in_part((i, j), part, provider)


def _in_part(index: tuple[int, int], part: Json, provider: Provider) -> Iterator[_Found]:
    i, j = index
    path = f"messages[{i}].content[{j}]"
    holder = part.get("file") if part["type"] == "file" else part
    if not isinstance(holder, dict):
        return
    here = f"{path}.file" if part["type"] == "file" else path
    for name in ("file_id", "file_url", "file_data"):
        value = holder.get(name)
        if (
            not isinstance(value, str)
            or not value
            or (name != "file_data" and not messages.is_data_url(value))
        ):
            continue
        filename = holder.get("filename")
        filename = filename if isinstance(filename, str) else ""
        media_type = _type_of(value, filename, holder)
        if media.is_office(media_type) and provider.delivery(media_type, 1) == "convert":
            yield _Found(index, f"{here}.{name}", value, media_type, filename)
        return


def _type_of(value: str, filename: str, holder: Json) -> str:
    """As the part says; else as the name ends."""
    stated = value[5:300].partition(";")[0] if messages.is_data_url(value) else ""
    for name in ("", *messages.MEDIA_TYPE_FIELDS):
        written = holder.get(name) if name else stated
        known = media.normalize(written) if isinstance(written, str) else ""
        if known not in ("", media.OCTETS):
            return known
    return media.guess(filename) if filename else ""


def _copied(message: Any) -> Any:
    if isinstance(message, dict) and isinstance(message.get("content"), list):
        return {**message, "content": list(message["content"])}
    return message
