"""Content parts with files → what OpenAI's chat takes.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from providers import media, messages
from providers.errors import InvalidRequest, UnsupportedFile
from providers.messages import Reference
from providers.openai import spec
from providers.types import ChatCall, FileRef, InlineFile, Json, ProviderFile, SignedUrl

PLAIN_PARTS = frozenset({"text", "refusal"})
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")


def to_part(part: Json, path: str, call: ChatCall) -> Json:
    """One part; the same object where nothing needs to change."""
    kind = part["type"]
    if kind in PLAIN_PARTS:
        if "cache_control" in part:
            note(call, "cache_control was left out: OpenAI caches prompts by itself")
            return {name: value for name, value in part.items() if name != "cache_control"}
        return part
    if kind not in messages.SHAPES:
        raise InvalidRequest(
            f"Parts of type {media_word(kind)} are not supported.", param=f"{path}.type", code="invalid_value"
        )
    if kind == "input_audio" and part["input_audio"].get("data"):
        return _sound(part["input_audio"], f"{path}.input_audio")
    detail = _detail(part)
    reference = next(messages.part_references(part, path), None)
    if reference is not None:
        return _referenced(reference, detail, call)
    holder = part.get("file") if kind == "file" else part
    assert isinstance(holder, dict), "validate_messages lets nothing else through"
    return _from_data(holder, f"{path}.file" if kind == "file" else path, detail, call)


def note(call: ChatCall, warning: str) -> None:
    if warning not in call.warnings:
        call.warnings.append(warning)


def media_word(value: str) -> str:
    """A caller's word as a message may repeat it."""
    return UNPRINTABLE.sub(" ", value)[:80]


def _referenced(reference: Reference, detail: str | None, call: ChatCall) -> Json:
    value = reference.value
    shown = call.files.get(value)
    if shown is not None:
        return show(shown, reference, detail, call)
    if messages.is_data_url(value):
        media_type, data = messages.parse_data_url(
            value, reference.path, media_type=reference.media_type, max_bytes=spec.MAX_INPUT_BYTES
        )
        if media_type in spec.IMAGES and reference.media_type in (None, media_type):
            return image(value, detail)
        inline = InlineFile(data, reference.media_type or media_type, reference.filename or "")
        return show(inline, reference, detail, call)
    if not reference.path.endswith(".file_id") and spec.takes_url(reference.part_type, value):
        return image(value, detail)
    raise UnsupportedFile(
        f"The file or address in {reference.path} cannot be shown to this model.", param=reference.path
    )


def _from_data(holder: Mapping[str, Any], path: str, detail: str | None, call: ChatCall) -> Json:
    """A file part that brings its bytes along."""
    path = f"{path}.file_data"
    filename = holder.get("filename")
    filename = filename if isinstance(filename, str) else ""
    declared = holder.get("format") or holder.get("mime_type")
    known = media.normalize(declared) if isinstance(declared, str) else ""
    media_type, data = messages.parse_data_url(
        holder["file_data"],
        path,
        media_type=known or media.guess(filename) or None,
        max_bytes=spec.MAX_INPUT_BYTES,
    )
    reference = Reference("", "file", path, media_type, filename)
    return show(InlineFile(data, known or media_type, filename), reference, detail, call)


def show(file: FileRef, reference: Reference, detail: str | None, call: ChatCall) -> Json:
    """A file the way its type is shown in chat. Raises UnsupportedFile with the reference's path."""
    media_type = media.normalize(file.media_type)
    match file:
        case ProviderFile() if media_type == spec.PDF:
            return {"type": "file", "file": {"file_id": file.id}}
        case SignedUrl() if media_type in spec.IMAGES and file.url.startswith("https://"):
            return image(file.url, detail)
        case InlineFile() if media_type == spec.PDF:
            name = file.filename or reference.filename or "document.pdf"
            return {"type": "file", "file": {"filename": name, "file_data": _data_url(media_type, file.data)}}
        case InlineFile() if media_type in spec.IMAGES:
            return image(_data_url(media_type, file.data), detail)
        case InlineFile() if media_type in spec.AUDIO_FORMATS:
            sound = {"data": _base64(file.data), "format": spec.AUDIO_FORMATS[media_type]}
            return {"type": "input_audio", "input_audio": sound}
        case InlineFile() if media.is_text(media_type):
            return _as_text(file, media_type, reference, call)
    raise UnsupportedFile(
        f"Files of type {media_type or 'unknown'} cannot be shown to the model {call.public_model}."
        + media.advice(media_type),
        param=reference.path,
    )


def image(url: str, detail: str | None) -> Json:
    return {"type": "image_url", "image_url": {"url": url, "detail": detail} if detail else {"url": url}}


def _detail(part: Mapping[str, Any]) -> str | None:
    inner = part.get("image_url")
    value = inner.get("detail") if isinstance(inner, dict) else part.get("detail")
    return value if isinstance(value, str) else None


def _sound(holder: Mapping[str, Any], path: str) -> Json:
    """input_audio with its bytes: base64, or a data URL, which names its own format."""
    data, kind = holder["data"], holder.get("format")
    if messages.is_data_url(data):
        media_type, _ = messages.parse_data_url(data, f"{path}.data", max_bytes=spec.MAX_INPUT_BYTES)
        kind = spec.AUDIO_FORMATS.get(media_type)
        data = data.partition(",")[2]
    else:
        messages.decode_base64(data, f"{path}.data", spec.MAX_INPUT_BYTES)
    if kind not in spec.AUDIO_FORMATS.values():
        raise UnsupportedFile(f"{path}.format must be wav or mp3.", param=f"{path}.format")
    return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}


def _as_text(file: InlineFile, media_type: str, reference: Reference, call: ChatCall) -> Json:
    name = UNPRINTABLE.sub(" ", file.filename or reference.filename or "file")
    text = _decode(file.data)
    if text is None:
        raise UnsupportedFile(f"The file {name} is not readable text.", param=reference.path)
    header = f"File {name} ({media_type}):"
    if len(text) > spec.MAX_TEXT_CHARACTERS:
        shown = f"the first {spec.MAX_TEXT_CHARACTERS} of {len(text)} characters"
        note(call, f"{reference.path}: only {shown} of the file are sent")
        header = f"File {name} ({media_type}), cut to {shown}:"
        text = text[: spec.MAX_TEXT_CHARACTERS]
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return {"type": "text", "text": f"{header}\n{fence}\n{text}\n{fence}"}


def _decode(data: bytes) -> str | None:
    """UTF-8 or UTF-16 by their marks, else UTF-8, else Windows' Latin; None for what is no text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\x00" in data:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{_base64(data)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
