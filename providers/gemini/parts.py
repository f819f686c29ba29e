"""OpenAI content parts → Gemini parts: text, and media by reference or as bytes.

https://ai.google.dev/api/caching#Part
https://ai.google.dev/gemini-api/docs/media-resolution
https://ai.google.dev/gemini-api/docs/video-understanding
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from providers import media, messages
from providers.errors import InvalidRequest, UnsupportedFile
from providers.gemini import spec
from providers.gemini.dialect import Translation
from providers.types import FileRef, InlineFile, Json, ProviderFile, SignedUrl

TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_SECONDS = re.compile(r"\d+(\.\d{1,9})?s")
NOT_CACHED: Final = "cache_control was not applied: Gemini caches repeated beginnings by itself"
_RESOLUTION_ORDER = tuple(spec.RESOLUTIONS.values())


def to_parts(part: Json, path: str, translation: Translation) -> list[Json]:
    """One OpenAI part; nothing for an empty text."""
    kind = part.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest(f"{path}.type must be a string.", param=f"{path}.type")
    if "cache_control" in part:
        note_cache_control(translation)
    if kind in TEXT_PARTS:
        text = part.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            raise InvalidRequest(f"{path}.text must be a string.", param=f"{path}.text")
        return [{"text": text}] if text else []
    if kind not in messages.SHAPES:
        raise InvalidRequest(f"Parts of type {kind!r} are not supported.", param=f"{path}.type")
    return [_with_modifiers(_media(part, kind, path, translation), part, path, translation)]


def note_cache_control(translation: Translation) -> None:
    """Says that a mark changes nothing; providers.gemini.caching takes it back when it applies the mark."""
    translation.warn(NOT_CACHED)


# ---- media --------------------------------------------------------------------------------------


def _media(part: Json, kind: str, path: str, translation: Translation) -> Json:
    for reference in messages.part_references(part, path):
        if messages.is_data_url(reference.value):
            return _inline(
                reference.value, reference.path, _declared(part, kind), reference.filename, translation
            )
        shown = translation.call.files.get(reference.value)
        if shown is not None:
            return _shown(shown, reference, translation)
        if translation.dialect.takes_url(kind, reference.value):
            return _address(reference, translation)
        raise UnsupportedFile(
            f"The file in {reference.path} is not available to {translation.call.public_model}.",
            param=reference.path,
        )
    for holder, here in _holders(part, kind, path):
        for name in messages.BYTES_FIELDS.get(kind, ()):
            value = holder.get(name)
            if isinstance(value, str) and value:
                filename = holder.get("filename")
                named = filename if isinstance(filename, str) else None
                return _inline(value, f"{here}.{name}", _declared(part, kind), named, translation)
    raise InvalidRequest(f"{path} holds neither a file nor its data.", param=path)


def _holders(part: Json, kind: str, path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The object that describes the file, then the part around it."""
    inner = messages.SHAPES[kind].inner
    if inner and isinstance(part.get(inner), dict):
        yield part[inner], f"{path}.{inner}"
    yield part, path


def _declared(part: Json, kind: str) -> str | None:
    """The media type that the caller states for the part's bytes."""
    for holder, _ in _holders(part, kind, ""):
        for name in messages.MEDIA_TYPE_FIELDS:
            value = holder.get(name)
            if isinstance(value, str) and value:
                return value if "/" in value else f"audio/{value}"
    return None


def _inline(
    value: str, path: str, declared: str | None, filename: str | None, translation: Translation
) -> Json:
    fallback = declared or (media.guess(filename) if filename else None)
    found, _ = messages.parse_data_url(value, path, media_type=fallback)
    data = value.rpartition(",")[2] if messages.is_data_url(value) else value
    normal = translation.dialect.normal_type(declared, None) or translation.dialect.normal_type(
        found, filename
    )
    return {"inlineData": {"mimeType": _known(normal, found, path, translation), "data": data}}


def _shown(shown: FileRef, reference: messages.Reference, translation: Translation) -> Json:
    """A reference as the resolver decided to show it. The caller's `format` wins where it means something."""
    normal_type = translation.dialect.normal_type
    declared = normal_type(reference.media_type, None) if reference.media_type else None
    normal = declared or normal_type(shown.media_type, shown.filename)
    mime_type = _known(normal, shown.media_type, reference.path, translation)
    match shown:
        case ProviderFile():
            return {"fileData": {"mimeType": mime_type, "fileUri": shown.uri}}
        case SignedUrl():
            return {"fileData": {"mimeType": mime_type, "fileUri": shown.url}}
        case InlineFile():
            data = base64.b64encode(shown.data).decode("ascii")
            return {"inlineData": {"mimeType": mime_type, "data": data}}


def _address(reference: messages.Reference, translation: Translation) -> Json:
    """An address that the provider fetches itself. YouTube needs no type, everything else does."""
    normal = translation.dialect.normal_type(reference.media_type, reference.filename or reference.value)
    file_data: Json = {"fileUri": reference.value}
    if normal is not None:
        file_data = {"mimeType": normal, **file_data}
    elif not reference.value.startswith("https://"):
        raise InvalidRequest(
            f"The media type of {reference.path} is not known; say it in `format`.", param=reference.path
        )
    return {"fileData": file_data}


def _known(normal: str | None, media_type: str, path: str, translation: Translation) -> str:
    if normal is None:
        raise UnsupportedFile(
            f"{translation.call.public_model} does not read files of type {media_type or 'unknown'}."
            + media.advice(media_type),
            param=path,
        )
    return normal


# ---- modifiers ----------------------------------------------------------------------------------


def _with_modifiers(gemini: Json, part: Json, path: str, translation: Translation) -> Json:
    kind = part["type"]
    for holder, here in _holders(part, kind, path):
        detail = holder.get("detail")
        if detail not in (None, "auto") and "mediaResolution" not in gemini:
            _resolution(gemini, detail, f"{here}.detail", translation)
        video = holder.get("video_metadata", holder.get("videoMetadata"))
        if video is not None and "videoMetadata" not in gemini:
            gemini["videoMetadata"] = _video(video, f"{here}.video_metadata")
    return gemini


def _resolution(gemini: Json, detail: Any, path: str, translation: Translation) -> None:
    level = spec.RESOLUTIONS.get(detail) if isinstance(detail, str) else None
    if level is None:
        raise InvalidRequest(f"{path} must be auto, {', '.join(spec.RESOLUTIONS)}.", param=path)
    if translation.traits.takes_part_resolution:
        gemini["mediaResolution"] = {"level": level}
        return
    # One resolution for all media there; the generation's scale ends at HIGH.
    level = spec.RESOLUTIONS["high"] if "ULTRA" in level else level
    known = translation.resolution
    if known is None or _RESOLUTION_ORDER.index(level) > _RESOLUTION_ORDER.index(known):
        translation.resolution = level


def _video(value: Any, path: str) -> Json:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} must be an object.", param=path)
    result: Json = {}
    for name, camel in (("start_offset", "startOffset"), ("end_offset", "endOffset")):
        offset = value.get(name, value.get(camel))
        if offset is not None:
            result[camel] = _seconds(offset, f"{path}.{name}")
    fps = value.get("fps")
    if fps is not None:
        if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 24:
            raise InvalidRequest(f"{path}.fps must be a number above 0, at most 24.", param=f"{path}.fps")
        result["fps"] = fps
    return result


def _seconds(value: Any, path: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6:
        return f"{value:g}s"
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        return value
    raise InvalidRequest(f'{path} must be seconds, as a number or like "12.5s".', param=path)
